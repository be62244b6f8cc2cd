/** The state of the Tokenizer view: a text, one or two tokenizers, a corpus, the vocabulary. */
import { get, post, Refusal } from '../../api/client'
import type { Compared, CutAnswer, Vocabulary } from '../../api/schema'

export class TokenizerModel {
  ats = $state<string[]>([])
  text = $state('')
  cuts = $state.raw<(CutAnswer | null)[]>([])
  corpus = $state('')
  compared = $state.raw<Compared[] | null>(null)
  vocabulary = $state.raw<Vocabulary | null>(null)
  search = $state('')
  order = $state('id')
  page = $state(0)
  busy = $state(false)
  trouble = $state<string | null>(null)
  private turn = 0

  /** Cut the text by every tokenizer; the newest call alone is shown. */
  async cut(): Promise<void> {
    const turn = ++this.turn
    await this.guarded(async () => {
      const cuts = await Promise.all(this.ats.map((at) => post<CutAnswer>('tokenizer/cut', { at, text: this.text })))
      if (turn === this.turn) this.cuts = cuts
    })
  }

  async choose(ats: string[]): Promise<void> {
    const first = ats[0] !== this.ats[0]
    Object.assign(this, { ats, cuts: [], compared: null })
    await this.cut()
    if (first) await this.look(0)
  }

  async compare(): Promise<void> {
    await this.guarded(async () => {
      this.compared = await post<Compared[]>('tokenizer/compare', { tokenizers: this.ats, corpus: this.corpus, megabytes: 2 })
    })
  }

  async look(page: number): Promise<void> {
    this.page = page
    await this.guarded(async () => {
      this.vocabulary = await get<Vocabulary>('tokenizer/vocabulary', { at: this.ats[0], search: this.search, order: this.order, page })
    })
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
