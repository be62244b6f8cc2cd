import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { divergence, sample, type Rules } from './sampler'

interface Case {
  logits: (number | null)[]
  rules: Rules
  uniform: number
  chosen: number
  kept: number[]
  bits: number
}
const cases: Case[] = JSON.parse(readFileSync(new URL('../../cases.json', import.meta.url), 'utf8')).sampler

test('300 random cases, ties among them, are drawn as Python draws them', () => {
  for (const one of cases) {
    const logits = one.logits.map((value) => value ?? -Infinity)
    const drawn = sample(logits, one.rules, one.uniform)
    expect(drawn.chosen).toBe(one.chosen)
    one.kept.forEach((value, index) => expect(Math.abs(drawn.kept[index] - value)).toBeLessThan(1e-6))
    expect(Math.abs(drawn.bits - one.bits)).toBeLessThan(1e-5)
    expect(drawn.left).toBe(one.rules.temperature === 0 ? 1 : one.kept.filter((value) => value > 0).length)
  }
})

test('a distribution is no bits from itself', () => {
  const drawn = sample([1, 2, 3], { temperature: 1, top_k: 0, top_p: 1, min_p: 0 }, 0.5)
  expect(divergence(drawn.own, drawn.own)).toBeCloseTo(0, 12)
  expect(divergence(drawn.own, drawn.own.slice().reverse())).toBeGreaterThan(0.1)
})
