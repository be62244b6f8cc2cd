import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { beyond, interval, optimumOf, type Constants } from './law'

interface Asked { compute: number; parameters: number; tokens: number; loss: number; beyond: number; interval: [number, number] | null }
const cases: { constants: Constants; draws: Constants[]; parameters: [number, number]; tokens: [number, number]; asked: Asked[] }[] =
  JSON.parse(readFileSync(new URL('../../cases.json', import.meta.url), 'utf8')).laws
const close = (a: number, b: number) => expect(Math.abs(a / b - 1)).toBeLessThan(1e-9)

test('optimum, loss, reach and interval are those of Python to nine digits', () => {
  expect(cases.length).toBeGreaterThan(0)
  for (const law of cases) {
    for (const one of law.asked) {
      const best = optimumOf(law.constants, one.compute)
      close(best.parameters, one.parameters)
      close(best.tokens, one.tokens)
      close(best.loss!, one.loss)
      close(beyond(law, best.parameters, best.tokens), one.beyond)
      const between = interval(law, one.compute)
      expect(between === null).toBe(one.interval === null)
      if (between && one.interval) between.forEach((value, index) => close(value, one.interval![index]))
    }
  }
})
