import { expect, test } from 'vitest'
import type { Corpus, Stage } from '../../api/schema'
import { summary, told } from './summary'

const stage = (name: string, documents: number, bytes: number, words: number | null): Stage => ({ stage: name, documents, bytes, words, tokens: null })
const corpus: Corpus = {
  at: 'c', fingerprint: '', created: '', seconds: 1, inputs: 2, flows: [], removed: { quality: { too_few_words: 10 } }, skipped: { redirect: 3 }, languages: {},
  stages: [stage('read', 100, 9_000_000, null), stage('extract', 120, 4_000_000, 600_000), stage('quality', 110, 3_000_000, 450_000), stage('mix', 110, 3_000_000, 450_000)],
  personal_data: {}, judged: 120, broken: 10, rules: [], near: null, tokens: [],
  mix: { by: 'domain', set: false, budget: 1, max_repeats: 4, bytes_per_token: 4, repeats_decay: 15, groups: [] },
}
const text = (parts: { text: string }[]) => parts.map((part) => part.text).join('').replace(/[\u00a0\u202f\u2009]/g, ' ')

test('the sentence states what stays and what takes most', () => {
  expect(text(summary(corpus))).toBe('Of 100 records, 9 MB, which became 120 documents, the corpus keeps 110 documents, 3 MB: 450k words. Of the extracted text, quality takes most: 1 MB, 25 % of what came to it. ')
})
test('documents grow at extraction in words, never as a negative loss', () => {
  expect(told(corpus, 1)).toContain('20 more documents than records')
  expect(text([{ text: told(corpus, 2) }])).toBe('10 of 120 documents go, and 1 MB with them or out of those that stay.')
  expect(told(corpus, 0)).toContain('3 could not be used')
})
