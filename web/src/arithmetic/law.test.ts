import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { beyond, cheapest, interval, lifetime, optimumOf, served, standing, within, type Between, type Law } from './law'

interface Asked {
  compute: number; parameters: number; tokens: number; loss: number; beyond: number; interval: Between | null
  use: number; life: [number, number]; lifeInterval: Between | null
}
interface Stand {
  parameters: number; tokens: number; loss: number; lost: number; best: number; equal: number; extra: number; after: number | null
  bands: { optimal_parameters: Between; loss_lost: Between; extra_compute: Between } | null
}
const cases: { law: Law; asked: Asked[]; stands: Stand[] }[] = JSON.parse(readFileSync(new URL('../../cases.json', import.meta.url), 'utf8')).laws
/** Python finds by search what the browser has in closed form: for Kaplan's law, and in use. */
const close = (a: number, b: number, far = 1e-9) => expect(Math.abs(a - b) / Math.max(Math.abs(b), 1e-6)).toBeLessThan(far)
const closeBetween = (a: Between | null, b: Between | null, far = 1e-9) => {
  expect(a === null).toBe(b === null)
  if (a && b) a.forEach((value, index) => close(value, b[index], far))
}

test('optimum, loss, reach, interval, and the optimum over a life are those of Python', () => {
  expect(cases.length).toBeGreaterThan(2)
  for (const { law, asked } of cases) {
    const far = law.outer === 1 ? 1e-9 : 1e-6
    for (const one of asked) {
      const best = optimumOf(law.constants!, one.compute, law.outer)
      close(best.parameters, one.parameters, far)
      close(best.tokens, one.tokens, far)
      close(best.loss, one.loss)
      close(beyond(law, best.parameters, best.tokens), one.beyond, far)
      closeBetween(interval(law, one.compute), one.interval)
      close(cheapest(law.constants!, best.loss, law.outer).compute, one.compute, 1e-8)
      const life = lifetime(law.constants!, one.loss, one.use, law.outer)
      close(life.parameters, one.life[0], 2e-5)
      close(served(life, one.use), 6 * one.life[0] * one.life[1] + 2 * one.life[0] * one.use)
      if (one.lifeInterval) closeBetween(within(law, (each) => lifetime(each, optimumOf(each, one.compute).loss, one.use).parameters), one.lifeInterval, 1e-5)
    }
  }
})

test('where models stand, and how surely, is what Python says', () => {
  for (const { law, stands } of cases) {
    expect(stands.length).toBeGreaterThan(5)
    const far = law.outer === 1 ? 1e-6 : 1e-4
    for (const one of stands) {
      const found = standing(law, one.parameters, one.tokens)!
      close(found.loss, one.loss)
      close(found.lost, one.lost, far)
      close(found.best.parameters, one.best, far)
      close(found.equal.parameters, one.equal, far)
      close(1 + found.extra, 1 + one.extra, far)
      expect(Number.isFinite(found.after)).toBe(one.after !== null)
      if (one.after !== null) close(found.after, one.after, far)
      closeBetween(found.lostBetween, one.bands?.loss_lost ?? null, 1e-6)
      closeBetween(found.extraBetween, one.bands?.extra_compute ?? null, 1e-6)
      closeBetween(found.sizeBetween && [one.parameters / found.sizeBetween[1], one.parameters / found.sizeBetween[0]], one.bands?.optimal_parameters ?? null, 2e-4)
    }
  }
})
