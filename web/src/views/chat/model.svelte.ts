/** The state of the Chat view: a conversation with a model, its tokens, and the other ways that were gone. */
import { get, lines, post, Refusal } from '../../api/client'
import { kept, remember } from '../../api/kept'
import type { Answer, Ask, ChatModel, Rendered, Saved, Turn, Written } from '../../api/schema'

export interface Said {
  role: 'user' | 'assistant'
  content: string
  tokens: Written[]
  finish: string | null
  calls: Record<string, unknown>[]
  /** What was asked for it; null: a person said it. */
  asked: Ask | null
}

export class Conversation {
  at = $state('')
  model = $state<ChatModel | null>(null)
  turns = $state.raw<Said[]>([])
  /** Of each turn, the ways that it was answered before. */
  ways = $state.raw<Said[][]>([])
  system = $state('')
  settings = $state({ temperature: 0.7, top_p: 1, top_k: 0, min_p: 0, repetition_penalty: 1, max_tokens: 120, seed: 0 })
  tools = $state('')
  mustCall = $state(false)
  schema = $state('')
  rendered = $state.raw<Rendered | null>(null)
  kept = $state.raw<Turn[][]>([])
  saved = $state.raw<Saved | null>(null)
  writing = $state(false)
  opening = $state(false)
  trouble = $state<string | null>(null)
  private stopping: AbortController | null = null

  async open(at: string): Promise<void> {
    this.drop()
    Object.assign(this, { at, model: null, turns: [], ways: [], rendered: null, trouble: null })
    try {
      const model = await get<ChatModel>('chat/model', { at })
      if (this.at !== at) return // another one was chosen meanwhile
      this.model = model
    } catch (error) {
      if (this.at === at) this.trouble = (error as Error).message
    }
    if (kept) this.recall()
  }

  /** Ask for an answer to what was said so far and to this. */
  async say(text: string): Promise<void> {
    if (this.writing) return
    const turns = [...this.turns, { role: 'user' as const, content: text, tokens: [], finish: null, calls: [], asked: null }]
    this.ways = [...this.ways, []]
    await this.write(turns, [])
  }

  /** Another answer to the same. */
  async again(): Promise<void> {
    const place = this.turns.length - 1
    if (this.writing || this.turns[place]?.role !== 'assistant') return
    this.settings.seed += 1
    this.keepWay(place)
    await this.write(this.turns.slice(0, place), [])
  }

  /** From a token of an answer another way; what came behind that answer goes. */
  async branch(place: number, token: number, instead: string): Promise<void> {
    if (this.writing) return
    const prefix = [...this.turns[place].tokens.slice(0, token).map((one) => one.text), instead]
    this.keepWay(place)
    await this.write(this.turns.slice(0, place), prefix)
  }

  /** Put an earlier way in the place of the one that is shown. */
  swap(place: number, way: number): void {
    const shown = this.turns[place]
    const ways = this.ways.map((its, index) => (index === place ? its.map((one, number) => (number === way ? shown : one)) : its))
    this.turns = [...this.turns.slice(0, place), this.ways[place][way]]
    this.ways = ways.slice(0, place + 1)
    this.render()
  }

  /** End the writing; what there is of the answer stays. */
  stop(): void {
    this.stopping?.abort()
  }

  /** End the writing, and forget that answer. */
  private drop(): void {
    this.stop()
    Object.assign(this, { stopping: null, writing: false, opening: false })
  }

  back(): void {
    this.drop()
    const place = this.turns.findLastIndex((one) => one.role === 'user')
    if (place < 0) return
    this.turns = this.turns.slice(0, place)
    this.ways = this.ways.slice(0, place)
    this.rendered = null
    this.render()
  }

  clear(): void {
    this.drop()
    Object.assign(this, { turns: [], ways: [], rendered: null })
  }

  keep(): void {
    this.kept = [...this.kept, this.messages(this.turns)]
    this.saved = null
  }

  async save(out: string): Promise<void> {
    this.trouble = null
    try {
      this.saved = await post<Saved>('chat/save', { out, conversations: this.kept })
      this.kept = []
    } catch (error) {
      this.trouble = (error as Error).message
    }
  }

  private messages(turns: Said[]): Turn[] {
    const said = turns.map(({ role, content }): Turn => ({ role, content: role === 'assistant' ? content.trim() : content }))
    return this.system.trim() ? [{ role: 'system', content: this.system.trim() }, ...said] : said
  }

