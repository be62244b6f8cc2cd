/** What if rules had other thresholds: counted over a sample of documents, from a byte a signal and document. */
export const UNDEFINED = 255
/** What a language's own rule says of a document; 0: it has none, and the general rule holds. */
const GOES = 2
export type Op = '<' | '<=' | '>' | '>='
const COMPARE: Record<Op, (place: number, at: number) => boolean> = {
  '<': (place, at) => place < at,
  '<=': (place, at) => place <= at,
  '>': (place, at) => place > at,
  '>=': (place, at) => place >= at,
}

export interface Threshold {
  signal: string
  op: Op
  /** The index of the threshold among the signal's values. */
  value: number
  /** Whether the rule holds for pages alone. */
  pages: boolean
  off: boolean
  /** What the rules of that name of the documents' own languages say, whatever the general threshold is. */
  own?: ArrayLike<number>
}
export interface Recount {
  kept: number
  share: number
  /** Half the width of the 95 % interval of `share`, by the size of the sample. */
  spread: number
  rules: { fires: number; alone: number }[]
}

/** Which documents a rule removes. */
function fires(rule: Threshold, places: Uint8Array, pages: Uint8Array | undefined): Uint8Array {
  const found = new Uint8Array(places.length)
  const holds = COMPARE[rule.op]
  for (let row = 0; row < places.length; row++) {
    const general = !rule.off && places[row] !== UNDEFINED && holds(places[row], 2 * rule.value)
    const goes = rule.own?.[row] ? rule.own[row] === GOES : general
    found[row] = goes && (!rule.pages || !!pages?.[row]) ? 1 : 0
  }
  return found
}

/** All rules again, at their thresholds. */
export function recount(rules: Threshold[], places: Record<string, Uint8Array>, pages: Uint8Array | undefined, documents: number): Recount {
  const all = rules.map((rule) => fires(rule, places[rule.signal], pages))
  const hits = new Uint16Array(documents)
  for (const one of all) for (let row = 0; row < documents; row++) hits[row] += one[row]
  const kept = hits.reduce((sum, count) => sum + (count === 0 ? 1 : 0), 0)
  const share = documents ? kept / documents : 0
  return {
    kept, share, spread: documents ? 1.96 * Math.sqrt((share * (1 - share)) / documents) : 0,
    rules: all.map((one) => ({
      fires: one.reduce((sum, fired) => sum + fired, 0),
      alone: one.reduce((sum, fired, row) => sum + (fired && hits[row] === 1 ? 1 : 0), 0),
    })),
  }
}
