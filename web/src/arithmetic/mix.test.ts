import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { rebalanced, worth } from './mix'

interface Case { shares: Record<string, number>; most: Record<string, number>; total: number; targets: Record<string, number>; epochs: number; worth: number; decay: number }
const cases: Case[] = JSON.parse(readFileSync(new URL('../../cases.json', import.meta.url), 'utf8')).mixes

test('a budget is dealt out as in Python, and repeats are worth as much', () => {
  expect(cases.length).toBe(300)
  for (const one of cases) {
    const found = rebalanced(one.shares, one.most, one.total)
    for (const [name, target] of Object.entries(one.targets)) expect(found[name]).toBeCloseTo(target, 8)
    expect(worth(one.epochs, one.decay)).toBeCloseTo(one.worth, 9)
  }
})
