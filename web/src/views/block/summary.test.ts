import { expect, test } from 'vitest'
import { summary, turned } from './summary'

test('the sentence has the sizes and what shared heads save', () => {
  const told = { name: 'mine', parameters: 2_000_000, blocks: 4, flops: 1e9, rows: 1, row: 512, feedforward: 5e8, scores: 1e7, heads: 8, kv: 2, head: 0, cache: 1e6 }
  const said = summary(told).map((part) => part.text).join('').replaceAll('\u00a0', ' ')
  expect(said).toBe('mine has 2M parameters in 4 blocks. Over 1 × 512 tokens a forward pass takes 1B operations: the feed-forward parts 50 %, meeting of queries and keys 1.0 %. Its 8 heads share 2 of keys and values: 1 MB of cache a text, 4.0 times less than with one each.')
  expect(summary({ ...told, cache: 0 }).length).toBe(5)
  expect(summary({ ...told, head: 98, cache: 0 }).map((part) => part.text).join('')).toContain(' Its head for a task has 98 parameters more; the diagram shows the output of pre-training')
})

test('a score stays when both places are shifted', () => {
  const frequencies = [1, 0.1, 0.01, 0.001]
  expect(turned(frequencies, 7, 3)).toBeCloseTo(turned(frequencies, 1007, 1003), 9)
  expect(turned(frequencies, 5, 5)).toBeCloseTo(8, 9)
  expect(turned(frequencies, 9, 3)).not.toBeCloseTo(turned(frequencies, 7, 3), 3)
})
