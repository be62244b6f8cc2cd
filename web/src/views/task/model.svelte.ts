/** The state of the Task view: a task model, labelled data, its answers, some of them chosen, one of them open. */
import { Asking, type Newest } from '../../api/asking.svelte'
import { get, getFrame, post, postFrame } from '../../api/client'
import { kept } from '../../api/kept'
import type { Account, ModelFacts } from '../../api/types'
import type { Corrections, CorrectedFile, TaskData } from '../../api/schema'

export interface Score { metric: string; value: number | null; n: number; low: number | null; high: number | null }
export interface Slice extends Score { slice: string; is: string; examples: number }
export interface Row { line: number | null; text: string; truth: string; answer: string; probability: number | null }
export interface Cells {
  rows: string[]; columns: string[]; right: [number, number][]; counts: string
  places: [number, number, number][][]; good: boolean[]; wrongness: number[]
}
export interface Answers {
  task: string; writes: boolean; labels: string[]; of: number; scores: Score[]; slices: Slice[]; notes: string[]
  correctable: boolean; cells: Cells; sliced: Record<string, string[]>; examples: Row[]; seconds: number
}
export interface One {
  texts: string[]; words: string[]; options: string[]; chances: { label: string; probability: number }[]; sure: number[] | null
  answer: { start?: number; end?: number; answer?: string; best_span?: string; margin?: number; probability?: number; error?: string; finish?: string }
  target: unknown; predicted: unknown; columns: Record<string, unknown>
  spans?: [string, number, number][][]
}
export interface Influence { words: [number, number, number][]; names: string[]; unit: string; without: string[]; values: Float32Array }
export type Part = 'all' | 'test' | 'train'
export type Order = 'worst' | 'unsure' | 'file'

export class TaskModel extends Asking {
  at = $state('')
  data = $state('')
  part = $state<Part>('all')
  limit = $state(1000)
  account = $state<Account | null>(null)
  facts = $state<ModelFacts | null>(null)
  labelled = $state<TaskData | null>(null)
  answers = $state.raw<Answers | null>(null)
  corrections = $state.raw<Corrections | null>(null)
  cell = $state<[number, number] | null>(null)
  slice = $state<{ name: string; is: string } | null>(null)
  word = $state('')
  wrongOnly = $state(false)
  order = $state<Order>('worst')
  /** What the server says of places and score where a word is looked for, or a cell and a slice together. */
  found = $state.raw<{ places: number[]; score: Score | null } | null>(null)
  place = $state<number | null>(null)
  one = $state.raw<One | null>(null)
  influence = $state.raw<Influence | null>(null)
  exported = $state.raw<CorrectedFile | null>(null)

  private get asked() {
    return { at: this.at, data: this.data, part: this.part, limit: this.limit }
  }

  async open(at: string, data: string, part: Part | null, limit: number): Promise<void> {
    this.overtake()
    await this.asking('answers', async (newest) => {
      Object.assign(this, { at, answers: null, labelled: null, corrections: null, limit, data: '' })
      const [account, labelled] = newest(await Promise.all([get<Account>('folder', { at }), get<TaskData>('task/data', { at })]))
      Object.assign(this, { account, labelled })
      const file = labelled.files.find((one) => one.at === data) ?? labelled.files[0]
      if (!file) return
      this.data = file.at
      this.part = part ?? (file.own && labelled.tested ? 'test' : 'all')
      this.facts = newest(await getFrame<ModelFacts>('model', { at })).fields
      await this.load(newest)
    })
  }

  async take(data: string, part: Part): Promise<void> {
    this.overtake()
    Object.assign(this, { data, part })
    await this.asking('answers', (newest) => this.load(newest))
  }

  private async load(newest: Newest): Promise<void> {
    Object.assign(this, { answers: null, corrections: null, cell: null, slice: null, found: null, word: '', place: null, one: null, influence: null, exported: null })
    this.answers = newest(await postFrame<Answers>('task/answers', this.asked)).fields
    if (!kept) this.corrections = newest(await get<Corrections>('corrections', { data: this.data }))
  }

  /** The places of the examples that are chosen, in the order asked for. */
  get places(): number[] {
    const all = this.answers
    if (!all) return []
    const among = this.found?.places ?? this.local(all)
    const kept = this.wrongOnly ? among.filter((place) => !all.cells.good[place]) : among
    const sure = (place: number) => all.examples[place].probability ?? 1
    if (this.order === 'worst') return kept.slice().sort((a, b) => all.cells.wrongness[b] - all.cells.wrongness[a])
    return this.order === 'unsure' ? kept.slice().sort((a, b) => sure(a) - sure(b)) : kept
  }

  private local(all: Answers): number[] {
    const { cell, slice } = this
    return all.examples.map((_, place) => place).filter((place) =>
      (!cell || all.cells.places[place].some(([row, column]) => row === cell[0] && column === cell[1])) &&
      (!slice || all.sliced[slice.name]?.[place] === slice.is))
  }

  async choose(chosen: { cell?: [number, number] | null; slice?: { name: string; is: string } | null; word?: string }): Promise<void> {
    Object.assign(this, chosen)
    this.found = null
    await this.asking('selected', async (newest) => {
      const both = this.cell && this.slice
      if (!this.answers || (!this.word.trim() && !both)) return
      const places = this.cell || this.slice ? this.local(this.answers) : null
      this.found = newest(await postFrame<{ places: number[]; score: Score | null }>('task/selected', { ...this.asked, places, word: this.word.trim() })).fields
    })
  }

  async look(place: number | null): Promise<void> {
    Object.assign(this, { place, one: null, influence: null })
    await this.asking('example', async (newest) => {
      if (place === null) return
      this.one = newest(await postFrame<One>('task/example', { ...this.asked, place })).fields
    })
  }

  async measure(): Promise<void> {
    const place = this.place
    if (place === null) return
    await this.asking('influence', async (newest) => {
      const { fields, tensors } = newest(await postFrame<Omit<Influence, 'values'>>('task/influence', { ...this.asked, place }))
      if (this.place === place) this.influence = { ...fields, values: tensors.influence.data as Float32Array }
    })
  }

  async correct(value: unknown): Promise<void> {
    const place = this.place
    if (place === null) return
    await this.asking('corrections', async (newest) => {
      this.corrections = newest(await post<Corrections>('corrections', { ...this.asked, place, value }))
      this.exported = null
    })
  }

  async takeBack(line: number): Promise<void> {
    await this.asking('corrections', async (newest) => {
      this.corrections = newest(await post<Corrections>('corrections/take-back', { data: this.data, line }))
    })
  }

  async export(out: string): Promise<void> {
    await this.asking('export', async (newest) => {
      this.exported = newest(await post<CorrectedFile>('corrections/export', { at: this.at, data: this.data, out }))
    })
  }
}
