/** The state of the Generation view: one model at one time of training, a prompt, a tree of tries, what was computed. */
import { Asking, type Newest } from '../../api/asking.svelte'
import { get, getFrame, postFrame } from '../../api/client'
import { lossesOf } from '../../api/losses'
import type { Account, ModelFacts, State } from '../../api/types'
import { sample, type Drawn, type Rules } from '../../arithmetic/sampler'

export interface Trace {
  logits: Float32Array
  constrained: Float32Array
  attention: Uint8Array
  cross: Uint8Array | null
  lens: Int32Array
  lensShare: Float32Array
  norms: Float32Array
  surprise: Float32Array
  seconds: number
}
export interface Try { key: number; parent: number; id: number; depth: number; share: number | null; lost?: boolean }

const VIEW = 'generation'
let turn = 0

export class Generation extends Asking {
  at = $state('')
  account = $state<Account | null>(null)
  index = $state(0)
  facts = $state<ModelFacts | null>(null)
  uniforms = $state.raw<Float64Array>(new Float64Array())
  prompt = $state('It was a')
  promptIds = $state<number[]>([])
  source = $state<number[] | null>(null)
  tries = $state<Try[]>([])
  current = $state(-1)
  rules = $state<Rules & { repetition_penalty: number }>({ temperature: 0.8, top_k: 50, top_p: 1, min_p: 0, repetition_penalty: 1 })
  seed = $state(0)
  trace = $state.raw<Trace | null>(null)
  other = $state.raw<Float32Array | null>(null)
  /** The distribution of the state that was looked at before this one. */
  ghost = $state.raw<Float64Array | null>(null)
  against = $state('')
  losses = $state.raw<Map<number, number>>(new Map())
  private queue = Promise.resolve()
  private cache = new Map<string, Trace>()
  private vocabularies = new Map<string, ModelFacts>()

  readonly states = $derived<State[]>(this.account?.states ?? [])
  readonly state = $derived<State | undefined>(this.states[this.index])
  readonly written = $derived(this.path(this.current))
  readonly ids = $derived([...this.promptIds, ...this.written.map((one) => one.id)])
  readonly texts = $derived(this.ids.map((id) => this.text(id)))
  readonly drawn = $derived<Drawn | null>(
    this.trace ? sample(this.trace.constrained, this.rules, this.uniforms[this.written.length] ?? 0) : null,
  )
  readonly ended = $derived(this.written.length > 0 && (this.facts?.stop ?? []).includes(this.written.at(-1)!.id))

  text(id: number): string {
    return this.facts?.vocabulary[id] ?? `#${id}`
  }

  path(key: number): Try[] {
    const found: Try[] = []
    for (let at = key; at >= 0; ) {
      const one = this.tries.find((each) => each.key === at)
      if (!one) break
      found.unshift(one)
      at = one.parent
    }
    return found
  }

  /** Open a folder; `step` is the state to begin with. */
  async open(at: string, step: number | null): Promise<void> {
    this.overtake()
    await this.asking('text', async (newest) => {
      this.at = at
      this.account = newest(await get<Account>('folder', { at }))
      const states = this.account.states
      if (!states.length) throw new Error('this folder has no model yet: no checkpoint, no snapshot, nothing finished')
      const wanted = step === null ? states.length - 1 : states.findIndex((one) => one.step === step)
      this.index = wanted < 0 ? states.length - 1 : wanted
      await this.fetchFacts(newest)
      this.rules = { ...this.facts!.defaults }
      this.losses = newest(await lossesOf(at, states))
      await this.read(newest)
    })
  }

  private async fetchFacts(newest: Newest): Promise<void> {
    const at = this.state!.at
    const { fields, tensors } = newest(await getFrame<ModelFacts>('model', { at, seed: this.seed }))
    this.facts = fields
    this.vocabularies.set(at, fields)
    this.uniforms = tensors.uniforms.data as Float64Array
  }

  async setSeed(seed: number): Promise<void> {
    this.seed = seed
    await this.asking('seed', (newest) => this.fetchFacts(newest))
  }

  /** Read the prompt anew: the tree begins again. */
  async begin(): Promise<void> {
    await this.asking('text', (newest) => this.read(newest))
  }

  private async read(newest: Newest): Promise<void> {
    const { fields } = newest(await postFrame<{ ids: number[] }>('tokenize', { at: this.state!.at, text: this.prompt }))
    const answers = this.facts!.architecture === 'encoder-decoder'
    this.source = answers ? fields.ids : null
    this.promptIds = answers ? [this.facts!.start ?? 0] : fields.ids
    this.tries = []
    this.current = -1
    this.ghost = null
    await this.look()
  }

