/** Tensors as the server sends them; the twin of `studio/frames.py`. */
export type Numbers = Uint8Array | Int32Array | Float32Array | Float64Array
export interface Tensor {
  shape: number[]
  data: Numbers
}
export interface Frame<Fields> {
  fields: Fields
  tensors: Record<string, Tensor>
}

const KINDS = { uint8: Uint8Array, int32: Int32Array, float32: Float32Array, float64: Float64Array }

export function decode<Fields>(buffer: ArrayBuffer): Frame<Fields> {
  const size = new DataView(buffer).getUint32(0, true)
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, size)))
  const tensors: Record<string, Tensor> = {}
  for (const one of header.tensors) {
    const count = one.shape.reduce((a: number, b: number) => a * b, 1)
    const kind = KINDS[one.dtype as keyof typeof KINDS]
    tensors[one.name] = { shape: one.shape, data: new kind(buffer, 4 + size + one.at, count) }
  }
  delete header.tensors
  return { fields: header as Fields, tensors }
}
