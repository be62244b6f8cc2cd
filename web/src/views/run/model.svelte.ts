/** The state of the run view: the history, what comes live, the captured step that is shown. */
import { Asking } from '../../api/asking.svelte'
import { eventsOf, get, getFrame, post } from '../../api/client'
import type { Frame } from '../../api/frame'
import type { Account, RunEvent } from '../../api/types'

export interface Capture {
  step: number
  rows: number
  tokens: string[]
  targets: string[]
  top: string[][]
  mean_loss: number
  row_loss: number | null
  source?: string[]
  statistics: Record<string, { gradient: number; weight: number; update: number }> | null
  places: Int32Array
  loss: Float32Array
  top_logprobs: Float32Array
  norms: Record<string, Float32Array>
  /** Weights `[H, T, S]` in 255ths. */
  attention: Record<string, { data: Uint8Array; shape: number[] }>
}
export interface Point { step: number; x: Record<string, number>; low: number; high: number; mean: number; values: Record<string, number> }
export interface Sample { step: number; prompt: string; text: string }

interface History {
  columns: string[]
  after: string
  evaluations: RunEvent[]
  marks: RunEvent[]
  last: RunEvent | null
  steps: number
}
const AXES = ['step', 'tokens', 'words', 'core_seconds'] as const
const VALUES = ['seconds', 'learning_rate', 'gradient_norm', 'tokens_per_second', 'mfu'] as const

export class Run extends Asking {
  at = $state('')
  account = $state<Account | null>(null)
  points = $state.raw<Point[]>([])
  evaluations = $state.raw<RunEvent[]>([])
  marks = $state.raw<RunEvent[]>([])
  last = $state.raw<RunEvent | null>(null)
  captures = $state<number[]>([])
  samples = $state<Sample[]>([])
  capture = $state.raw<Capture | null>(null)
  row = $state(0)
  /** Of the connection: what the page knows of the run's life. */
  connected = $state(false)
  now = $state(Date.now() / 1000)
  other = $state.raw<{ at: string; points: Point[] } | null>(null)
  private source: EventSource | null = null
  private waiting: RunEvent[] = []
  private clock: ReturnType<typeof setInterval> | null = null

  readonly ended = $derived(this.marks.some((event) => event.kind === 'end'))
  readonly silence = $derived(this.last ? Math.max(0, this.now - this.last.time) : 0)
  readonly paused = $derived(this.marks.filter((event) => event.kind === 'control' && ['pause', 'resume'].includes(event.action ?? '')).at(-1)?.action === 'pause')
  readonly patience = $derived.by(() => {
    const times = this.points.slice(-20).map((point) => point.values.seconds).filter(Number.isFinite)
    const gaps = times.slice(1).map((time, index) => time - times[index]).sort((a, b) => a - b)
    return Math.max(20, 3 * (gaps[Math.floor(gaps.length / 2)] ?? 10))
  })

  async open(at: string): Promise<void> {
    this.close()
    this.at = at
    this.capture = null
    await this.asking('history', async (newest) => {
      this.account = newest(await get<Account>('folder', { at }))
      const { points, fields } = newest(await load(at))
      Object.assign(this, { points, evaluations: fields.evaluations, marks: fields.marks, last: fields.last })
      newest(await this.refreshKept())
      this.follow(fields.after)
    })
  }

  async compare(at: string): Promise<void> {
    await this.asking('other', async (newest) => {
      this.other = at ? { at, points: newest(await load(at)).points } : null
    })
  }

  private async refreshKept(): Promise<void> {
    const at = this.at
    const kept = await get<{ captures: number[]; samples: Sample[] }>('kept', { at })
    if (this.at !== at) return
    const followed = !this.capture || this.capture.step === this.captures.at(-1)
    this.captures = kept.captures
    this.samples = kept.samples
    const newest = kept.captures.at(-1)
    if (followed && newest !== undefined && newest !== this.capture?.step) await this.show(newest)
  }

