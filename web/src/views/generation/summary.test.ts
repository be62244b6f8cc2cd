import { expect, test } from 'vitest'
import { sample } from '../../arithmetic/sampler'
import { summary } from './summary'

const rules = { temperature: 0.5, top_k: 2, top_p: 1, min_p: 0 }
const said = (temperature: number) => {
  const drawn = sample([2, 1, 0, -1], { ...rules, temperature }, 0)
  return summary({ tail: '·a', likeliest: '·the', chosen: '·the', drawn, temperature, seed: 3, vocabulary: 4 }).map((part) => part.text).join('').replaceAll('\u00a0', ' ')
}

test('the sentence has the numbers of what is drawn', () => {
  expect(said(0.5)).toBe(
    'After ·a the model is 1.37 bits unsure. It finds ·the likeliest, with 64.4 %; temperature 0.50 makes that 86.5 %. The cuts leave 2 of 4 tokens, which held 88.1 %. Seed 3 draws ·the.',
  )
  expect(said(0)).toMatch(/temperature 0 always takes it\.$/)
})
