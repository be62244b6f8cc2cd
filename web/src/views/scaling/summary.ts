import { beyond, interval, optimum, type Between, type Law } from '../../arithmetic/law'
import { amount, percent, significant } from '../../arithmetic/numbers'

export interface Words { text: string; strong?: boolean }
export interface Life { parameters: number; tokens: number; saved: number; between: Between | null }

export const plain = (value: number): string => value.toExponential(1).replace('+', '')

/** What a law makes of a compute, in words; and of its use, where it is used. */
export function summary(law: Law, compute: number, use = 0, life: Life | null = null): Words[] {
  const best = optimum(law, compute)
  const between = interval(law, compute)
  const far = beyond(law, best.parameters, best.tokens)
  const parts: Words[] = [
    { text: `With ${plain(compute)} operations, ${law.name} trains ` }, { text: amount(best.parameters), strong: true },
    { text: ' parameters on ' }, { text: amount(best.tokens), strong: true }, { text: ` tokens, ${significant(best.tokens / best.parameters, 2)} a parameter` },
  ]
  if (best.loss !== null) parts.push({ text: ', to a loss of ' }, { text: significant(best.loss), strong: true }, { text: ' nats' })
  if (between) parts.push({ text: ` (the size within ${amount(between[0])} to ${amount(between[1])} with 90 %)` })
  parts.push({ text: far > 1.05 ? `. That is ${significant(far, 2)} times outside of the runs that it was fitted to.` : '. Its own runs reach that far.' })
  if (life) {
    parts.push({ text: ` Where ${amount(use)} tokens are read and written in use, the same loss costs least with ` }, { text: amount(life.parameters), strong: true },
      { text: ` parameters on ${amount(life.tokens)} tokens: ${percent(life.saved, 2)} less over its life.` })
  }
  return parts
}

/** What a share of operations over a life is, as people ask: so many who read and write 1,000 tokens a day for a year. */
export const people = (tokens: number): string => `${amount(Math.round(tokens / 365_000))} people for a year, at 1,000 tokens a day`
