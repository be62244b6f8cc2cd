/** The Task view's result in a sentence. */
import { exact, percent } from '../../arithmetic/numbers'
import type { Answers, Score } from './model.svelte'

export interface Part { text: string; strong?: boolean }
const SHARES = ['accuracy', 'exact match', 'recall@1', 'word accuracy']

/** A figure as it is said: shares of examples in percent, others as they are. */
export const figure = (score: { metric: string; value: number | null }, value: number | null = score.value): string =>
  value === null ? '–' : SHARES.includes(score.metric) ? percent(value) : value.toFixed(3)

export const interval = (score: Score): string =>
  score.low === null || score.high === null ? '' : `${figure(score, score.low)} to ${figure(score, score.high)}`

/** The cell outside of the right ones that counts most. */
export function worstCell(answers: Answers): { row: number; column: number; count: number } | null {
  const right = new Set(answers.cells.right.map(([row, column]) => `${row} ${column}`))
  const counts = new Map<string, number>()
  for (const places of answers.cells.places)
    for (const [row, column, count] of places) {
      const key = `${row} ${column}`
      if (!right.has(key)) counts.set(key, (counts.get(key) ?? 0) + count)
    }
  const [key, count] = [...counts].sort((a, b) => b[1] - a[1])[0] ?? []
  if (!key) return null
  const [row, column] = key.split(' ').map(Number)
  return { row, column, count: count! }
}

export function summary(answers: Answers, file: string, learned: boolean): Part[] {
  const score = answers.scores[0]
  const wrong = answers.cells.good.filter((good) => !good).length
  const shown = answers.examples.length
  const parts: Part[] = [
    { text: `On ${shown < answers.of ? `the first ${exact(shown)} of ${exact(answers.of)}` : exact(shown)} examples of ${file} its ` },
    { text: `${score.metric} is ${figure(score)}`, strong: true },
    { text: interval(score) ? ` (${interval(score)} in 95 % of resamples)` : '' },
  ]
  const worst = worstCell(answers)
  if (!worst) parts.push({ text: '; nothing is wrong.' })
  else {
    parts.push({ text: `. It errs in ${exact(wrong)}, most often ` })
    const { rows, columns, counts } = answers.cells
    const said = rows === columns || rows.join() === columns.join()
    parts.push({ text: said ? `where ${rows[worst.row]} is called ${columns[worst.column]}` : `“${columns[worst.column]}” at ${rows[worst.row]}`, strong: true })
    parts.push({ text: ` (${exact(worst.count)} ${counts}).` })
  }
  if (learned) parts.push({ text: ' The model may have learned from these examples: this is no test.' })
  return parts
}
