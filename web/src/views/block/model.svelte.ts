/** The state of the Block view: a configuration, its diagram, the chosen part and what is known of it. */
import { Asking, type Newest } from '../../api/asking.svelte'
import { get, getFrame, postFrame } from '../../api/client'
import type { Account, State } from '../../api/types'
import type { Part, Stack } from '../../figures/Blueprint.svelte'

export interface Config { family: string; architecture: string; layers: number; encoder_layers: number; width: number; heads: number; kv_heads: number; head_width: number; vocab_size: number; context: number; position: string; norm_place: string; parallel: boolean; gated: boolean; generates: boolean; feedforward: string }
export interface Described { parameters: number; flops: number; config: Config; shares: number[]; cache_bytes: number[]; cache_now: number; frequencies: number[]; names: Record<string, number[]>; head: number; seconds: number }
export interface Weight { name: string; shape: number[]; least: number; largest: number; mean: number; deviation: number; cells: Float32Array; sides: number[]; spectrum: Float32Array }
export interface Gates { texts: string[]; gates: Float32Array | null; width: number; norms: Float32Array; attention: Float32Array; feedforward: Float32Array }
export interface Shared { kv: number; before: number; after: number; targets: number }
export interface Preset { name: string; family: string; year: number; parameters: number }
type Raw = Omit<Part, 'id'>
let turn = 0

export class BlockModel extends Asking {
  at = $state('')
  preset = $state('')
  account = $state<Account | null>(null)
  presets = $state.raw<Preset[]>([])
  known = $state.raw<Described | null>(null)
  embedding = $state.raw<Part | null>(null)
  stacks = $state.raw<Stack[]>([])
  output = $state.raw<Part[]>([])
  rows = $state(1)
  row = $state(512)
  weight = $state.raw<Weight | null>(null)
  gates = $state.raw<Gates | null>(null)
  shared = $state<Shared[]>([])

  readonly state = $derived<State | undefined>(this.account?.states.at(-1))
  readonly parts = $derived([...(this.embedding ? [this.embedding] : []), ...this.stacks.flatMap((stack) => [...stack.before, ...stack.block, ...stack.after]), ...this.output])
  readonly layers = $derived(this.stacks.reduce((sum, stack) => sum + stack.layers, 0))

  async open(at: string, preset: string): Promise<void> {
    this.overtake()
    await this.asking('diagram', async (newest) => {
      Object.assign(this, { at, preset, weight: null, gates: null, shared: [], account: null })
      if (!this.presets.length) this.presets = newest(await get<Preset[]>('presets'))
      if (!preset) this.account = newest(await get<Account>('folder', { at }))
      if (!preset && !this.state) throw new Error('this folder has no model yet: no checkpoint, no snapshot, nothing finished')
      await this.describe(newest)
    })
  }

  async resize(rows: number, row: number): Promise<void> {
    Object.assign(this, { rows, row })
    await this.asking('diagram', (newest) => this.describe(newest))
  }

  private async describe(newest: Newest): Promise<void> {
    const { fields } = newest(await getFrame<Described & { diagram: { embedding: Raw; stacks: (Omit<Stack, 'before' | 'block' | 'after'> & Record<'before' | 'block' | 'after', Raw[]>)[]; output: Raw[] } }>(
      'block', { ...(this.preset ? { preset: this.preset } : { at: this.state!.at }), rows: this.rows, row: this.row },
    ))
    const named = (parts: Raw[], where: string): Part[] => parts.map((part, index) => ({ ...part, id: `${where}.${part.branch || 'stream'}.${part.kind}.${index}` }))
    this.known = fields
    this.embedding = { ...fields.diagram.embedding, id: 'embedding' }
    this.stacks = fields.diagram.stacks.map((stack) => ({ ...stack, before: named(stack.before, `${stack.name}.before`), block: named(stack.block, stack.name), after: named(stack.after, `${stack.name}.after`) }))
    this.output = named(fields.diagram.output, 'output')
  }

  async look(name: string): Promise<void> {
    await this.asking('weight', async (newest) => {
      if (this.preset || !(name in (this.known?.names ?? {}))) {
        this.weight = null
        return
      }
      const { fields, tensors } = newest(await getFrame<Omit<Weight, 'name' | 'cells' | 'sides' | 'spectrum'>>('weight', { at: this.state!.at, name }))
      this.weight = { ...fields, name, cells: tensors.cells.data as Float32Array, sides: tensors.cells.shape, spectrum: tensors.spectrum.data as Float32Array }
    })
  }

  async send(text: string, layer: number): Promise<void> {
    await this.asking('gates', async (newest) => {
      const { fields, tensors } = newest(await postFrame<{ texts: string[] }>('gates', { at: this.state!.at, text, layer, view: 'block-gates', turn: ++turn }))
      this.gates = {
        texts: fields.texts, gates: (tensors.gates?.data as Float32Array) ?? null, width: tensors.gates?.shape[1] ?? 0, norms: tensors.norms.data as Float32Array,
        attention: tensors.attention.data as Float32Array, feedforward: tensors.feedforward.data as Float32Array,
      }
    })
  }

  /** Share heads for real, and measure what that costs. */
  async share(kv: number): Promise<void> {
    await this.asking('share', async (newest) => {
      const { fields } = newest(await postFrame<Omit<Shared, 'kv'>>('share', { at: this.state!.at, run: this.at, kv_heads: kv, view: 'block-share', turn: ++turn }))
      this.shared = [...this.shared.filter((one) => one.kv !== kv), { ...fields, kv }].sort((a, b) => b.kv - a.kv)
    })
  }
}
