import { expect, test } from 'vitest'
import { block } from './block'
import type { Chapter } from './chapter'
import { context } from './context'
import { corpus } from './corpus'
import { masking } from './masking'

/** What a step (from 1) says of what the view shows. */
const seen = (chapter: Chapter, step: number, now: string) => chapter.steps[step - 1].see(now, 'something else')

test('numbers that stand beside each other are not taken for one', () => {
  expect(seen(block, 2, '16|8.46 GB')).toBe('With 16 key-value heads one text takes 8.46 GB of cache.')
  expect(seen(block, 2, '1|529 MB|as it is')).toContain('With 1 key-value head one text takes 529 MB')
  expect(seen(context, 3, 'The spring had dried up|0.051')).toContain('“…The spring had dried up…”, 0.051 apart. ')
})

test('a number ends before the full stop of its sentence', () => {
  expect(seen(block, 3, 'Query at 10, key at 6: score of two vectors of ones 105.92. It stays')).toMatch(/the score is 105.92\.$/)
  expect(seen(block, 3, 'Query at 10, key at 6: score of two vectors of ones −3.5. It stays')).toMatch(/the score is −3.5\.$/)
  expect(seen(masking, 3, 'Of 27 tokens 12 are chosen, 44 %. A gap costs it 9.38 bits on average, where blind guessing costs 10.0.')).toMatch(/costs 10.0\.$/)
})

test('a threshold says how many documents stay, and how many did', () => {
  expect(seen(corpus, 2, '99.7 % ± 0.5 of the documents that come to the rules stay: about 730 of 732 ; as it ran, 99.5 %')).toBe('With this threshold about 730 of 732 documents stay; as it ran, it was 99.5 %.')
  expect(seen(corpus, 2, '99.7 % ± 0.5 of the documents that come to the rules stay: about 730 of 732')).toBe('With this threshold about 730 of 732 documents stay.')
})
