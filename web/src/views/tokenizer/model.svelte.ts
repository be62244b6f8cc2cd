/** The state of the Tokenizer view: a text, one or two tokenizers, a corpus, the vocabulary. */
import { Asking } from '../../api/asking.svelte'
import { get, post } from '../../api/client'
import type { Compared, CutAnswer, Vocabulary } from '../../api/schema'

export class TokenizerModel extends Asking {
  ats = $state<string[]>([])
  text = $state('')
  cuts = $state.raw<(CutAnswer | null)[]>([])
  corpus = $state('')
  compared = $state.raw<Compared[] | null>(null)
  vocabulary = $state.raw<Vocabulary | null>(null)
  search = $state('')
  order = $state('id')
  page = $state(0)

  /** Cut the text by every tokenizer. */
  async cut(): Promise<void> {
    await this.asking('cut', async (newest) => {
      this.cuts = newest(await Promise.all(this.ats.map((at) => post<CutAnswer>('tokenizer/cut', { at, text: this.text }))))
    })
  }

  async choose(ats: string[]): Promise<void> {
    const first = ats[0] !== this.ats[0]
    this.overtake()
    Object.assign(this, { ats, cuts: [], compared: null })
    await this.cut()
    if (first && this.cuts.length) await this.look(0)
  }

  async compare(): Promise<void> {
    await this.asking('compare', async (newest) => {
      this.compared = newest(await post<Compared[]>('tokenizer/compare', { tokenizers: this.ats, corpus: this.corpus, megabytes: 2 }))
    })
  }

  async look(page: number): Promise<void> {
    this.page = page
    await this.asking('vocabulary', async (newest) => {
      this.vocabulary = newest(await get<Vocabulary>('tokenizer/vocabulary', { at: this.ats[0], search: this.search, order: this.order, page }))
    })
  }
}
