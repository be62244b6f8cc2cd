/** What two figures side by side share: the decades of compute and size that both show. */
export interface Room { c0: number; c1: number; n0: number; n1: number }

const SUPER = '⁰¹²³⁴⁵⁶⁷⁸⁹'
export const powerOfTen = (exponent: number): string => `10${[...String(exponent)].map((digit) => (digit === '-' ? '⁻' : SUPER[Number(digit)])).join('')}`

/** Round steps between two values. */
export function ticks(low: number, high: number, count: number): number[] {
  const raw = (high - low) / count || 1
  const power = 10 ** Math.floor(Math.log10(raw))
  const step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= raw) ?? raw
  const found = []
  for (let tick = Math.ceil(low / step) * step; tick <= high + 1e-12; tick += step) found.push(Number(tick.toPrecision(12)))
  return found
}
