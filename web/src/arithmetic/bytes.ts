/** Byte-level BPE writes each byte as one printable character (GPT-2): the way back to text. */
const PRINTABLE = [...range(33, 127), ...range(161, 173), ...range(174, 256)]
const OTHERS = range(0, 256).filter((byte) => !PRINTABLE.includes(byte))
const BYTES = new Map<string, number>([...PRINTABLE.map((byte): [string, number] => [String.fromCodePoint(byte), byte]), ...OTHERS.map((byte, index): [string, number] => [String.fromCodePoint(256 + index), byte])])

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, index) => from + index)
}

/** The text of a token in that alphabet; bytes of no whole character as their number. */
export function textOf(token: string): string {
  const bytes = Uint8Array.from([...token].map((letter) => BYTES.get(letter) ?? 63))
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    return [...bytes].map((byte) => `⟨${byte.toString(16).toUpperCase().padStart(2, '0')}⟩`).join('')
  }
}
