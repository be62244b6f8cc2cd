import { expect, test, vi } from 'vitest'

vi.mock('../../api/kept', () => ({ kept: null, found: () => null, remember: () => {} }))
const answers: Record<string, (answer: unknown) => void> = {}
const followed: string[] = []
vi.mock('../../api/client', () => ({
  Refusal: class extends Error {},
  get: (path: string, { at }: { at: string }) => (path === 'folder' ? new Promise((answer) => (answers[at] = answer)) : Promise.resolve({ captures: [], samples: [] })),
  getFrame: async () => ({ fields: { columns: ['step', 'loss'], after: '', evaluations: [], marks: [], last: null }, tensors: { steps: { shape: [2, 0, 3], data: new Float32Array() } } }),
  eventsOf: (at: string) => {
    followed.push(at)
    return null
  },
}))
const { Run } = await import('./model.svelte')

test('of two runs that are opened one after another the last alone is followed', async () => {
  const run = new Run()
  const both = [run.open('one'), run.open('two')]
  answers.two({ states: [], at: 'two' })
  answers.one({ states: [], at: 'one' })
  await Promise.all(both)
  expect([run.account, followed]).toEqual([{ states: [], at: 'two' }, ['two']])
})

test('a run that is left while it opens is not followed', async () => {
  const run = new Run()
  const opened = run.open('three')
  run.close()
  answers.three({ states: [] })
  await opened
  expect(followed).not.toContain('three')
})
