import { expect, test, vi } from 'vitest'

vi.mock('./kept', () => ({ kept: null, found: () => null, remember: () => {} }))
const { Asking } = await import('./asking.svelte')
const { Refusal } = await import('./client')

/** A question whose answer the test gives when it wants. */
function question<T>() {
  let give!: (answer: T) => void
  let refuse!: (error: Error) => void
  const answer = new Promise<T>((resolve, reject) => ([give, refuse] = [resolve, reject]))
  return { answer, give, refuse }
}

class Shown extends Asking {
  said = ''
  async ask(matter: string, answer: Promise<string>) {
    await this.asking(matter, async (newest) => {
      this.said = newest(await answer)
    })
  }
  open() {
    this.overtake()
  }
}

test('an older answer does not take the place of a newer one, whichever comes first', async () => {
  const [view, first, second] = [new Shown(), question<string>(), question<string>()]
  const both = [view.ask('text', first.answer), view.ask('text', second.answer)]
  second.give('new')
  await both[1]
  expect([view.said, view.busy]).toEqual(['new', true])
  first.give('old')
  await both[0]
  expect([view.said, view.busy]).toEqual(['new', false])
})

test('another folder overtakes what was asked of the one before, its failures too', async () => {
  const [view, first, second, third] = [new Shown(), question<string>(), question<string>(), question<string>()]
  const all = [view.ask('a', first.answer), view.ask('b', second.answer)]
  view.open()
  all.push(view.ask('c', third.answer))
  first.give('of the folder before')
  second.refuse(new Error('the folder before is gone'))
  third.give('of this one')
  await Promise.all(all)
  expect([view.said, view.trouble, view.busy]).toEqual(['of this one', null, false])
})

test('a failure is said in its own sentence, but for what the server itself calls overtaken', async () => {
  const view = new Shown()
  await view.ask('a', Promise.reject(new Refusal(409, 'overtaken', 'something newer was asked')))
  expect(view.trouble).toBeNull()
  await view.ask('a', Promise.reject(new Refusal(400, 'user', 'this file is damaged')))
  expect(view.trouble).toBe('this file is damaged')
})
