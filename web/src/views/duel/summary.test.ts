import { expect, test } from 'vitest'
import type { Duel, DuelTask } from '../../api/schema'
import { against, beats, summary, winner } from './summary'

const cell = (model: string, value: number | null) => ({ model, value, low: value, high: value, reason: value === null ? 'it writes none' : null })
const pair = (first: string, second: string, low: number, high: number) => ({ first, second, difference: (low + high) / 2, low, high, p: 0.01 })
const gaps: DuelTask = {
  task: 'gaps', metric: 'gaps filled', higher: true, n: 200, cells: [cell('encoder', 0.3), cell('decoder', 0.1), cell('encoder-decoder', 0.2)],
  pairs: [pair('encoder', 'decoder', 0.1, 0.3), pair('encoder', 'encoder-decoder', 0.02, 0.18), pair('decoder', 'encoder-decoder', -0.2, 0.01)],
}
const writing: DuelTask = { task: 'writing', metric: 'nats a token', higher: false, n: 200, cells: [cell('encoder', null), cell('decoder', 4), cell('encoder-decoder', 5)], pairs: [pair('decoder', 'encoder-decoder', -1.2, -0.8)] }
const model = { name: 'encoder', family: 'house', objective: 'masked', parameters: 930_000, flops: 1.2e12, tokens: 1, steps: 1, core_seconds: 1 }

test('a winner beats all others beyond chance', () => {
  expect(winner(gaps)).toBe('encoder')
  expect(winner(writing)).toBe('decoder')
  expect(beats(gaps, 'encoder-decoder', 'decoder')).toBe(false)
  expect(against(gaps, 'decoder', 'encoder')).toMatchObject({ low: -0.3, high: -0.1 })
  expect(winner({ ...gaps, pairs: gaps.pairs.map((one) => ({ ...one, low: -1 })) })).toBeNull()
})

test('the sentence says who wins and where nobody does', () => {
  const duel: Duel = { tokens: '', labels: '', wanted: ['a', 'b', 'c'], models: [model, model, model], tasks: [gaps, writing] }
  const text = (one: Duel) => summary(one).map((part) => part.text).join('')
  expect(text(duel)).toBe('Three models of 0.93M parameters, each trained with 1.2e12 operations on the same text. At filling gaps the encoder wins (30.0\u00a0%). At writing on the decoder wins (4.00 nats a token). ')
  expect(text({ ...duel, tasks: [{ ...gaps, pairs: gaps.pairs.map((one) => ({ ...one, low: -1, high: 1 })) }] })).toContain('nobody wins: encoder, decoder and encoder-decoder differ within chance')
})
