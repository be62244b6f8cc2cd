/** What the state of every view has: whether an answer is awaited, what went wrong, and no answer that was overtaken. */
import { Refusal } from './client'

class Overtaken extends Error {}
/** Passes an answer on, unless something newer was asked meanwhile: what would follow is then left undone. */
export type Newest = <T>(answer: T) => T

export class Asking {
  busy = $state(false)
  trouble = $state<string | null>(null)
  #awaited = 0
  #asked = 0
  #before = 0
  #newest: Record<string, number> = {}

  /** Another folder, another file: no answer to what was asked until now is shown. */
  protected overtake(): void {
    this.#before = ++this.#asked
  }

  /** Ask the studio, and show what it says; of several questions of one matter the last counts, whoever is answered first. */
  protected async asking(matter: string, work: (newest: Newest) => Promise<void>): Promise<void> {
    this.#awaited += 1
    this.busy = true
    this.trouble = null
    await this.following(matter, work)
    this.#awaited -= 1
    this.busy = this.#awaited > 0
  }

  /** The same, while nobody waits for it: what is looked at again from time to time. */
  protected async following(matter: string, work: (newest: Newest) => Promise<void>): Promise<void> {
    const mine = (this.#newest[matter] = ++this.#asked)
    const overtaken = () => Math.max(this.#newest[matter], this.#before) > mine
    try {
      await work((answer) => {
        if (overtaken()) throw new Overtaken()
        return answer
      })
    } catch (error) {
      if (!overtaken() && !(error instanceof Refusal && error.status === 409)) this.trouble = (error as Error).message
    }
  }
}
