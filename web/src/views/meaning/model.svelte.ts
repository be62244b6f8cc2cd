/** The state of the Meaning view: a word, its sentences, where they lie behind each layer at each state. */
import { get, getFrame, postFrame, Refusal } from '../../api/client'
import type { Account, ModelFacts, State } from '../../api/types'
import { SAMPLE } from './sample'

export interface Occurrence { sentence: string; start: number; end: number; document: string; domain: string }
export interface Cloud {
  occurrences: Occurrence[]; count: number; own: number; left_only: boolean; variance: number; groups: number[]; telling: string[][]
  /** `[S, L, N, 2]`, `[S, L]`, `[S, L, N, K]`. */
  places: Float32Array; spread: Float32Array; near: Int32Array; apart: Float32Array
  shape: number[]
  neighbours: number
  states: State[]
  word: string
}
const MOST = 6

export class MeaningModel {
  at = $state('')
  corpus = $state('')
  account = $state<Account | null>(null)
  facts = $state<ModelFacts | null>(null)
  word = $state('')
  own = $state<string[]>([])
  cloud = $state.raw<Cloud | null>(null)
  busy = $state(false)
  trouble = $state<string | null>(null)

  async open(at: string, corpus: string, word: string): Promise<void> {
    await this.guarded(async () => {
      Object.assign(this, { at, corpus, word, cloud: null })
      this.account = await get<Account>('folder', { at })
      if (!this.account.states.length) throw new Error('this folder has no model yet: no checkpoint, no snapshot, nothing finished')
      this.facts = (await getFrame<ModelFacts>('model', { at: this.account.states.at(-1)!.at })).fields
      await this.look()
    })
  }

  async take(word: string): Promise<void> {
    this.word = word.trim()
    await this.guarded(() => this.look())
  }

  async write(sentence: string): Promise<void> {
    this.own = [...this.own, sentence.trim()]
    await this.guarded(() => this.look())
    if (this.trouble) this.own = this.own.slice(0, -1)
  }

  private async look(): Promise<void> {
    const all = this.account!.states
    const count = Math.min(MOST, all.length)
    const states = Array.from({ length: count }, (_, index) => all[Math.round((index * (all.length - 1)) / Math.max(count - 1, 1))])
    const own = this.corpus ? this.own : [...SAMPLE, ...this.own]
    const { fields, tensors } = await postFrame<Omit<Cloud, 'places' | 'spread' | 'near' | 'apart' | 'shape' | 'states' | 'word' | 'neighbours'>>('meaning', { states: states.map((state) => state.at), word: this.word, corpus: this.corpus, own })
    this.cloud = {
      ...fields, own: this.own.filter((text) => fields.occurrences.some((one) => one.sentence === text)).length, places: tensors.places.data as Float32Array, spread: tensors.spread.data as Float32Array,
      near: tensors.near.data as Int32Array, apart: tensors.apart.data as Float32Array, shape: tensors.places.shape, neighbours: tensors.near.shape[3], states, word: this.word,
    }
  }

  private async guarded(work: () => Promise<void>): Promise<void> {
    this.busy = true
    this.trouble = null
    try {
      await work()
    } catch (error) {
      if (!(error instanceof Refusal && error.status === 409)) this.trouble = (error as Error).message
    } finally {
      this.busy = false
    }
  }
}
