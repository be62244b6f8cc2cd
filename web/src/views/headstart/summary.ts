import { exact, significant } from '../../arithmetic/numbers'

export interface Measured { mean: number; deviation: number | null; seeds: number }
export interface Told {
  task: string
  labels: number
  metric: string
  tests: number
  shared: { name: string; measured: Measured }
  other: { name: string; measured: Measured } | null
  /** Labels with which the other comes to the same score; null: with none that were measured. */
  needs: number | null
  most: number
  /** Counted words, where they are measured and stand above. */
  ahead: { name: string; measured: Measured } | null
}
type Part = { text: string; strong?: boolean }

const figure = (one: Measured) => significant(one.mean) + (one.deviation === null ? '' : ` ± ${one.deviation.toFixed(3)}`)

/** What the plane says at one number of labels, in words. */
export function summary(told: Told): Part[] {
  const { shared, other } = told
  const parts: Part[] = [
    { text: `With ${exact(told.labels)} labels of ${told.task}, ${shared.name} scores ` }, { text: figure(shared.measured), strong: true },
  ]
  if (other) {
    const gap = shared.measured.mean - other.measured.mean
    const apart = (shared.measured.deviation ?? 0) + (other.measured.deviation ?? 0)
    parts.push({ text: `, ${other.name} ` }, { text: figure(other.measured), strong: true })
    parts.push({ text: ` (${told.metric}, ${shared.measured.seeds} seed${shared.measured.seeds === 1 ? '' : 's'}, ${exact(told.tests)} test examples)` })
    if (gap <= 0) parts.push({ text: ': no head start here' })
    else if (Math.abs(gap) <= apart) parts.push({ text: ': within the spread of the seeds' })
    if (gap > 0) {
      if (told.needs === null) parts.push({ text: `. ${capital(other.name)} does not come to that score with ${exact(told.most)} labels` })
      else parts.push({ text: `. ${capital(other.name)} takes ` }, { text: `${significant(told.needs, 2)} labels`, strong: true }, { text: ' for it' })
    }
  }
  parts.push({ text: '. ' })
  if (told.ahead) parts.push({ text: `${capital(told.ahead.name)} does better than either: ${figure(told.ahead.measured)}.` })
  return parts
}

const capital = (text: string) => text.charAt(0).toUpperCase() + text.slice(1)

export interface Bargain {
  shared: string
  other: string
  /** Seconds of one fit, with as many labels. */
  tuned: number
  scratch: number | null
  tasks: number | null
  reached: boolean
  saved: number | null
}

/** What the costs say: the one thing that no drawn picture of the two paradigms can. */
export function bargain(told: Bargain): Part[] {
  const parts: Part[] = []
  if (told.scratch !== null) {
    parts.push({ text: `On equal labels one fit takes ${significant(told.tuned, 2)} core-seconds for ${told.shared} and ${significant(told.scratch, 2)} for ${told.other}: ` })
    const ratio = told.scratch / told.tuned
    parts.push({ text: ratio > 1.5 ? `a fit costs ${significant(ratio, 2)} times as much without the head start. ` : ratio < 0.67 ? 'the head start makes no fit cheaper. ' : 'a head start saves labels, hardly machine time. ' })
  }
  if (!told.reached) parts.push({ text: `At no price does ${told.other} come to this score with the labels that were measured.` })
  else if (told.tasks === null) parts.push({ text: 'At these prices it ' }, { text: 'never pays', strong: true }, { text: '.' })
  else parts.push({ text: 'At these prices it pays ' }, { text: told.tasks <= 1 ? 'from the first task on' : `from ${exact(Math.ceil(told.tasks))} tasks on`, strong: true }, { text: told.saved ? `, each of which saves ${significant(told.saved, 2)} labels.` : '.' })
  return parts
}
