/** What a score costs by ways that pay differently: the twin of `tasks/finetuning/economy.py`. */
export interface Prices { label: number; core_hour: number }
export interface Way {
  /** Labels, from few to many, with the mean score and the mean core-seconds of a fit. */
  points: [labels: number, score: number, seconds: number][]
  /** Core-seconds that all tasks share. */
  once: number
}
const HOUR = 3600

/** Labels with which a way first comes to a score; null: with none that were measured. */
export function labelsFor(way: Way, score: number): number | null {
  const [first] = way.points
  if (!first) return null
  if (first[1] >= score) return first[0]
  for (let place = 1; place < way.points.length; place++) {
    const [few, below] = way.points[place - 1]
    const [many, above] = way.points[place]
    if (below < score && score <= above) return Math.exp(Math.log(few) + ((score - below) / (above - below)) * (Math.log(many) - Math.log(few)))
  }
  return null
}

/** Core-seconds of a fit on so many labels: between those that were measured, and beyond them as at the ends. */
export function coreSecondsWith(way: Way, labels: number): number {
  const [first, last] = [way.points[0], way.points.at(-1)!]
  if (labels <= first[0]) return first[2]
  for (let place = 1; place < way.points.length; place++) {
    const [few, , short] = way.points[place - 1]
    const [many, , long] = way.points[place]
    if (labels <= many) return short + ((Math.log(labels) - Math.log(few)) / (Math.log(many) - Math.log(few))) * (long - short)
  }
  return last[2]
}

export const priceOnce = (way: Way, prices: Prices): number => (way.once / HOUR) * prices.core_hour

/** What every task costs that is to come to a score; null: it does not. */
export function priceEach(way: Way, score: number, prices: Prices): number | null {
  const labels = labelsFor(way, score)
  return labels === null ? null : labels * prices.label + (coreSecondsWith(way, labels) / HOUR) * prices.core_hour
}

/** Tasks from which `shared` is no dearer; null: never, or it does not come to the score; 0 where the other does not. */
export function breakEven(shared: Way, other: Way, score: number, prices: Prices): number | null {
  const [own, others] = [priceEach(shared, score, prices), priceEach(other, score, prices)]
  if (own === null) return null
  if (others === null) return 0
  const extra = priceOnce(shared, prices) - priceOnce(other, prices)
  if (others > own) return Math.max(0, extra / (others - own))
  return extra <= 0 && others === own ? 0 : null
}
