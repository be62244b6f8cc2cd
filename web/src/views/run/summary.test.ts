import { expect, test } from 'vitest'
import type { RunEvent } from '../../api/types'
import { summary } from './summary'

const event = (values: Partial<RunEvent>) => ({ seq: 1, time: 0, kind: 'step', step: 0, ...values }) as RunEvent
const said = (...given: Parameters<typeof summary>) => summary(...given).map((part) => part.text).join('')

test('the sentence has the run in numbers, in its own unit', () => {
  const evaluations = [event({ kind: 'evaluation', loss: 9.05 }), event({ kind: 'evaluation', step: 700, loss: 5.311, bits_per_byte: 1.947 })]
  expect(said(event({ step: 700, tokens: 716800, loss: 5.3216 }), evaluations, true)).toBe(
    'The run ended after 700 steps and 716,800 tokens: its training loss is 5.322 nats, on held-out text 5.311 (1.947 bits a byte), from 9.050 at step 0.',
  )
  expect(said(event({ step: 3, words: 900 }), [], false)).toBe('After 3 steps and 900 words.')
  expect(said(null, [], false)).toBe('No step has been made yet.')
})
