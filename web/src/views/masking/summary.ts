import { percent, significant } from '../../arithmetic/numbers'

export interface Told {
  architecture: 'encoder' | 'decoder' | 'encoder-decoder'
  tokens: number
  hidden: number
  /** Of each gap: rank of the truth, and its loss in bits. */
  ranks: number[]
  bits: number[]
  vocabulary: number
}

/** What the view says in words; stressed parts are numbers. */
export function summary(told: Told): { text: string; strong?: boolean }[] {
  const right = told.ranks.filter((rank) => rank === 1).length
  const mean = told.bits.reduce((sum, one) => sum + one, 0) / Math.max(told.bits.length, 1)
  const side = { encoder: 'From both sides', decoder: 'From the left alone', 'encoder-decoder': 'Reading what is left and writing the rest' }[told.architecture]
  const what = told.architecture === 'encoder-decoder' ? 'written tokens' : told.bits.length === 1 ? 'gap' : 'gaps'
  return [
    { text: `Of ${told.tokens} ${told.tokens === 1 ? 'token' : 'tokens'} ` }, { text: String(told.hidden), strong: true },
    { text: ` ${told.hidden === 1 ? 'is' : 'are'} chosen, ${percent(told.hidden / Math.max(told.tokens, 1), 2)}. ${side} the model finds ` },
    { text: String(right), strong: true }, { text: ` of ${told.bits.length} ${what} first; a gap costs it ` },
    { text: significant(mean), strong: true }, { text: ` bits on average, where blind guessing costs ${significant(Math.log2(told.vocabulary))}.` },
  ]
}

/** The correlation of ranks of two lists (Spearman 1904); ties share their mean rank. */
export function spearman(a: number[], b: number[]): number {
  const [x, y] = [ranked(a), ranked(b)]
  const middle = (x.length - 1) / 2
  let [top, left, right] = [0, 0, 0]
  for (let n = 0; n < x.length; n++) {
    top += (x[n] - middle) * (y[n] - middle)
    left += (x[n] - middle) ** 2
    right += (y[n] - middle) ** 2
  }
  return left && right ? top / Math.sqrt(left * right) : 0
}

function ranked(values: number[]): number[] {
  const order = values.map((_, index) => index).sort((p, q) => values[p] - values[q])
  const ranks = Array<number>(values.length)
  for (let from = 0; from < order.length; ) {
    let to = from
    while (to + 1 < order.length && values[order[to + 1]] === values[order[from]]) to++
    for (let n = from; n <= to; n++) ranks[order[n]] = (from + to) / 2
    from = to + 1
  }
  return ranks
}
