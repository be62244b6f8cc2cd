/** The Tokenizer view's result in a sentence. */
import type { CutAnswer } from '../../api/schema'
import { exact, significant } from '../../arithmetic/numbers'

export interface Part { text: string; strong?: boolean }

const name = (at: string) => at.split('/').at(-1)!.replace(/^\w+:/, '')
/** The longest text that is cut step by step, in characters; as the server has it. */
export const LONGEST = 4000

/** A text without what is too much of it, and how many characters that is. */
export function cutOff(text: string): [string, number] {
  const characters = [...text]
  return characters.length > LONGEST ? [characters.slice(0, LONGEST).join(''), characters.length - LONGEST] : [text, 0]
}

export const each = (cut: CutAnswer): number => (cut.tokens.length ? cut.bytes / cut.tokens.length : 0)

export function summary(ats: string[], cuts: (CutAnswer | null)[]): Part[] {
  const parts: Part[] = []
  cuts.forEach((cut, index) => {
    if (!cut) return
    parts.push({ text: index ? '; in ' : 'This text is ' })
    if (index) parts.push({ text: `${name(ats[index])} ` })
    parts.push({ text: `${exact(cut.tokens.length)} ${cut.tokens.length === 1 ? 'token' : 'tokens'}`, strong: true })
    parts.push({ text: `${index ? '' : ` of ${name(ats[index])}`}, ${significant(each(cut), 3)} bytes each` })
    const unknown = cut.tokens.filter((one) => one.unknown).length
    if (unknown) parts.push({ text: ', ' }, { text: `${exact(unknown)} of them unknown`, strong: true })
  })
  const back = ({ lost: { length } }: CutAnswer) => (length ? `it differs in ${exact(length)} ${length === 1 ? 'place' : 'places'}` : 'it comes back letter by letter')
  const [first, second] = cuts
  if (first) parts.push({ text: `. Decoded, ${back(first)}${second && back(second) !== back(first) ? `; in ${name(ats[1])} ${back(second)}` : ''}.` })
  return parts
}
