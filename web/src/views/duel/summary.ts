import { percent, significant } from '../../arithmetic/numbers'
import type { Duel, DuelTask, PairedDifference } from '../../api/schema'

export type Part = { text: string; strong?: boolean }

/** How much better the first is than the second, whichever way the pair stands in the file; null: not compared. */
export function against(task: DuelTask, first: string, second: string): PairedDifference | null {
  const found = task.pairs.find((pair) => [pair.first, pair.second].includes(first) && [pair.first, pair.second].includes(second))
  if (!found || found.first === first) return found ?? null
  return { first, second, difference: -found.difference, low: -found.high, high: -found.low, p: found.p }
}

/** Whether a difference is beyond chance, to the better side. */
export const beats = (task: DuelTask, first: string, second: string): boolean => {
  const pair = against(task, first, second)
  return !!pair && (task.higher ? pair.low > 0 : pair.high < 0)
}

/** The one that beats every other that was measured; null: nobody does. */
export function winner(task: DuelTask): string | null {
  const measured = task.cells.filter((cell) => cell.value !== null).map((cell) => cell.model)
  return measured.length < 2 ? null : (measured.find((one) => measured.every((other) => other === one || beats(task, one, other))) ?? null)
}

export const NAMES: Record<string, string> = { classification: 'telling classes', gaps: 'filling gaps', writing: 'writing on' }
export const figure = (task: DuelTask, value: number | null): string => (task.task === 'writing' ? significant(value, 3) : percent(value, 3))

export const listed = (names: string[]): string => (names.length > 1 ? `${names.slice(0, -1).join(', ')} and ${names.at(-1)}` : names.join(''))

/** The result in words: who wins what, and where nobody does. */
export function summary(duel: Duel): Part[] {
  const [first] = duel.models
  const parts: Part[] = []
  if (first) {
    const [low, high] = [Math.min(...duel.models.map((one) => one.parameters)), Math.max(...duel.models.map((one) => one.parameters))]
    parts.push({ text: `${duel.models.length === 3 ? 'Three models' : `${duel.models.length} of ${duel.wanted.length} models`} of ${significant((low + high) / 2e6, 2)}M parameters, each trained with ${first.flops.toExponential(1).replace('+', '')} operations on the same text. ` })
  }
  for (const task of duel.tasks) {
    if (task.pairs.length === 0) continue
    const best = winner(task)
    const cells = task.cells.filter((cell) => cell.value !== null)
    const top = cells.reduce((a, b) => ((task.higher ? b.value! > a.value! : b.value! < a.value!) ? b : a))
    const name = NAMES[task.task] ?? task.task
    if (best) parts.push({ text: `At ${name} the ` }, { text: best, strong: true }, { text: ` wins (${figure(task, top.value)}${task.task === 'writing' ? ' nats a token' : ''}). ` })
    else if (cells.length > 1) {
      const rivals = cells.filter((cell) => cell !== top && !beats(task, top.model, cell.model)).map((cell) => cell.model)
      parts.push({ text: `At ${name} ` }, { text: 'nobody wins', strong: true }, { text: `: ${listed([top.model, ...rivals])} differ within chance. ` })
    }
  }
  return parts
}
