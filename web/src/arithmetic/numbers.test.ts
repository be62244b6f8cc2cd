import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { amount, duration, exact, numberOf, percent, short, significant } from './numbers'

const cases = JSON.parse(readFileSync(new URL('../../cases.json', import.meta.url), 'utf8')).numbers

test.each(cases as [number, string, string, string, string, string][])('%s is written as Python writes it', (value, s3, sh, am, am_bytes, dur) => {
  expect([significant(value), short(value), amount(value), amount(value, 'B'), duration(Math.abs(value))]).toEqual([s3, sh, am, am_bytes, dur])
})

test('a number of an address is one, and within its bounds', () => {
  expect(['0.5', '', undefined, 'abc', '-5', '7', '1e3'].map((text) => numberOf(text, 0.8, 0, 2))).toEqual([0.5, 0.8, 0.8, 0.8, 0, 2, 2])
})

test('what is not known is a dash', () => {
  for (const value of [null, undefined, NaN, Infinity]) expect([exact(value), significant(value), amount(value)]).toEqual(['–', '–', '–'])
  expect(percent(0.1234)).toBe('12.3\u00a0%')
})
