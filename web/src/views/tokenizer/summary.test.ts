import { expect, test } from 'vitest'
import type { CutAnswer } from '../../api/schema'
import { cutOff, LONGEST, summary } from './summary'

const cut = (count: number, unknown: number, lost: [string, string][]): CutAnswer => ({
  folder: 'x', manner: 'BPE', vocabulary: 100, bytes: 12, words: 3, opening: [], closing: [], typed: [], normalised: '', steps: [], decoded: '', lost, sha256: '',
  tokens: Array.from({ length: count }, (_, id) => ({ id, token: '', text: '', start: 0, end: 1, unknown: id < unknown })),
})

test('a text is so many tokens, and what is lost is said', () => {
  const said = summary(['a/tok', '1:mini'], [cut(4, 0, []), cut(6, 1, [])]).map((part) => part.text).join('')
  expect(said).toBe('This text is 4 tokens of tok, 3.00 bytes each; in mini 6 tokens, 2.00 bytes each, 1 of them unknown. Decoded, it comes back letter by letter.')
  expect(summary(['x'], [cut(1, 0, [['A', 'a']])]).at(-1)!.text).toContain('differs in 1 place')
  expect(summary(['x', 'model:y'], [cut(1, 0, []), cut(1, 1, [['A', '?']])]).at(-1)!.text).toBe('. Decoded, it comes back letter by letter; in y it differs in 1 place.')
  expect(summary(['x'], [cut(1, 0, [])])[1].text).toBe('1 token')
})

test('what is too long is told, in characters and not in halves of them', () => {
  expect(cutOff('short')).toEqual(['short', 0])
  const [kept, more] = cutOff('🎉'.repeat(LONGEST + 7))
  expect([[...kept].length, more]).toEqual([LONGEST, 7])
  expect(kept.endsWith('🎉')).toBe(true)
})
