import { exact, percent, significant } from '../../arithmetic/numbers'

export interface Told {
  word: string
  shown: number
  count: number
  own: number
  layer: number
  spread: number
  /** Of the same layer in the earliest state that is shown; null: there is one state alone. */
  before: { step: number | null; spread: number } | null
  groups: number
  telling: string[][]
  variance: number
}

/** What the view says in words; stressed parts are numbers. */
export function summary(told: Told): { text: string; strong?: boolean }[] {
  const where = told.count ? `stands in ${exact(told.count)} sentences of the corpus${told.shown - told.own < told.count ? `, of which ${told.shown - told.own} are drawn` : ''}` : `stands in ${told.shown} sentences`
  const parts: { text: string; strong?: boolean }[] = [{ text: `“${told.word}” ${where}. A static vector is one point for all of them. ` }]
  if (!told.layer) parts.push({ text: 'In the embedding the model has just that: two of them lie ' }, { text: significant(told.spread, 2), strong: true }, { text: ' apart by cosine.' })
  else parts.push({ text: `Behind layer ${told.layer} two of them lie ` }, { text: significant(told.spread, 2), strong: true }, { text: ' apart by cosine on average' },
    { text: told.before ? `; at ${told.before.step === null ? 'first' : `step ${exact(told.before.step)}`} it was ${significant(told.before.spread, 2)}.` : '.' })
  if (told.groups > 1) parts.push({ text: ` They form ${told.groups} groups, told by ${told.telling.map((words) => words.slice(0, 2).join(' and ')).join('; by ')}.` })
  else parts.push({ text: ' They form no clear groups.' })
  parts.push({ text: ` The plane keeps ${percent(told.variance, 2)} of the variance.` })
  return parts
}
