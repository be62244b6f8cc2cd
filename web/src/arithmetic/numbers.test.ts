import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { amount, duration, exact, percent, short, significant } from './numbers'

const cases = JSON.parse(readFileSync(new URL('../../cases.json', import.meta.url), 'utf8')).numbers

test.each(cases as [number, string, string, string, string, string][])('%s is written as Python writes it', (value, s3, sh, am, am_bytes, dur) => {
  expect([significant(value), short(value), amount(value), amount(value, 'B'), duration(Math.abs(value))]).toEqual([s3, sh, am, am_bytes, dur])
})

test('what is not known is a dash', () => {
  for (const value of [null, undefined, NaN, Infinity]) expect([exact(value), significant(value), amount(value)]).toEqual(['–', '–', '–'])
  expect(percent(0.1234)).toBe('12.3\u00a0%')
})
