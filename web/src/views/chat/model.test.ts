import { beforeEach, expect, test, vi } from 'vitest'

vi.mock('../../api/kept', () => ({ kept: null, found: () => null, remember: () => {} }))
/** What the studio is asked, and what the test answers: models by their folder, pieces one by one. */
const asked: { models: Record<string, (answer: unknown) => void>; pieces: ((piece: unknown) => void)[] } = { models: {}, pieces: [] }
vi.mock('../../api/client', () => ({
  Refusal: class extends Error {},
  get: (_: string, { at }: { at: string }) => new Promise((answer) => (asked.models[at] = answer)),
  post: async () => ({ ids: [], texts: [], special: [] }),
  async *lines(_: string, __: unknown, signal: AbortSignal) {
    for (;;) {
      const piece = await new Promise((answer, stop) => {
        asked.pieces.push(answer)
        signal.addEventListener('abort', () => stop(new Error('aborted')))
      })
      yield piece
    }
  },
}))
const { Conversation } = await import('./model.svelte')
const piece = { text: 'word', content: 'word', logprob: -1, top: [], finish: null, calls: [] }
const settled = () => new Promise((done) => setTimeout(done))

beforeEach(() => {
  asked.models = {}
  asked.pieces = []
})

async function writing() {
  const talk = new Conversation()
  const opened = talk.open('one')
  asked.models.one({ template: true })
  await opened
  const said = talk.say('Hello')
  await settled()
  asked.pieces[0](piece)
  await settled()
  expect(talk.turns.map((turn) => turn.content)).toEqual(['Hello', 'word'])
  return { talk, said }
}

test('an answer that is stopped stays, one that is cleared does not come back', async () => {
  const first = await writing()
  first.talk.stop()
  await first.said
  expect(first.talk.turns.at(-1)).toMatchObject({ content: 'word', finish: 'stopped' })
  asked.pieces = []
  const { talk, said } = await writing()
  talk.clear()
  await said
  expect([talk.turns, talk.writing]).toEqual([[], false])
})

test('another model opens without what the one before was writing, whichever is read first', async () => {
  const { talk, said } = await writing()
  const two = talk.open('two')
  const three = talk.open('three')
  asked.models.three({ template: false })
  asked.models.two({ template: true })
  await Promise.all([said, two, three])
  expect([talk.turns, talk.at, talk.model]).toEqual([[], 'three', { template: false }])
})
