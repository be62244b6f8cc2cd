import { expect, test } from 'vitest'
import type { Answers } from './model.svelte'
import { figure, summary } from './summary'

const answers: Answers = {
  task: 'classification', writes: false, labels: ['neg', 'pos'], of: 4, slices: [], notes: [], correctable: true, sliced: {}, seconds: 1,
  scores: [{ metric: 'accuracy', value: 0.75, n: 4, low: 0.25, high: 1 }],
  cells: {
    rows: ['neg', 'pos'], columns: ['neg', 'pos'], right: [[0, 0], [1, 1]], counts: 'texts',
    places: [[[0, 0, 1]], [[1, 1, 1]], [[1, 0, 1]], [[1, 1, 1]]], good: [true, true, false, true], wrongness: [0, 0, 1, 0],
  },
  examples: Array.from({ length: 4 }, (_, line) => ({ line, text: '', truth: '', answer: '', probability: 1 })),
}

test('a result has its interval, its n and its worst confusion', () => {
  const said = summary(answers, 'mails.csv', false).map((part) => part.text).join('')
  expect(said).toBe('On 4 examples of mails.csv its accuracy is 75.0\u00a0% (25.0\u00a0% to 100\u00a0% in 95 % of resamples). It errs in 1, most often where pos is called neg (1 texts).')
  expect(summary({ ...answers, of: 9 }, 'x', true).at(-1)!.text).toContain('no test')
  expect(figure({ metric: 'Spearman', value: 0.5 })).toBe('0.500')
})
