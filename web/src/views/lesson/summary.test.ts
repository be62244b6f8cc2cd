import { expect, test } from 'vitest'
import { beside, CHAPTERS, named, placeOf } from '../../lesson'
import { VIEWS } from '../../views'
import { claimsOf, summary } from './summary'

const verdict = (claim: string, said: string, stale = false) => ({ claim, title: `title of ${claim}`, verdict: said, reason: '', because: 'measured', lesson: '', stale })
const told = (verdicts: ReturnType<typeof verdict>[]) => summary(CHAPTERS[3], verdicts).map((part) => part.text).join('')

test('a chapter says what was measured of its claims, and what was not', () => {
  expect(told([])).toBe('This chapter makes 5 claims. None is measured yet: here you can look for yourself.')
  expect(told([verdict('C12', 'supported'), verdict('C13', 'supported'), verdict('C16', 'contradicted'), verdict('C01', 'supported')])).toBe(
    'This chapter makes 5 claims. Experiments have measured 3: 2 supported, 1 contradicted.',
  )
  expect(told([verdict('C12', 'supported', true)])).toMatch(/None is measured/)
  expect(claimsOf(CHAPTERS[3], [verdict('C12', 'supported')])[0].title).toBe('title of C12')
})

test('every claim of the lesson is in one chapter', () => {
  const claims = CHAPTERS.flatMap((chapter) => Object.keys(chapter.claims)).sort()
  expect(claims).toEqual(Array.from({ length: 40 }, (_, index) => `C${String(index + 1).padStart(2, '0')}`))
})

test('the steps stand in one row, and each opens a view that there is', () => {
  let place = { chapter: 1, step: 1 }
  if (!placeOf(named(place))) place = beside({ chapter: 2, step: 1 }, -1) ?? { chapter: 2, step: 1 }
  const all = CHAPTERS.reduce((sum, chapter) => sum + chapter.steps.length, 0)
  let count = 1
  for (let next = beside(place, 1); next; next = beside(next, 1)) count += 1
  expect(count).toBe(all)
  for (const chapter of CHAPTERS) for (const step of chapter.steps) expect([...VIEWS.map((view) => view.path), 'home']).toContain(step.view)
  expect(placeOf('99.1')).toBeNull()
  expect(placeOf('<b>')).toBeNull()
})