  async move(index: number): Promise<void> {
    this.ghost = this.drawn?.own ?? null
    this.index = index
    await this.asking('look', () => this.look())
  }

  async go(key: number): Promise<void> {
    this.current = key
    this.ghost = null
    await this.asking('look', () => this.look())
  }

  /** Go on with a token: along a try that is there, or along a new one. */
  async take(id: number): Promise<void> {
    if (this.ended) return
    const there = this.tries.find((one) => one.parent === this.current && one.id === id)
    if (there) return this.go(there.key)
    const share = this.drawn?.own[id] ?? null
    const one = { key: this.tries.length, parent: this.current, id, depth: this.written.length, share }
    this.tries = [...this.tries, one]
    await this.go(one.key)
  }

  /** Take the drawn token; presses that come faster than the model wait for their turn. */
  next(count = 1): Promise<void> {
    this.queue = this.queue.then(async () => {
      for (let one = 0; one < count && !this.ended && !this.trouble && this.drawn; one++) await this.take(this.drawn.chosen)
    })
    return this.queue
  }

  async back(): Promise<void> {
    if (this.current >= 0) await this.go(this.tries.find((one) => one.key === this.current)!.parent)
  }

  async compare(at: string): Promise<void> {
    this.against = at
    await this.asking('look', () => this.look())
  }

  async setPenalty(value: number): Promise<void> {
    this.rules.repetition_penalty = value
    await this.asking('look', () => this.look())
  }

  /** A beam search from here, drawn into the same tree; the best way is gone. */
  async beams(): Promise<void> {
    const from = this.current
    await this.asking('text', async (newest) => {
      const { fields } = newest(await postFrame<{ nodes: { parent: number; depth: number; id: number; kept: boolean; logprob: number }[]; best: number }>(
        'beams', { at: this.state!.at, ids: this.ids, source: this.source, beams: 4, tokens: 8 },
      ))
      const keys: number[] = []
      for (const node of fields.nodes) {
        const parent = node.parent < 0 ? from : keys[node.parent]
        const there = this.tries.find((one) => one.parent === parent && one.id === node.id)
        if (there) keys.push(there.key)
        else {
          const one = { key: this.tries.length, parent, id: node.id, depth: node.depth, share: Math.exp(node.logprob), lost: !node.kept }
          this.tries = [...this.tries, one]
          keys.push(one.key)
        }
      }
      if (fields.best >= 0 && this.current === from) this.current = keys[fields.best]
      await this.look()
    })
  }

  private async look(): Promise<void> {
    const mine = ++turn
    const found = await this.traced(this.state!.at, mine)
    let other: Float32Array | null = null
    if (this.against) {
      if (!this.vocabularies.has(this.against)) {
        this.vocabularies.set(this.against, (await getFrame<ModelFacts>('model', { at: this.against })).fields)
      }
      const theirs = this.vocabularies.get(this.against)!
      if (theirs.tokenizer_sha256 !== this.facts!.tokenizer_sha256) {
        this.against = ''
        throw new Error('that model reads other tokens, so that its probabilities cannot stand beside these')
      }
      other = (await this.traced(this.against, mine)).constrained
    }
    if (mine === turn) {
      this.trace = found
      this.other = other
    }
  }

  private async traced(at: string, mine: number): Promise<Trace> {
    const key = `${at} ${this.ids.join()} ${this.rules.repetition_penalty} ${this.source?.join()}`
    const known = this.cache.get(key)
    if (known) return known
    const asked = {
      at, ids: this.ids, prompt: this.promptIds.length, source: this.source,
      repetition_penalty: this.rules.repetition_penalty, view: `${VIEW} ${at}`, turn: mine,
    }
    const { fields, tensors } = await postFrame<{ seconds: number }>('trace', asked)
    const made: Trace = {
      logits: tensors.logits.data as Float32Array,
      constrained: tensors.constrained.data as Float32Array,
      attention: tensors.attention.data as Uint8Array,
      cross: (tensors.cross?.data as Uint8Array) ?? null,
      lens: tensors.lens.data as Int32Array,
      lensShare: tensors.lens_probability.data as Float32Array,
      norms: tensors.norms.data as Float32Array,
      surprise: tensors.surprise.data as Float32Array,
      seconds: fields.seconds,
    }
    if (this.cache.size > 200) this.cache.clear()
    this.cache.set(key, made)
    return made
  }
}
