import { expect, test } from 'vitest'
import { summary } from './summary'

test('an answer has its surprise and its least likely token', () => {
  const token = (text: string, p: number) => ({ text, content: text, logprob: Math.log(p), top: [], finish: null, calls: [] })
  const said = { role: 'assistant' as const, content: 'a b', tokens: [token('a', 0.5), token(' b', 0.125)], finish: 'length', calls: [], asked: null }
  expect(summary([said], true).map((part) => part.text).join('')).toBe('The last answer is 2 tokens, 2.00 bits of surprise each; least likely was “b” with 13\u00a0%. It was cut at its longest.')
  expect(summary([], false)[0].text).toContain('no chat template')
})
