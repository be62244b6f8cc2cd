/** How a mix deals out its budget; the twin of `corpus.mix.rebalanced` and of `Repeated.effective_tokens`. */

/** The total dealt out by shares, no group above its most: what one cannot give the others do. */
export function rebalanced(shares: Record<string, number>, most: Record<string, number>, total: number): Record<string, number> {
  const targets: Record<string, number> = {}
  const left = new Map(Object.entries(shares))
  while (left.size) {
    const dealt = Object.values(targets).reduce((sum, one) => sum + one, 0)
    const weight = [...left.values()].reduce((sum, one) => sum + one, 0)
    const perShare = Math.max(total - dealt, 0) / weight
    const full = [...left.keys()].filter((name) => left.get(name)! * perShare >= most[name])
    if (!full.length) {
      for (const [name, share] of left) targets[name] = share * perShare
      return targets
    }
    for (const name of full) {
      targets[name] = most[name]
      left.delete(name)
    }
  }
  return targets
}

/** What text is worth that is read `epochs` times, in readings of fresh text of the same size (Muennighoff et al. 2023). */
export function worth(epochs: number, decay: number): number {
  return epochs <= 1 ? epochs : 1 + decay * -Math.expm1(-(epochs - 1) / decay)
}
