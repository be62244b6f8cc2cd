/** Numbers as a page shows them: the twin of `page/numbers.py`. */
export const MISSING = '–'

function grouped(text: string): string {
  const [whole, part] = text.replace('-', '').split('.')
  const sign = text.startsWith('-') ? '−' : ''
  return sign + whole.replace(/\B(?=(\d{3})+$)/g, ',') + (part ? `.${part}` : '')
}

const known = (value: number | null | undefined): value is number => typeof value === 'number' && Number.isFinite(value)

/** What a text says as a number, between two bounds; another number where it is none. */
export function numberOf(text: string | undefined, otherwise: number, least: number, most: number): number {
  const number = text?.trim() ? Number(text) : Number.NaN
  return Number.isNaN(number) ? otherwise : Math.min(most, Math.max(least, number))
}

export function exact(value: number | null | undefined): string {
  return known(value) ? grouped(String(value)) : MISSING
}

export function significant(value: number | null | undefined, digits = 3): string {
  if (!known(value)) return MISSING
  if (value === 0) return '0'
  if (Math.abs(value) < 1e-5) return value.toExponential(digits - 1).replaceAll('-', '−')
  const magnitude = Math.floor(Math.log10(Math.abs(Number(value.toExponential(digits - 1)))))
  const decimals = digits - 1 - magnitude
  if (decimals >= 0) return grouped(value.toFixed(Math.min(decimals, 100)))
  const scale = 10 ** -decimals
  return grouped(String(Math.round(value / scale) * scale))
}

export function short(value: number | null | undefined): string {
  const text = significant(value)
  return text.includes('.') && !text.includes('e') ? text.replace(/0+$/, '').replace(/\.$/, '') : text
}

const PREFIXES: [number, string, string][] = [
  [1e12, 'T', 'T'],
  [1e9, 'B', 'G'],
  [1e6, 'M', 'M'],
  [1e3, 'k', 'k'],
]

export function amount(value: number | null | undefined, unit = ''): string {
  if (!known(value)) return MISSING
  if (!unit && Number.isInteger(value) && Math.abs(value) < 10_000) return grouped(String(value))
  if (!unit && Math.abs(value) >= 1e15) {
    const [mantissa, power] = value.toExponential(2).split('e')
    return `${mantissa.replace('-', '−')}e${power.startsWith('-') ? '-' : '+'}${power.slice(1).padStart(2, '0')}`
  }
  for (const [scale, count, quantity] of PREFIXES) {
    if (Math.abs(Number(value.toPrecision(3))) >= scale) {
      return unit ? `${short(value / scale)} ${quantity}${unit}` : `${short(value / scale)}${count}`
    }
  }
  return `${short(value)} ${unit}`.trimEnd()
}

export const size = (bytes: number | null | undefined): string => amount(bytes, 'B')

export function percent(share: number | null | undefined, digits = 3): string {
  return known(share) ? `${significant(100 * share, digits)}\u00a0%` : MISSING
}

export function duration(seconds: number | null | undefined): string {
  if (!known(seconds)) return MISSING
  if (seconds < 59.5) return `${short(seconds)} s`
  for (const [unit, name] of [[31_557_600, 'years'], [86_400, 'days']] as [number, string][]) {
    if (seconds >= 2 * unit) return `${short(seconds / unit)} ${name}`
  }
  let [large, small] = [Math.floor(Math.round(seconds) / 60), Math.round(seconds) % 60]
  let units = ['min', 's']
  if (large >= 60) {
    const minutes = Math.round(seconds / 60)
    ;[large, small] = [Math.floor(minutes / 60), minutes % 60]
    units = ['h', 'min']
  }
  return small ? `${large} ${units[0]} ${small} ${units[1]}` : `${large} ${units[0]}`
}
