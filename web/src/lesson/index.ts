/** The lesson: ten chapters, in the order in which one thing follows from another. */
import { block } from './block'
import type { Chapter, Step } from './chapter'
import { choose } from './choose'
import { context } from './context'
import { corpus } from './corpus'
import { generation } from './generation'
import { masking } from './masking'
import { scaling } from './scaling'
import { story } from './story'
import { training } from './training'
import { why } from './why'

export const CHAPTERS: Chapter[] = [why, context, masking, generation, choose, corpus, scaling, training, block, story]

/** A place in the lesson as the address has it: `4.2` is the second step of the fourth chapter. */
export interface Place {
  /** Both from 1. */
  chapter: number
  step: number
}

export function placeOf(text: string | undefined): (Place & { of: Chapter; now: Step }) | null {
  const found = /^(\d+)\.(\d+)$/.exec(text ?? '')
  if (!found) return null
  const [chapter, step] = [Number(found[1]), Number(found[2])]
  const of = CHAPTERS[chapter - 1]
  const now = of?.steps[step - 1]
  return now ? { chapter, step, of, now } : null
}

/** The place before or behind another one, over the ends of chapters; null: there is none. */
export function beside({ chapter, step }: Place, by: 1 | -1): Place | null {
  const all = CHAPTERS.flatMap((one, c) => one.steps.map((_, s) => ({ chapter: c + 1, step: s + 1 })))
  const at = all.findIndex((one) => one.chapter === chapter && one.step === step)
  return all[at + by] ?? null
}

export const named = ({ chapter, step }: Place): string => `${chapter}.${step}`
