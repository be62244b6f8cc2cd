/** The state of the Masking view: a text, the fate of each token, what the model says, what each token is worth. */
import { Asking, type Newest } from '../../api/asking.svelte'
import { get, getFrame, postFrame } from '../../api/client'
import { lossesOf } from '../../api/losses'
import type { Account, ModelFacts, State } from '../../api/types'

export interface Hidden { ids: number[]; texts: string[]; ordinary: boolean[]; fates: number[]; strangers: number[]; stranger_texts: string[]; mask: string | null }
export interface Filled {
  reads: number[]; read_texts: string[]; rows: number[]; targets: number[]; target_texts: string[]
  truth: number[]; rank: number[]; loss: number[]; guess_texts: string[][]; seconds: number
  guesses: Int32Array
  probabilities: Float32Array
  /** `[L, H, G, S]` in 255ths. */
  attention: Uint8Array
  shape: number[]
}
interface Sentences { sentences: string[]; tokens: string | null; objective: { kind?: string; mask_rate?: number; whole_words?: boolean; mean_span?: number; fates?: [number, number, number] } }

export const FATES = ['hidden behind the mask', 'replaced by a random token', 'left as it is, to be found all the same']
const SENTENCE = 'The old man opened the door of the house and looked at the rain.'
const VIEW = 'masking'
let turn = 0

export class Masking extends Asking {
  at = $state('')
  account = $state<Account | null>(null)
  index = $state(0)
  facts = $state<ModelFacts | null>(null)
  losses = $state.raw<Map<number, number>>(new Map())
  kept = $state.raw<Sentences>({ sentences: [], tokens: null, objective: {} })
  sentence = $state(0)
  text = $state('')
  rate = $state(0.15)
  wholeWords = $state(false)
  seed = $state(0)
  hidden = $state<Hidden | null>(null)
  filled = $state.raw<Filled | null>(null)
  /** `[S, N]` in bits, and each token's cost when it alone is hidden. */
  worth = $state.raw<{ values: Float64Array; alone: Float64Array } | null>(null)

  readonly states = $derived<State[]>(this.account?.states ?? [])
  readonly state = $derived<State | undefined>(this.states[this.index])
  readonly spans = $derived(this.facts?.architecture === 'encoder-decoder')
  readonly ownRate = $derived(this.kept.objective.mask_rate ?? null)

  async open(at: string, step: number | null, text = ''): Promise<void> {
    this.overtake()
    await this.asking('gaps', async (newest) => {
      this.at = at
      this.hidden = this.filled = this.worth = null
      this.account = newest(await get<Account>('folder', { at }))
      const states = this.account.states
      if (!states.length) throw new Error('this folder has no model yet: no checkpoint, no snapshot, nothing finished')
      const wanted = step === null ? states.length - 1 : states.findIndex((one) => one.step === step)
      this.index = wanted < 0 ? states.length - 1 : wanted
      this.facts = newest(await getFrame<ModelFacts>('model', { at: this.state!.at })).fields
      this.kept = newest(await get<Sentences>('sentences', { at }))
      this.wholeWords = this.kept.objective.whole_words ?? false
      this.sentence = 0
      this.text = text || this.kept.sentences[0] || SENTENCE
      this.losses = newest(await lossesOf(at, states))
      await this.choose(newest)
    })
  }

  /** Take another sentence of the held-out text. */
  async turnTo(number: number): Promise<void> {
    const count = this.kept.sentences.length
    if (!count) return
    this.sentence = (number + count) % count
    this.text = this.kept.sentences[this.sentence]
    await this.draw()
  }

  /** Let the collator choose anew. */
  async draw(): Promise<void> {
    await this.asking('gaps', (newest) => this.choose(newest))
  }

  private async choose(newest: Newest): Promise<void> {
    const { fates, mean_span } = this.kept.objective
    const asked = { at: this.state!.at, text: this.text, rate: this.rate, whole_words: this.wholeWords, shares: fates ?? [0.8, 0.1, 0.1], mean_span: mean_span ?? 3, seed: this.seed, view: `${VIEW} hide`, turn: ++turn }
    const before = this.hidden?.ids.join()
    this.hidden = newest(await postFrame<Hidden>('hide', asked)).fields
    if (before !== this.hidden.ids.join() || this.spans) this.worth = null
    await this.look(newest)
  }

  /** The next fate of a token: in view, hidden, random, kept, in view; of spans only in view and hidden. */
  async toggle(place: number): Promise<void> {
    if (!this.hidden?.ordinary[place]) return
    const last = this.facts?.architecture === 'encoder' ? 2 : 0
    const next = this.hidden.fates[place] >= last ? -1 : this.hidden.fates[place] + 1
    const others = this.hidden.fates.filter((fate, index) => index !== place && fate >= 0).length
    if (next < 0 && !others) return // the last gap stays
    this.hidden.fates[place] = next
    if (this.spans) this.worth = null
    await this.asking('gaps', (newest) => this.look(newest))
  }

  async move(index: number): Promise<void> {
    this.index = index
    this.worth = null
    await this.asking('gaps', (newest) => this.look(newest))
  }

  private async look(newest: Newest): Promise<void> {
    const { ids, fates, strangers } = this.hidden!
    const { fields, tensors } = newest(await postFrame<Omit<Filled, 'guesses' | 'probabilities' | 'attention' | 'shape'>>('fill', { at: this.state!.at, ids, fates, strangers, view: `${VIEW} fill`, turn: ++turn }))
    this.filled = {
      ...fields, guesses: tensors.guesses.data as Int32Array, probabilities: tensors.probabilities.data as Float32Array,
      attention: tensors.attention.data as Uint8Array, shape: tensors.attention.shape,
    }
  }

  /** Whose worth is measured: a state, a text, and of spans its gaps. */
  private get measured(): string {
    return [this.state?.at, ...(this.hidden?.ids ?? []), ...(this.spans ? (this.hidden?.fates ?? []) : [])].join()
  }

  /** Take every token away in turn. */
  async measure(): Promise<void> {
    await this.asking('worth', async (newest) => {
      const { ids, fates } = this.hidden!
      const asked = this.measured
      const { tensors } = newest(await postFrame('influence', { at: this.state!.at, ids, fates, view: `${VIEW} influence`, turn: ++turn }))
      if (this.measured !== asked) return // another text, gap or state is looked at by now
      const inBits = (data: ArrayLike<number>) => Float64Array.from(data, (nats) => nats / Math.LN2)
      this.worth = { values: inBits(tensors.influence.data), alone: inBits(tensors.alone.data) }
    })
  }
}
