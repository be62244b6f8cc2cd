/** From logits to the next token: the twin of `generation/sampling.py`, in its order and in double precision.
 *
 * The input are logits without what may not come (`constrain` in Python has made those -Infinity). */

export interface Rules {
  temperature: number
  top_k: number
  top_p: number
  min_p: number
}

export interface Drawn {
  /** Token ids, the likeliest first; equal ones by id. */
  order: Int32Array
  /** Softmax of the logits as given. */
  own: Float64Array
  /** After temperature, before the cuts; of temperature 0 all on the likeliest. */
  tempered: Float64Array
  /** After temperature and cuts: what is drawn from. */
  kept: Float64Array
  /** How many tokens are left, and how much of the model's own probability they held. */
  left: number
  held: number
  /** Bits that the model is unsure: the entropy of its own probabilities. */
  bits: number
  /** How many each cut alone lets through, in its turn. */
  cuts: { top_k: number; top_p: number; min_p: number }
  chosen: number
}

function softmax(logits: Float64Array): Float64Array {
  let largest = -Infinity
  for (const value of logits) if (value > largest) largest = value
  const result = new Float64Array(logits.length)
  let total = 0
  for (let index = 0; index < logits.length; index++) total += result[index] = Math.exp(logits[index] - largest)
  for (let index = 0; index < logits.length; index++) result[index] /= total
  return result
}

function count(logits: Float64Array): number {
  let found = 0
  for (const value of logits) if (value > -Infinity) found++
  return found
}

function keepTopK(logits: Float64Array, k: number, sorted: Float64Array): Float64Array {
  if (!(k > 0 && k < logits.length)) return logits
  const least = sorted[k - 1]
  return logits.map((value) => (value < least ? -Infinity : value))
}

function keepTopP(logits: Float64Array, share: number): Float64Array {
  if (share >= 1) return logits
  const ordered = logits.filter((value) => value > -Infinity).sort((a, b) => b - a)
  const chances = softmax(ordered)
  let likelier = 0
  let least = Infinity
  for (let rank = 0; rank < ordered.length; rank++) {
    // As torch does: the running sum with this one in it, less this one.
    const sum = likelier + chances[rank]
    if (sum - chances[rank] < share) least = ordered[rank]
    likelier = sum
  }
  return logits.map((value) => (value < least ? -Infinity : value))
}

function keepMinP(logits: Float64Array, share: number): Float64Array {
  if (share <= 0) return logits
  let largest = -Infinity
  for (const value of logits) if (value > largest) largest = value
  const least = largest + Math.log(share)
  return logits.map((value) => (value < least ? -Infinity : value))
}

/** The token at `uniform` of the cumulative distribution, ids end to end. */
export function draw(probabilities: Float64Array, uniform: number): number {
  let total = 0
  for (const value of probabilities) total += value
  const wanted = uniform * total
  let cumulative = 0
  let last = 0
  for (let index = 0; index < probabilities.length; index++) {
    cumulative += probabilities[index]
    if (probabilities[index] > 0) last = index
    if (cumulative > wanted) return index
  }
  return last
}

export function sample(given: ArrayLike<number>, rules: Rules, uniform: number): Drawn {
  const logits = Float64Array.from(given)
  const own = softmax(logits)
  const order = Int32Array.from({ length: logits.length }, (_, index) => index)
  order.sort((a, b) => logits[b] - logits[a] || a - b)
  let bits = 0
  for (const value of own) if (value > 0) bits -= value * Math.log2(value)
  if (rules.temperature === 0) {
    const kept = new Float64Array(logits.length)
    kept[order[0]] = 1
    const cuts = { top_k: 1, top_p: 1, min_p: 1 }
    return { order, own, tempered: kept, kept, left: 1, held: own[order[0]], bits, cuts, chosen: order[0] }
  }
  const sorted = Float64Array.from(order, (index) => logits[index])
  const largest = sorted[0]
  const temper = (values: Float64Array) => values.map((value) => (value - largest) / rules.temperature)
  const byK = temper(keepTopK(logits, rules.top_k, sorted))
  const byP = keepTopP(byK, rules.top_p)
  const byMin = keepMinP(byP, rules.min_p)
  const kept = softmax(byMin)
  let held = 0
  for (let index = 0; index < kept.length; index++) if (byMin[index] > -Infinity) held += own[index]
  return {
    order,
    own,
    tempered: softmax(temper(logits)),
    kept,
    left: count(byMin),
    held,
    bits,
    cuts: { top_k: count(byK), top_p: count(byP), min_p: count(byMin) },
    chosen: draw(kept, uniform),
  }
}

/** Bits by which one distribution is another: KL(p || q). */
export function divergence(p: Float64Array, q: Float64Array): number {
  let bits = 0
  for (let index = 0; index < p.length; index++) {
    if (p[index] > 0) bits += p[index] * Math.log2(p[index] / Math.max(q[index], 1e-300))
  }
  return bits
}
