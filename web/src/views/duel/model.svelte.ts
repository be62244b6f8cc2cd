/** The state of the Duel view: the scoreboard, one example, and what every model says of a gap with context hidden. */
import { Asking } from '../../api/asking.svelte'
import { get, postFrame, Refusal } from '../../api/client'
import type { AnsweredExample, DuelBoard, DuelExamples } from '../../api/schema'

export const HUES: Record<string, string> = { encoder: '--encoder', decoder: '--decoder', 'encoder-decoder': '--encoder-decoder' }
export type Task = 'classification' | 'gaps' | 'writing'
export interface Said { truth_bits: number; rank: number; guesses: string[]; probabilities: number[]; byLeft: Float32Array; byRight: Float32Array }
export interface GapText { ids: number[]; texts: string[]; place: number; own: boolean }
type Filter = 'all' | 'wrong' | 'differ' | string
const MOST = 60

let turn = Date.now()

export class DuelModel extends Asking {
  at = $state('')
  board = $state.raw<DuelBoard | null>(null)
  task = $state<Task>('gaps')
  examples = $state.raw<AnsweredExample[]>([])
  filter = $state<Filter>('differ')
  number = $state(0)
  own = $state.raw<GapText | null>(null)
  left = $state(0)
  right = $state(0)
  said = $state.raw<Record<string, Said>>({})
  gapTrouble = $state<string | null>(null)

  readonly names = $derived(this.board?.duel.models.map((one) => one.name) ?? [])
  readonly growing = $derived(!!this.board && this.names.length < this.board.duel.wanted.length)
  /** Examples that pass the filter; of writing all. */
  readonly chosen = $derived(
    this.examples.filter(({ answers }) => {
      const right = this.names.filter((name) => answers[name]?.value === 1)
      if (this.task === 'writing' || this.filter === 'all') return true
      if (this.filter === 'wrong') return right.length === 0
      if (this.filter === 'differ') return right.length > 0 && right.length < this.names.length
      return right.length === 1 && right[0] === this.filter
    }),
  )
  readonly shown = $derived(this.chosen[Math.min(this.number, this.chosen.length - 1)] ?? null)
  /** The gap that is looked at: one's own, or the example's. */
  readonly gap = $derived<GapText | null>(
    this.own ?? (this.task === 'gaps' && this.shown && this.shown.example.place !== null ? { ids: this.shown.example.ids, texts: this.shown.example.texts, place: this.shown.example.place, own: false } : null),
  )

  async open(at: string, task: Task): Promise<void> {
    this.overtake()
    Object.assign(this, { at, task, board: null, examples: [], own: null, said: {}, number: 0, trouble: null })
    await this.refresh()
    if (this.at === at && this.board) await this.take(task)
  }

  async refresh(): Promise<void> {
    await this.following('board', async (newest) => {
      this.board = newest(await get<DuelBoard>('duel', { at: this.at }))
      this.trouble = null
    })
  }

  async take(task: Task): Promise<void> {
    this.overtakeGap()
    Object.assign(this, { task, number: 0, own: null, said: {} })
    await this.following('examples', async (newest) => {
      this.examples = newest(await get<DuelExamples>('duel/examples', { at: this.at, task })).examples
      if (this.filter !== 'all' && !this.chosen.length) this.filter = 'all'
      this.uncover()
    })
  }

  turnTo(number: number): void {
    this.own = null
    this.number = Math.max(0, Math.min(number, this.chosen.length - 1))
    this.uncover()
  }

  /** Show the whole text. */
  uncover(): void {
    if (!this.gap) return
    this.left = this.gap.place
    this.right = this.gap.ids.length - 1 - this.gap.place
    this.ask()
  }

  /** One's own sentence, with the gap in brackets: `It was the [best] of times.` */
  async write(text: string): Promise<void> {
    const [before, word, after] = /^(.*?)\[(.+?)\](.*)$/s.exec(text)?.slice(1) ?? []
    this.gapTrouble = null
    if (word === undefined) {
      this.gapTrouble = 'put brackets around the word that is to be found, as in: It was the [best] of times.'
      return
    }
    const mine = this.overtakeGap()
    try {
      const first = Object.values(this.board?.at ?? {})[0]
      const all = (await postFrame<GapText>('duel/text', { at: first, text: before + word + after, start: before.length, view: '', turn: 0 })).fields
      if (mine !== turn) return
      if (all.ids.length > MOST) throw new Error(`this text has ${all.ids.length} tokens, and at most ${MOST} are read here; shorten it`)
      this.own = { ids: all.ids, texts: all.texts, place: all.place, own: true }
      this.uncover()
    } catch (error) {
      if (mine === turn) this.gapTrouble = (error as Error).message
    }
  }

  /** Nothing that the models still say of the gap before is shown, and nobody waits for it. */
  private overtakeGap(): number {
    this.busy = false
    return ++turn
  }

  /** What every model says, with what is shown now; of several askings the newest counts. */
  async ask(): Promise<void> {
    const gap = this.gap
    if (!gap || !this.board) return
    const mine = this.overtakeGap()
    this.busy = true
    this.gapTrouble = null
    try {
      const said: Record<string, Said> = {}
      for (const [name, at] of Object.entries(this.board.at)) {
        const { fields, tensors } = await postFrame<Omit<Said, 'byLeft' | 'byRight'>>('duel/gap', { at, ids: gap.ids, place: gap.place, left: this.left, right: this.right, view: `duel-${name}`, turn: mine })
        said[name] = { ...fields, byLeft: tensors.by_left.data as Float32Array, byRight: tensors.by_right.data as Float32Array }
      }
      if (mine === turn) this.said = said
    } catch (error) {
      if (mine === turn && !(error instanceof Refusal && error.status === 409)) this.gapTrouble = (error as Error).message
    } finally {
      if (mine === turn) this.busy = false
    }
  }
}
