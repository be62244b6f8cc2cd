import { expect, test, vi } from 'vitest'

vi.mock('../../api/kept', () => ({ kept: null, found: () => null, remember: () => {} }))
vi.mock('../../api/client', () => ({
  Refusal: class extends Error {},
  post: async () => {
    throw new Error('this tokenizer is damaged')
  },
  get: async () => ({ entries: [] }),
}))
const { TokenizerModel } = await import('./model.svelte')

test('what could not be cut is said, and stays said', async () => {
  const model = new TokenizerModel()
  await model.choose(['damaged'])
  expect(model.trouble).toBe('this tokenizer is damaged')
})
