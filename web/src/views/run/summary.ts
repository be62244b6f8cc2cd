import { exact, significant } from '../../arithmetic/numbers'
import type { RunEvent } from '../../api/types'

/** What the view says first: how far the run is, and what it has reached. `task`: it learns from labelled examples. */
export function summary(last: RunEvent | null, evaluations: RunEvent[], ended: boolean, task = false): { text: string; strong?: boolean }[] {
  if (!last) return [{ text: 'No step has been made yet.' }]
  const read = last.tokens ?? last.words
  const unit = last.tokens !== undefined ? 'tokens' : 'words'
  const parts: { text: string; strong?: boolean }[] = [
    { text: ended ? `The ${task ? 'fine-tuning' : 'run'} ended after ` : 'After ' }, { text: exact(last.step), strong: true },
    { text: ` steps${read === undefined ? '' : ` and ${exact(read)} ${unit}`}` },
  ]
  if (last.loss !== undefined) parts.push({ text: ended ? ': the loss of its last step is ' : ' the training loss is ' }, { text: significant(last.loss, 4), strong: true }, { text: ' nats' })
  const [first, newest] = [evaluations[0], evaluations.at(-1)]
  if (newest?.loss !== undefined) {
    parts.push({ text: `, on ${task ? 'validation data' : 'held-out text'} ` }, { text: significant(newest.loss, 4), strong: true })
    if (newest.bits_per_byte !== undefined) parts.push({ text: ` (${significant(newest.bits_per_byte, 4)} bits a byte)` })
    if (first !== newest && first.loss !== undefined) parts.push({ text: `, from ${significant(first.loss, 4)} at step ${exact(first.step)}` })
  }
  const scored = evaluations.filter((event) => event.score !== undefined)
  if (scored.length) {
    parts.push({ text: '; its score on validation data is ' }, { text: significant(scored.at(-1)!.score, 3), strong: true })
    if (scored.length > 1) parts.push({ text: `, from ${significant(scored[0].score, 3)} at step ${exact(scored[0].step)}` })
  }
  parts.push({ text: '.' })
  return parts
}
