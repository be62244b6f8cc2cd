/** The state of the Meaning view: a word, its sentences, where they lie behind each layer at each state. */
import { Asking, type Newest } from '../../api/asking.svelte'
import { get, getFrame, postFrame } from '../../api/client'
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

export class MeaningModel extends Asking {
  at = $state('')
  corpus = $state('')
  account = $state<Account | null>(null)
  facts = $state<ModelFacts | null>(null)
  word = $state('')
  own = $state<string[]>([])
  cloud = $state.raw<Cloud | null>(null)

  async open(at: string, corpus: string, word: string): Promise<void> {
    await this.asking('cloud', async (newest) => {
      Object.assign(this, { at, corpus, word, cloud: null })
      this.account = newest(await get<Account>('folder', { at }))
      if (!this.account.states.length) throw new Error('this folder has no model yet: no checkpoint, no snapshot, nothing finished')
      this.facts = newest(await getFrame<ModelFacts>('model', { at: this.account.states.at(-1)!.at })).fields
      await this.look(newest)
    })
  }

  async take(word: string): Promise<void> {
    this.word = word.trim()
    await this.asking('cloud', (newest) => this.look(newest))
  }

  async write(sentence: string): Promise<void> {
    this.own = [...this.own, sentence.trim()]
    await this.asking('cloud', (newest) => this.look(newest))
    if (this.trouble) this.own = this.own.slice(0, -1)
  }

  private async look(newest: Newest): Promise<void> {
    const all = this.account!.states
    const count = Math.min(MOST, all.length)
    const states = Array.from({ length: count }, (_, index) => all[Math.round((index * (all.length - 1)) / Math.max(count - 1, 1))])
    const own = this.corpus ? this.own : [...SAMPLE, ...this.own]
    const word = this.word
    const { fields, tensors } = newest(await postFrame<Omit<Cloud, 'places' | 'spread' | 'near' | 'apart' | 'shape' | 'states' | 'word' | 'neighbours'>>('meaning', { states: states.map((state) => state.at), word, corpus: this.corpus, own }))
    this.cloud = {
      ...fields, own: this.own.filter((text) => fields.occurrences.some((one) => one.sentence === text)).length, places: tensors.places.data as Float32Array, spread: tensors.spread.data as Float32Array,
      near: tensors.near.data as Int32Array, apart: tensors.apart.data as Float32Array, shape: tensors.places.shape, neighbours: tensors.near.shape[3], states, word,
    }
  }
}
