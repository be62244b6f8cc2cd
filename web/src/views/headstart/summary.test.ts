import { expect, test } from 'vitest'
import { bargain, summary, type Told } from './summary'

const text = (parts: { text: string }[]) => parts.map((part) => part.text).join('')
const one = (mean: number, deviation: number | null = 0.01) => ({ mean, deviation, seeds: 3 })
const told: Told = {
  task: 'spam', labels: 100, metric: 'accuracy', tests: 600, shared: { name: 'the pre-trained model', measured: one(0.889, 0.004) },
  other: { name: 'random weights', measured: one(0.733, 0.012) }, needs: 480, most: 500, ahead: null,
}

test('both systems, their spread and the labels that are saved are named', () => {
  expect(text(summary(told))).toBe(
    'With 100 labels of spam, the pre-trained model scores 0.889 ± 0.004, random weights 0.733 ± 0.012 (accuracy, 3 seeds, 600 test examples). Random weights takes 480 labels for it. ',
  )
  expect(text(summary({ ...told, needs: null }))).toContain('does not come to that score with 500 labels')
  expect(text(summary({ ...told, other: { name: 'random weights', measured: one(0.9) } }))).toContain('no head start here')
  expect(text(summary({ ...told, ahead: { name: 'counted words', measured: one(0.95) } }))).toContain('Counted words does better than either')
})

test('what it costs is said as it is', () => {
  const asked = { shared: 'pre-trained weights', other: 'random ones', tuned: 3.1, scratch: 3.0, tasks: 2.3, reached: true, saved: 380 }
  expect(text(bargain(asked))).toContain('saves labels, hardly machine time. At these prices it pays from 3 tasks on, each of which saves 380 labels.')
  expect(text(bargain({ ...asked, tasks: null }))).toContain('never pays')
  expect(text(bargain({ ...asked, reached: false }))).toContain('At no price')
})
