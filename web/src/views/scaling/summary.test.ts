import { expect, test } from 'vitest'
import type { Law } from '../../arithmetic/law'
import { people, summary } from './summary'

const law: Law = {
  name: 'a law', source: '', note: '', parameters: [1e8, 1e10], tokens: [1e9, 1e12], constants: [1.8, 480, 2000, 0.35, 0.36], outer: 1,
  counts_embeddings: true, draws: [], power: null,
}
const said = (...of: Parameters<typeof summary>) => summary(...of).map((part) => part.text).join('')

test('what a law makes of a compute, and of its use', () => {
  const bare = said(law, 1e21)
  expect(bare).toContain('With 1.0e21 operations, a law trains 2.')
  expect(bare).toContain('Its own runs reach that far.')
  expect(bare).not.toContain('in use')
  expect(said(law, 1e26)).toContain('times outside of the runs')
  const used = said(law, 1e21, 1e12, { parameters: 1e9, tokens: 2e11, saved: 0.25, between: null })
  expect(used).toContain('Where 1T tokens are read and written in use, the same loss costs least with 1B parameters on 200B tokens: 25')
  expect(said({ ...law, constants: null, power: [0.1, 0.5] }, 1e20)).not.toContain('nats')
})

test('tokens of use as people who ask', () => {
  expect(people(365_000_000_000)).toBe('1M people for a year, at 1,000 tokens a day')
})
