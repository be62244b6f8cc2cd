/** Scaling laws: the twin of `scaling/laws.py` and `scaling/questions.py`. */
export type Constants = [E: number, A: number, B: number, alpha: number, beta: number]
export interface Law {
  name: string
  source: string
  note: string
  parameters: [number, number]
  tokens: [number, number]
  constants: Constants | null
  /** The loss is the sum of the three terms to this power: 1 in Hoffmann's form, alpha_D in Kaplan's. */
  outer: number
  counts_embeddings: boolean
  draws: Constants[]
  power: [coefficient: number, exponent: number] | null
}
export interface Optimum { parameters: number; tokens: number; loss: number | null }
export interface Split extends Optimum { compute: number; loss: number }
export type Between = [low: number, high: number]

const FLOPS = 6
/** Operations of a forward pass for each parameter and token. */
const FORWARD = 2

export const loss = ([E, A, B, alpha, beta]: Constants, parameters: number, tokens: number, outer = 1): number =>
  (E + A / parameters ** alpha + B / tokens ** beta) ** outer

const split = (constants: Constants, outer: number, parameters: number, tokens: number): Split =>
  ({ parameters, tokens, compute: FLOPS * parameters * tokens, loss: loss(constants, parameters, tokens, outer) })

/** N and D of lowest loss with 6 N D = compute, in closed form (Hoffmann et al. 2022, eq. 4). */
export function optimumOf(constants: Constants, compute: number, outer = 1): Split {
  const [, A, B, alpha, beta] = constants
  const balance = Math.log((alpha * A) / (beta * B)) / (alpha + beta)
  const spent = Math.log(compute / FLOPS)
  const parameters = Math.exp(Math.min(Math.max(balance + (beta / (alpha + beta)) * spent, 0), spent))
  return split(constants, outer, parameters, compute / (FLOPS * parameters))
}

export function optimum(law: Law, compute: number): Optimum {
  if (law.constants) return optimumOf(law.constants, compute, law.outer)
  const [coefficient, exponent] = law.power!
  const parameters = coefficient * compute ** exponent
  return { parameters, tokens: compute / (FLOPS * parameters), loss: null }
}

/** The least training compute that reaches a loss: there alpha A / N^alpha = beta B / D^beta. */
export function cheapest(constants: Constants, wanted: number, outer = 1): Split {
  const [E, A, B, alpha, beta] = constants
  const left = wanted ** (1 / outer) - E
  const both = alpha + beta
  return split(constants, outer, ((A * both) / (beta * left)) ** (1 / alpha), ((B * both) / (alpha * left)) ** (1 / beta))
}

/** Tokens after which a model of a size has a loss; infinite if it never gets there. */
export function tokensFor([E, A, B, alpha, beta]: Constants, parameters: number, wanted: number, outer = 1): number {
  const left = wanted ** (1 / outer) - E - A / parameters ** alpha
  return left > 0 ? (B / left) ** (1 / beta) : Infinity
}

/** The N and D that reach a loss at the least compute of training, 6 N D, and use, 2 N a token (Sardana et al. 2023, eq. 2).
    Where the slope of that over ln N is zero: 6 D (1 - alpha A N^-alpha / beta left) + 2 served = 0. */
export function lifetime(constants: Constants, wanted: number, served: number, outer = 1): Split {
  const [E, A, , alpha, beta] = constants
  const start = cheapest(constants, wanted, outer)
  if (served <= 0) return start
  const left = wanted ** (1 / outer) - E
  const slope = (parameters: number) => {
    const size = A / parameters ** alpha
    return FLOPS * tokensFor(constants, parameters, wanted, outer) * (1 - (alpha * size) / (beta * (left - size))) + FORWARD * served
  }
  let [low, high] = [Math.log(A / left) / alpha, Math.log(start.parameters)]
  for (let round = 0; round < 60; round++) {
    const middle = (low + high) / 2
    const here = slope(Math.exp(middle))
    if (here < 0 || Number.isNaN(here)) low = middle
    else high = middle
  }
  const parameters = Math.exp(high)
  const tokens = tokensFor(constants, parameters, wanted, outer)
  return { parameters, tokens, compute: FLOPS * parameters * tokens, loss: wanted }
}

export const served = (of: Split, tokens: number): number => of.compute + FORWARD * of.parameters * tokens

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

/** Where an answer lies with a probability of 90 %, by asking the law with all constants that it might have; null where nobody said. */
export function within(law: Pick<Law, 'draws'>, answer: (constants: Constants) => number): Between | null {
  if (!law.draws.length) return null
  const values = law.draws.map(answer).sort((a, b) => a - b)
  return [quantile(values, 0.05), quantile(values, 0.95)]
}

export const interval = (law: Pick<Law, 'draws'>, compute: number): Between | null => within(law, (one) => optimumOf(one, compute).parameters)

/** A trained model beside the best that its compute, or its loss, could have been had with. */
export interface Standing {
  parameters: number
  tokens: number
  compute: number
  loss: number
  best: Split
  equal: Split
  /** Its size over the best one for its compute. */
  size: number
  /** Nats above the best that its compute allows. */
  lost: number
  /** Share of training compute beyond what its loss costs. */
  extra: number
  /** Share by which each token is cheaper in use than with the cheapest-to-train equal. */
  saved: number
  /** Tokens of use after which the extra training is paid back. */
  after: number
  sizeBetween: Between | null
  lostBetween: Between | null
  extraBetween: Between | null
}

export function standing(law: Law, parameters: number, tokens: number): Standing | null {
  if (!law.constants) return null
  const compute = FLOPS * parameters * tokens
  const here = loss(law.constants, parameters, tokens, law.outer)
  const best = optimumOf(law.constants, compute, law.outer)
  const equal = cheapest(law.constants, here, law.outer)
  const cheaper = FORWARD * (equal.parameters - parameters)
  return {
    parameters, tokens, compute, loss: here, best, equal, size: parameters / best.parameters, lost: here - best.loss,
    extra: compute / equal.compute - 1, saved: 1 - parameters / equal.parameters,
    after: cheaper > 0 ? Math.max(compute - equal.compute, 0) / cheaper : Infinity,
    sizeBetween: within(law, (one) => parameters / optimumOf(one, compute).parameters),
    lostBetween: within(law, (one) => loss(one, parameters, tokens) - optimumOf(one, compute).loss),
    extraBetween: within(law, (one) => compute / cheapest(one, loss(one, parameters, tokens)).compute - 1),
  }
}
