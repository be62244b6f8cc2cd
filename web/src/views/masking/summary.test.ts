import { expect, test } from 'vitest'
import { spearman, summary } from './summary'

test('the sentence has the numbers of the gaps', () => {
  const parts = summary({ architecture: 'encoder', tokens: 20, hidden: 3, ranks: [1, 4, 1], bits: [1, 6, 2], vocabulary: 1024 })
  expect(parts.map((part) => part.text).join('').replaceAll('\u00a0', ' ')).toBe(
    'Of 20 tokens 3 are chosen, 15 %. From both sides the model finds 2 of 3 gaps first; a gap costs it 3.00 bits on average, where blind guessing costs 10.0.',
  )
  expect(summary({ architecture: 'encoder', tokens: 1, hidden: 1, ranks: [2], bits: [1], vocabulary: 1024 })[0].text).toBe('Of 1 token ')
})

test('ranks that agree correlate by one, with ties shared', () => {
  expect(spearman([1, 2, 3, 4], [10, 20, 30, 400])).toBeCloseTo(1)
  expect(spearman([1, 2, 3, 4], [4, 3, 2, 1])).toBeCloseTo(-1)
  expect(spearman([1, 2, 2, 3], [1, 2, 2, 3])).toBeCloseTo(1)
  expect(spearman([1, 2, 2, 4], [1, 3, 2, 4])).toBeCloseTo(0.9487, 4)
})
