/** The held-out losses of a run, by step; none of a model folder, which has no metrics to ask for. */
import { getFrame } from './client'
import type { State } from './types'

export async function lossesOf(at: string, states: State[]): Promise<Map<number, number>> {
  if (states[0]?.at === at) return new Map()
  try {
    const { fields } = await getFrame<{ evaluations: { step: number; loss: number }[] }>('metrics', { at, points: 10 })
    return new Map(fields.evaluations.map((one) => [one.step, one.loss]))
  } catch {
    return new Map() // without metrics no state has a loss
  }
}
