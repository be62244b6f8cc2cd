import { expect, test } from 'vitest'
import type { RunEvent } from '../../api/types'
import { summary } from './summary'

const event = (values: Partial<RunEvent>) => ({ seq: 1, time: 0, kind: 'step', step: 0, ...values }) as RunEvent
const said = (...given: Parameters<typeof summary>) => summary(...given).map((part) => part.text).join('')

test('the sentence has the run in numbers, in its own unit', () => {
  const evaluations = [event({ kind: 'evaluation', loss: 9.05 }), event({ kind: 'evaluation', step: 700, loss: 5.311, bits_per_byte: 1.947 })]
  expect(said(event({ step: 700, tokens: 716800, loss: 5.3216 }), evaluations, true)).toBe(
    'The run ended after 700 steps and 716,800 tokens: the loss of its last step is 5.322 nats, on held-out text 5.311 (1.947 bits a byte), from 9.050 at step 0.',
  )
  expect(said(event({ step: 3, words: 900 }), [], false)).toBe('After 3 steps and 900 words.')
  expect(said(null, [], false)).toBe('No step has been made yet.')
})

test('a fine-tuning is measured on its validation data', () => {
  const scores = [event({ kind: 'evaluation', step: 20, score: 0.5 }), event({ kind: 'evaluation', step: 100, score: 0.91234 })]
  expect(said(event({ step: 100, loss: 0.25 }), scores, true, true)).toBe(
    'The fine-tuning ended after 100 steps: the loss of its last step is 0.2500 nats; its score on validation data is 0.912, from 0.500 at step 20.',
  )
  expect(said(event({ step: 9, loss: 2 }), [event({ kind: 'evaluation', step: 9, loss: 1.5 })], false, true)).toBe(
    'After 9 steps the training loss is 2.000 nats, on validation data 1.500.',
  )
})
