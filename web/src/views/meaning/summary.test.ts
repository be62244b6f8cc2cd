import { expect, test } from 'vitest'
import { summary } from './summary'

const told = { word: 'spring', shown: 22, count: 40, own: 2, layer: 3, spread: 0.4123, before: { step: 0, spread: 0.05 }, groups: 2, telling: [['water', 'rock'], ['clock', 'steel', 'coil']], variance: 0.5 }
const said = (more: object) => summary({ ...told, ...more }).map((part) => part.text).join('').replaceAll('\u00a0', ' ')

test('the sentence says how many, how far apart, and since when', () => {
  expect(said({})).toBe('“spring” stands in 40 sentences of the corpus, of which 20 are drawn. A static vector is one point for all of them. Behind layer 3 two of them lie 0.41 apart by cosine on average; at step 0 it was 0.050. They form 2 groups, told by water and rock; by clock and steel. The plane keeps 50 % of the variance.')
  expect(said({ layer: 0, groups: 1, spread: 0 })).toMatch(/two of them lie 0 apart by cosine\. They form no clear groups/)
})
