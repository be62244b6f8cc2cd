import { amount, exact, percent, significant, size } from '../../arithmetic/numbers'

export interface Told {
  name: string
  parameters: number
  blocks: number
  flops: number
  rows: number
  row: number
  feedforward: number
  scores: number
  heads: number
  kv: number
  /** Parameters of a task model's head, which the diagram has not. */
  head: number
  /** Bytes of a text's cache in bfloat16; 0: it has none. */
  cache: number
}

/** What the view says in words; stressed parts are numbers. */
export function summary(told: Told): { text: string; strong?: boolean }[] {
  const parts: { text: string; strong?: boolean }[] = [
    { text: `${told.name} has ` }, { text: amount(told.parameters), strong: true }, { text: ` parameters in ${told.blocks} blocks. Over ${told.rows} × ${told.row.toLocaleString('en')} tokens a forward pass takes ` },
    { text: amount(told.flops), strong: true }, { text: ` operations: the feed-forward parts ${percent(told.feedforward / told.flops, 2)}, meeting of queries and keys ${percent(told.scores / told.flops, 2)}.` },
  ]
  if (told.head) parts.push({ text: ' Its head for a task has ' }, { text: exact(told.head), strong: true }, { text: ' parameters more; the diagram shows the output of pre-training in its place.' })
  if (told.cache)
    parts.push({ text: ` Its ${told.heads} heads ${told.kv === told.heads ? 'have a key and a value each' : `share ${told.kv} of keys and values`}: ` }, { text: size(told.cache), strong: true },
      { text: ` of cache a text${told.kv < told.heads ? `, ${significant(told.heads / told.kv, 2)} times less than with one each` : ''}.` })
  return parts
}

/** The score of a query and a key of ones, turned by their places: it depends on their distance alone (Su et al. 2021). */
export function turned(frequencies: number[], query: number, key: number): number {
  return frequencies.reduce((sum, frequency) => {
    const [cq, sq, ck, sk] = [Math.cos(query * frequency), Math.sin(query * frequency), Math.cos(key * frequency), Math.sin(key * frequency)]
    return sum + (cq - sq) * (ck - sk) + (sq + cq) * (sk + ck)
  }, 0)
}
