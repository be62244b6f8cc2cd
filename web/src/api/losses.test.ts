import { expect, test, vi } from 'vitest'

const asked: string[] = []
vi.mock('./client', () => ({
  getFrame: async (path: string, { at }: { at: string }) => {
    asked.push(`${path} of ${at}`)
    if (at === 'begun') throw new Error('there are no metrics')
    return { fields: { evaluations: [{ step: 5, loss: 2.5 }, { step: 10, loss: 2 }] } }
  },
}))
const { lossesOf } = await import('./losses')
const state = (at: string) => ({ at, step: 5, kind: 'snapshot' as const })

test('a run says its losses, and none where it has no metrics yet', async () => {
  expect([...(await lossesOf('run', [state('run/snapshots/step-5')]))]).toEqual([[5, 2.5], [10, 2]])
  expect((await lossesOf('begun', [state('begun/snapshots/step-5')])).size).toBe(0)
})

test('a model folder is not asked for metrics', async () => {
  asked.length = 0
  expect((await lossesOf('model', [state('model')])).size).toBe(0)
  expect(asked).toEqual([])
})
