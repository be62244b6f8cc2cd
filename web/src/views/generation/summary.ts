import { exact, percent, significant } from '../../arithmetic/numbers'
import type { Drawn } from '../../arithmetic/sampler'

export interface Told {
  tail: string
  likeliest: string
  chosen: string
  drawn: Drawn
  temperature: number
  seed: number
  vocabulary: number
}

/** What the view says in words, as parts: plain text, numbers to stress, and tokens. */
export type Part = { text: string; as?: 'number' | 'token' | 'draw' }

export function summary(told: Told): Part[] {
  const { drawn } = told
  const first = drawn.order[0]
  const parts: Part[] = [
    { text: 'After ' }, { text: told.tail, as: 'token' }, { text: ' the model is ' },
    { text: significant(drawn.bits), as: 'number' }, { text: ' bits unsure. It finds ' }, { text: told.likeliest, as: 'token' },
    { text: ` likeliest, with ${percent(drawn.own[first])}` },
  ]
  if (told.temperature === 0) {
    parts.push({ text: '; temperature 0 always takes it.' })
    return parts
  }
  parts.push(
    { text: `; temperature ${told.temperature.toFixed(2)} makes that ${percent(drawn.tempered[first])}. The cuts leave ` },
    { text: exact(drawn.left), as: 'number' }, { text: ` of ${exact(told.vocabulary)} tokens, which held ${percent(drawn.held)}. Seed ${told.seed} draws ` },
    { text: told.chosen, as: 'draw' }, { text: '.' },
  )
  return parts
}
