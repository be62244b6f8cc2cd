import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { recount, type Threshold } from './rules'

interface Case { documents: number; pages: number[]; places: Record<string, number[]>; rules: Threshold[]; counted: { fires: number; alone: number }[]; kept: number }
const cases: Case[] = JSON.parse(readFileSync(new URL('../../cases.json', import.meta.url), 'utf8')).rules

test('what rules remove, together and alone, is what numpy counts', () => {
  expect(cases.length).toBe(300)
  for (const one of cases) {
    const places = Object.fromEntries(Object.entries(one.places).map(([name, values]) => [name, Uint8Array.from(values)]))
    const found = recount(one.rules, places, Uint8Array.from(one.pages), one.documents)
    expect(found.rules).toEqual(one.counted)
    expect(found.kept).toBe(one.kept)
  }
})