  private asking(turns: Said[], prefix: string[]): Ask {
    const what = this.model!.template ? { messages: this.messages(turns) } : { text: turns.map((one) => one.content).join('') }
    const asked: Ask = { at: this.at, ...what, prefix, ...this.settings }
    if (this.tools.trim() && this.model!.template) Object.assign(asked, { tools: JSON.parse(this.tools), must_call: this.mustCall })
    if (this.schema.trim()) Object.assign(asked, { schema: JSON.parse(this.schema) })
    return asked
  }

  private keepWay(place: number): void {
    this.ways = this.ways.slice(0, place + 1).map((its, index) => (index === place ? [...its, this.turns[place]] : its))
  }

  private async write(before: Said[], prefix: string[]): Promise<void> {
    let asked: Ask
    try {
      asked = this.asking(before, prefix)
    } catch {
      this.trouble = 'functions and schema are written as JSON: look for a missing bracket or comma'
      return
    }
    const place = before.length
    if (this.ways.length <= place) this.ways = [...this.ways, []]
    const given = prefix.map((text): Written => ({ text, content: text, logprob: null, top: [], finish: null, calls: [] }))
    let said: Said = { role: 'assistant', content: prefix.join(''), tokens: given, finish: null, calls: [], asked }
    this.turns = [...before, said]
    Object.assign(this, { writing: true, opening: true, trouble: null })
    const mine = (this.stopping = new AbortController())
    let shown = 0
    try {
      for await (const piece of lines<Written>('chat/stream', asked, mine.signal)) {
        if (this.stopping !== mine) return
        this.opening = false
        said = { ...said, content: said.content + piece.content, tokens: piece.text ? [...said.tokens, piece] : said.tokens, finish: piece.finish ?? said.finish, calls: [...said.calls, ...(piece.calls ?? [])] }
        if (performance.now() - shown > 100 || piece.finish) {
          shown = performance.now()
          this.turns = [...before, said]
        }
      }
      remember({ method: 'POST', path: 'chat/answer', body: asked })
    } catch (error) {
      if (this.stopping !== mine) return
      if (mine.signal.aborted) said = { ...said, finish: 'stopped' }
      else this.trouble = (error as Error).message
    }
    this.turns = said.tokens.length || said.calls.length ? [...before, said] : before
    Object.assign(this, { writing: false, opening: false })
    await this.render()
  }

  /** What the model has read, and would read for its next answer. */
  private async render(): Promise<void> {
    const turns = this.turns
    if (!turns.length || !this.model) return
    try {
      const asked = this.asking(turns.filter((one, place) => one.role === 'user' || place < turns.length - 1), [])
      const rendered = await post<Rendered>('chat/rendered', { at: asked.at, messages: asked.messages, text: asked.text })
      if (this.turns === turns) this.rendered = rendered
    } catch (error) {
      if (this.turns === turns && !(error instanceof Refusal && error.kind === 'kept')) this.trouble = (error as Error).message
    }
  }

  /** In a page that was exported: the conversation that it holds; the newest answer is the first. */
  private recall(): void {
    const last = kept!.answers.find((one) => one.path === 'chat/answer' && one.text)
    if (!last) return
    const asked = last.body as Ask
    const { pieces } = JSON.parse(last.text!) as Answer
    const person = (role: 'user' | 'assistant', content: string): Said => ({ role, content, tokens: [], finish: null, calls: [], asked: null })
    const before = asked.messages?.length ? asked.messages.filter((one) => one.role !== 'system').map((one) => person(one.role as 'user', one.content)) : [person('user', asked.text ?? '')]
    this.system = asked.messages?.find((one) => one.role === 'system')?.content ?? ''
    const prefix = (asked.prefix ?? []).map((text): Written => ({ text, content: text, logprob: null, top: [], finish: null, calls: [] }))
    const tokens = [...prefix, ...pieces.filter((one) => one.text)]
    const said: Said = { role: 'assistant', content: [...prefix, ...pieces].map((one) => one.content ?? '').join(''), tokens, finish: pieces.at(-1)?.finish ?? null, calls: pieces.flatMap((one) => one.calls ?? []), asked }
    this.turns = [...before, said]
    this.ways = this.turns.map(() => [])
    Object.assign(this.settings, { temperature: asked.temperature, seed: asked.seed, max_tokens: asked.max_tokens, top_p: asked.top_p, top_k: asked.top_k, min_p: asked.min_p })
    this.render()
  }
}