  async show(step: number, row = 0): Promise<void> {
    this.row = row
    await this.following('capture', async (newest) => this.draw(newest(await getFrame<Omit<Capture, 'norms' | 'attention'>>('capture', { at: this.at, step, row }))))
  }

  private draw({ fields, tensors }: Frame<Omit<Capture, 'norms' | 'attention'>>): void {
    const norms: Capture['norms'] = {}
    const attention: Capture['attention'] = {}
    for (const [name, tensor] of Object.entries(tensors)) {
      if (name.startsWith('norm.')) norms[name.slice(5)] = tensor.data as Float32Array
      if (name.startsWith('attention.')) attention[name.slice(10)] = { data: tensor.data as Uint8Array, shape: tensor.shape }
    }
    if (!tensors.places) return // an ELMo's capture has no such strip
    this.capture = {
      ...fields, norms, attention, places: tensors.places.data as Int32Array, loss: tensors.loss.data as Float32Array,
      top_logprobs: (tensors.top_logprobs?.data as Float32Array) ?? new Float32Array(),
    }
  }

  private follow(after: string): void {
    this.source = eventsOf(this.at, after)
    if (!this.source) return
    this.source.onopen = () => (this.connected = true)
    this.source.onerror = () => (this.connected = false)
    this.source.addEventListener('metrics', (message) => this.waiting.push(...(JSON.parse(message.data) as RunEvent[])))
    this.source.addEventListener('folder', () => this.refreshKept().catch(() => {}))
    this.source.addEventListener('restart', () => this.open(this.at))
    this.clock = setInterval(() => this.take(), 200)
  }

  /** Take up what has come, five times a second at most. */
  private take(): void {
    this.now = Date.now() / 1000
    if (!this.waiting.length) return
    const added = this.waiting
    this.waiting = []
    if (added.some((event) => event.kind === 'resume' || (event.kind === 'spike' && event.action === 'rollback'))) {
      this.open(this.at) // what was shown is partly void: the server tells the history anew
      return
    }
    const steps = added.filter((event) => event.kind === 'step')
    if (steps.length) {
      this.points = [...this.points, ...steps.map(point)]
      this.last = steps.at(-1)!
    }
    const evaluations = added.filter((event) => event.kind === 'evaluation')
    if (evaluations.length) this.evaluations = [...this.evaluations, ...evaluations]
    const marks = added.filter((event) => ['note', 'spike', 'control', 'end'].includes(event.kind))
    if (marks.length) this.marks = [...this.marks, ...marks]
  }

  async send(action: string, number?: number): Promise<void> {
    this.trouble = null
    try {
      await post('control', { at: this.at, action, number })
    } catch (error) {
      this.trouble = (error as Error).message
    }
  }

  close(): void {
    this.overtake()
    this.source?.close()
    if (this.clock) clearInterval(this.clock)
    this.source = this.clock = null
    this.waiting = [] // of the run before, or told anew by the history
    this.connected = false
  }
}

function point(event: RunEvent): Point {
  const loss = event.loss ?? NaN
  const of = (names: readonly string[]) => Object.fromEntries(names.map((name) => [name, (event as unknown as Record<string, number>)[name] ?? NaN]))
  return { step: event.step, x: of(AXES), low: loss, high: loss, mean: loss, values: of(VALUES) }
}

async function load(at: string): Promise<{ points: Point[]; fields: History }> {
  const { fields, tensors } = await getFrame<History>('metrics', { at, points: 2000 })
  const [, buckets] = tensors.steps.shape
  const data = tensors.steps.data as Float32Array
  const value = (name: string, bucket: number, kind: number) => data[(fields.columns.indexOf(name) * buckets + bucket) * 3 + kind]
  const points = Array.from({ length: buckets }, (_, bucket) => ({
    step: value('step', bucket, 1),
    x: Object.fromEntries(AXES.map((name) => [name, value(name, bucket, 1)])),
    low: value('loss', bucket, 0), high: value('loss', bucket, 1), mean: value('loss', bucket, 2),
    values: Object.fromEntries(VALUES.map((name) => [name, value(name, bucket, 2)])),
  }))
  return { points, fields }
}
