/** The Chat view's result in a sentence. */
import { exact, percent, significant } from '../../arithmetic/numbers'
import type { Said } from './model.svelte'

export interface Part { text: string; strong?: boolean }
const shown = (text: string) => text.trim() || '⏎'

export function summary(turns: Said[], template: boolean): Part[] {
  const last = turns.findLast((one) => one.role === 'assistant')
  if (!last) return [{ text: template ? 'Say something: every token of the answer will show how likely it was, and what else might have stood there.' : 'This model has no chat template, so it goes on with a text instead of answering: write how it begins.' }]
  const scored = last.tokens.filter((one) => typeof one.logprob === 'number')
  const parts: Part[] = [{ text: template ? 'The last answer is ' : 'It has gone on for ' }, { text: `${exact(last.tokens.length)} tokens`, strong: true }]
  if (scored.length) {
    const bits = scored.reduce((sum, one) => sum - one.logprob! / Math.LN2, 0) / scored.length
    const least = scored.reduce((a, b) => (a.logprob! <= b.logprob! ? a : b))
    parts.push({ text: `, ${significant(bits, 3)} bits of surprise each`, strong: true }, { text: `; least likely was “${shown(least.text)}” with ${percent(Math.exp(least.logprob!), 2)}` })
  }
  if (last.calls.length) parts.push({ text: `. It calls ${last.calls.map((one) => String(one.name)).join(', ')}`, strong: true })
  parts.push({ text: last.finish === 'length' ? '. It was cut at its longest.' : last.finish === 'stopped' ? '. It was stopped.' : '.' })
  return parts
}
