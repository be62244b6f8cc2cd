import { beyond, interval, optimum, type Law } from '../../arithmetic/law'
import { amount, significant } from '../../arithmetic/numbers'

/** What a law makes of a compute, in words. */
export function summary(law: Law, compute: number): { text: string; strong?: boolean }[] {
  const best = optimum(law, compute)
  const between = interval(law, compute)
  const far = beyond(law, best.parameters, best.tokens)
  const parts: { text: string; strong?: boolean }[] = [
    { text: `With ${compute.toExponential(1).replace('+', '')} operations, ${law.name} trains ` }, { text: amount(best.parameters), strong: true },
    { text: ' parameters on ' }, { text: amount(best.tokens), strong: true }, { text: ` tokens, ${significant(best.tokens / best.parameters, 2)} a parameter` },
  ]
  if (best.loss !== null) parts.push({ text: ', to a loss of ' }, { text: significant(best.loss), strong: true }, { text: ' nats' })
  if (between) parts.push({ text: ` (the size within ${amount(between[0])} to ${amount(between[1])} with 90 %)` })
  parts.push({ text: far > 1.05 ? `. That is ${significant(far, 2)} times outside of the runs that it was fitted to.` : '. Its own runs reach that far.' })
  return parts
}
