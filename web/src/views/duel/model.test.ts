import { expect, test, vi } from 'vitest'

const gap = { id: 1, example: { ids: [1, 2, 3], texts: ['a', 'b', 'c'], place: 1 }, answers: { decoder: { value: 1 } } }
vi.mock('../../api/kept', () => ({ kept: null, found: () => null, remember: () => {} }))
vi.mock('../../api/client', () => ({
  Refusal: class extends Error {},
  get: async (path: string, { task }: { task?: string }) =>
    path === 'duel' ? { at: { decoder: 'duel/decoder' }, duel: { models: [{ name: 'decoder' }], wanted: ['decoder'] } } : { examples: task === 'gaps' ? [gap] : [] },
  postFrame: () => new Promise(() => {}),
}))
const { DuelModel } = await import('./model.svelte')

test('another task leaves nobody waiting for the gap of the one before', async () => {
  const duel = new DuelModel()
  await duel.open('duel', 'gaps')
  expect(duel.busy).toBe(true)
  await duel.take('classification')
  expect(duel.busy).toBe(false)
})
