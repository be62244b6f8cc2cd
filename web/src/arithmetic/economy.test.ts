import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { breakEven, coreSecondsWith, labelsFor, priceEach, type Prices, type Way } from './economy'

interface Case {
  shared: Way; other: Way; score: number; prices: Prices
  labels: number | null; seconds: number; each: number | null; tasks: number | null
}
const cases: Case[] = JSON.parse(readFileSync(new URL('../../cases.json', import.meta.url), 'utf8')).economy

test('labels, prices and break-even are those of Python', () => {
  expect(cases.length).toBeGreaterThan(200)
  const same = (a: number | null, b: number | null) => (b === null || a === null ? expect(a).toBe(b) : expect(Math.abs(a - b)).toBeLessThan(1e-9 * Math.max(1, Math.abs(b))))
  for (const one of cases) {
    same(labelsFor(one.shared, one.score), one.labels)
    same(coreSecondsWith(one.other, 70), one.seconds)
    same(priceEach(one.other, one.score, one.prices), one.each)
    same(breakEven(one.shared, one.other, one.score, one.prices), one.tasks)
  }
})
