/** Scaling laws: the twin of `Parametric` and `Allocation` in `scaling/laws.py`. */
export type Constants = [E: number, A: number, B: number, alpha: number, beta: number]
export interface Law {
  name: string
  source: string
  note: string
  parameters: [number, number]
  tokens: [number, number]
  constants: Constants | null
  draws: Constants[]
  power: [coefficient: number, exponent: number] | null
}
export interface Optimum { parameters: number; tokens: number; loss: number | null }

const FLOPS = 6

export const loss = ([E, A, B, alpha, beta]: Constants, parameters: number, tokens: number): number =>
  E + A / parameters ** alpha + B / tokens ** beta

/** N and D of lowest loss with 6 N D = compute, in closed form (Hoffmann et al. 2022, eq. 4). */
export function optimumOf(constants: Constants, compute: number): Optimum {
  const [, A, B, alpha, beta] = constants
  const balance = Math.log((alpha * A) / (beta * B)) / (alpha + beta)
  const spent = Math.log(compute / FLOPS)
  const parameters = Math.exp(Math.min(Math.max(balance + (beta / (alpha + beta)) * spent, 0), spent))
  const tokens = compute / (FLOPS * parameters)
  return { parameters, tokens, loss: loss(constants, parameters, tokens) }
}

export function optimum(law: Law, compute: number): Optimum {
  if (law.constants) return optimumOf(law.constants, compute)
  const [coefficient, exponent] = law.power!
  const parameters = coefficient * compute ** exponent
  return { parameters, tokens: compute / (FLOPS * parameters), loss: null }
}

/** How many times beyond the largest or below the smallest run that a law was fitted to; 1 inside. */
export function beyond(law: Pick<Law, 'parameters' | 'tokens'>, parameters: number, tokens: number): number {
  const factors = [1]
  for (const [value, [low, high]] of [[parameters, law.parameters], [tokens, law.tokens]] as [number, [number, number]][]) factors.push(low / value, value / high)
  return Math.max(...factors)
}

/** Quantile by linear interpolation, as numpy's. */
function quantile(sorted: number[], share: number): number {
  const place = share * (sorted.length - 1)
  const below = Math.floor(place)
  return sorted[below] + (place - below) * ((sorted[below + 1] ?? sorted[below]) - sorted[below])
}

/** Where the best size lies with a probability of 90 %; null where nobody said. */
export function interval(law: Pick<Law, 'draws'>, compute: number): [number, number] | null {
  if (!law.draws.length) return null
  const sizes = law.draws.map((one) => optimumOf(one, compute).parameters).sort((a, b) => a - b)
  return [quantile(sizes, 0.05), quantile(sizes, 0.95)]
}
