import { expect, test, vi } from 'vitest'

vi.mock('../../api/kept', () => ({ kept: null, found: () => null, remember: () => {} }))
const answers: Record<string, (answer: unknown) => void> = {}
const followed: string[] = []
/** Where what comes live is heard, by folder; none: nothing comes. */
const heard: Record<string, (message: { data: string }) => void> = {}
vi.mock('../../api/client', () => ({
  Refusal: class extends Error {},
  get: (path: string, { at }: { at: string }) => (path === 'folder' ? new Promise((answer) => (answers[at] = answer)) : Promise.resolve({ captures: [], samples: [] })),
  getFrame: async () => ({ fields: { columns: ['step', 'loss'], after: '', evaluations: [], marks: [], last: null }, tensors: { steps: { shape: [2, 0, 3], data: new Float32Array() } } }),
  eventsOf: (at: string) => {
    followed.push(at)
    return { close: () => {}, addEventListener: (kind: string, hear: (message: { data: string }) => void) => kind === 'metrics' && (heard[at] = hear) }
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

test('steps of a run that is left do not come into the next one', async () => {
  vi.useFakeTimers()
  const run = new Run()
  for (const at of ['four', 'five']) {
    const opened = run.open(at)
    answers[at]({ states: [] })
    await opened
    if (at === 'four') heard.four({ data: JSON.stringify([{ kind: 'step', step: 7, loss: 1 }]) })
  }
  vi.advanceTimersByTime(1000)
  expect(run.points).toEqual([])
  heard.five({ data: JSON.stringify([{ kind: 'step', step: 1, loss: 2 }]) })
  vi.advanceTimersByTime(1000)
  expect(run.points.map((point) => point.step)).toEqual([1])
  run.close()
  vi.useRealTimers()
})
