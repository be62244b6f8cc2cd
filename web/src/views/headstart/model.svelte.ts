/** The state of the Head start view: the points of a folder, and the race that is being run. */
import { Asking } from '../../api/asking.svelte'
import { get, post } from '../../api/client'
import type { Course, HeadStart, Labelled, Point, Race as RaceAnswer } from '../../api/schema'
import type { Job } from '../../api/types'
import type { Way } from '../../arithmetic/economy'
import type { Cell, Line } from '../../figures/LearningPlane.svelte'

/** Names on the figures, and in a sentence. */
export const SYSTEMS: Record<string, { name: string; phrase: string; hue: string; dashed?: boolean }> = {
  'fine-tuned': { name: 'pre-trained', phrase: 'the pre-trained network', hue: '--encoder' },
  'static-start': { name: 'static start', phrase: 'its static start', hue: '--static' },
  foundation: { name: 'headstart-mini', phrase: 'headstart-mini', hue: '--attention' },
  'from-scratch': { name: 'random weights', phrase: 'the same network from random weights', hue: '--decoder' },
  'tf-idf': { name: 'counted words', phrase: 'counting words without a network', hue: '--amber', dashed: true },
  majority: { name: 'most frequent', phrase: 'the most frequent answer', hue: '--grey', dashed: true },
}
export const ORDER = Object.keys(SYSTEMS)
export const phraseOf = (system: string) => SYSTEMS[system]?.phrase ?? system
export const nameOf = (system: string) => SYSTEMS[system]?.name ?? system
const PERIOD = 1000

const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length
const deviation = (values: number[]) => {
  if (values.length < 2) return null
  const middle = mean(values)
  return Math.sqrt(values.reduce((sum, value) => sum + (value - middle) ** 2, 0) / (values.length - 1))
}

export class HeadStartModel extends Asking {
  at = $state('')
  found = $state.raw<HeadStart | null>(null)
  task = $state('')

  readonly tasks = $derived([...new Set(this.found?.points.map((point) => point.task))].sort())
  readonly points = $derived((this.found?.points ?? []).filter((point) => point.task === this.task))
  readonly metric = $derived(this.points[0]?.metric ?? 'score')
  readonly systems = $derived(ORDER.filter((system) => this.points.some((point) => point.system === system && point.step === null)))
  readonly labels = $derived([...new Set(this.points.map((point) => point.labels))].sort((a, b) => a - b))
  readonly steps = $derived([...new Set(this.points.filter((point) => point.step !== null).map((point) => point.step!))].sort((a, b) => a - b))
  readonly growing = $derived(!!this.found && this.found.fits !== null && this.found.points.length < this.found.fits)

  async open(at: string, task = ''): Promise<void> {
    this.overtake()
    Object.assign(this, { at, task, found: null, trouble: null })
    await this.refresh()
  }

  async refresh(): Promise<void> {
    await this.following('points', async (newest) => {
      this.found = newest(await get<HeadStart>('head-start', { at: this.at }))
      this.trouble = null
      if (!this.tasks.includes(this.task)) this.task = this.tasks[0] ?? ''
    })
  }

  private cell(x: number, points: Point[]): Cell {
    const values = points.map((point) => point.score)
    return { x, mean: mean(values), deviation: deviation(values), values }
  }

  cellsOf(system: string): Cell[] {
    const found = this.points.filter((point) => point.system === system && point.step === null)
    return this.labels.filter((labels) => found.some((point) => point.labels === labels)).map((labels) => this.cell(labels, found.filter((point) => point.labels === labels)))
  }

  /** A line a system, by labels. */
  readonly byLabels = $derived<Line[]>(this.systems.filter((system) => system !== 'majority').map((system) => ({ key: system, ...SYSTEMS[system], cells: this.cellsOf(system) })))

  /** A line a number of labels, by the tokens that pre-training had read. */
  readonly byTokens = $derived.by<Line[]>(() => {
    const last = this.found?.pretraining
    if (!last || !this.steps.length) return []
    const tuned = this.points.filter((point) => point.system === 'fine-tuned')
    const hues = ['--static', '--amber', '--encoder', '--attention', '--decoder', '--draw']
    return this.labels.map((labels, index) => {
      const of = tuned.filter((point) => point.labels === labels)
      const cells = this.steps.map((step) => ({ x: this.found!.tokens_at[step] ?? 0, points: of.filter((point) => point.step === step) }))
      cells.push({ x: last.tokens, points: of.filter((point) => point.step === null) })
      return { key: String(labels), name: `${labels} labels`, hue: hues[index % hues.length], cells: cells.filter((cell) => cell.points.length).map((cell) => this.cell(cell.x, cell.points)) }
    })
  })

  secondsOf(system: string, labels: number): number | null {
    const found = this.points.filter((point) => point.system === system && point.labels === labels && point.step === null)
    return found.length ? mean(found.map((point) => point.seconds)) : null
  }

  /** A system as a way of paying: what all tasks share is the pre-training that was paid here. */
  wayOf(system: string, times = 1): Way {
    const once = system === 'fine-tuned' ? times * (this.found?.pretraining?.core_seconds ?? 0) : 0
    return { once, points: this.cellsOf(system).map((cell) => [cell.x, cell.mean, this.secondsOf(system, cell.x)!]) }
  }
}

/** A fine-tuning of several starts, really trained: started as a job, followed as it goes. */
export class Race {
  at = $state('')
  job = $state<Job | null>(null)
  courses = $state.raw<Course[]>([])
  trouble = $state<string | null>(null)
  data = $state.raw<Labelled[]>([])
  private timer: ReturnType<typeof setTimeout> | null = null

  readonly running = $derived(!!this.job?.running)

  async choices(): Promise<void> {
    this.data = await get<Labelled[]>('labelled').catch((error: Error) => ((this.trouble = error.message), []))
  }

  async start(model: string, data: string, labels: number, seed: number, systems: string[], counted: boolean): Promise<void> {
    this.trouble = null
    const out = `races/${new Date().toISOString().slice(0, 19).replaceAll(':', '-')}`
    try {
      this.job = await post<Job>('jobs', {
        verb: 'head-start', model, out,
        options: { data, labels: String(labels), seeds: String(seed + 1), systems: systems.join(','), 'test-examples': '300' },
        settings: { max_tokens: '128', counted_words: counted ? 'auto' : 'none' },
      })
      this.follow(out)
    } catch (error) {
      this.trouble = (error as Error).message
    }
  }

  /** Show what a folder has, and as long as a job writes it what comes. */
  async follow(at: string): Promise<void> {
    if (this.timer) clearTimeout(this.timer)
    this.at = at
    try {
      const jobs = await get<Job[]>('jobs').catch(() => [] as Job[])
      const { courses } = await get<RaceAnswer>('head-start/race', { at })
      if (this.at !== at) return
      this.job = jobs.find((job) => job.out === at) ?? null
      this.courses = courses
      if (this.job && !this.job.running && !courses.length) this.trouble = (await get<{ text: string }>(`jobs/${this.job.id}/log`)).text.trim().split('\n').at(-1) || 'the race ended without a fit'
    } catch (error) {
      if (this.at !== at) return
      this.trouble = (error as Error).message
    }
    if (this.job?.running) this.timer = setTimeout(() => this.follow(at), document.hidden ? 4 * PERIOD : PERIOD)
  }

  async stop(): Promise<void> {
    if (this.job) await post(`jobs/${this.job.id}/stop`, {}).catch((error: Error) => (this.trouble = error.message))
  }

  close(): void {
    this.at = ''
    if (this.timer) clearTimeout(this.timer)
  }
}
