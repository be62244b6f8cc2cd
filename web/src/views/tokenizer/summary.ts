/** The Tokenizer view's result in a sentence. */
import type { CutAnswer } from '../../api/schema'
import { exact, significant } from '../../arithmetic/numbers'

export interface Part { text: string; strong?: boolean }

const name = (at: string) => at.split('/').at(-1)!.replace(/^\d+:/, '')
export const each = (cut: CutAnswer): number => (cut.tokens.length ? cut.bytes / cut.tokens.length : 0)

export function summary(ats: string[], cuts: (CutAnswer | null)[]): Part[] {
  const parts: Part[] = []
  cuts.forEach((cut, index) => {
    if (!cut) return
    parts.push({ text: index ? '; in ' : 'This text is ' })
    if (index) parts.push({ text: `${name(ats[index])} ` })
    parts.push({ text: `${exact(cut.tokens.length)} tokens`, strong: true })
    parts.push({ text: `${index ? '' : ` of ${name(ats[index])}`}, ${significant(each(cut), 3)} bytes each` })
    const unknown = cut.tokens.filter((one) => one.unknown).length
    if (unknown) parts.push({ text: ', ' }, { text: `${exact(unknown)} of them unknown`, strong: true })
  })
  const [first] = cuts
  if (first) {
    const lost = first.lost.length
    parts.push({ text: lost ? `. Decoded, it differs in ${exact(lost)} ${lost === 1 ? 'place' : 'places'}.` : '. Decoded, it comes back letter by letter.' })
  }
  return parts
}
