/** The state of the scaling view: laws and models, the compute, the use, a chosen model, and a sweep of one's own. */
import { address } from '../../address.svelte'
import { get } from '../../api/client'
import type { Sweep, Trained } from '../../api/schema'
import { cheapest, lifetime, loss, optimum, optimumOf, served, standing, tokensFor, within, type Law } from '../../arithmetic/law'
import { amount, significant } from '../../arithmetic/numbers'
import type { Room } from '../../figures/axes'

export const DEAREST = 17
/** Below it the slider of use stands for a model that nobody uses. */
export const UNUSED = 7

export class ScalingModel {
  published = $state.raw<Law[]>([])
  models = $state.raw<Trained[]>([])
  sweep = $state.raw<Sweep | null>(null)
  trouble = $state('')
  sweepTrouble = $state('')
  private sweepAt = ''
  exponent = $state(address.number('c', 21, 15, 27))
  use = $state(address.number('use', UNUSED, UNUSED, DEAREST))
  name = $state(address.values.law ?? '')
  chosen = $state(address.values.model ?? '')

  readonly laws = $derived(this.sweep?.law ? [this.sweep.law as Law, ...this.published] : this.published)
  readonly law = $derived(this.laws.find((one) => one.name === this.name) ?? this.laws[0])
  readonly compute = $derived(10 ** this.exponent)
  /** Tokens that the finished model reads and writes. */
  readonly tokens = $derived(this.use <= UNUSED ? 0 : 10 ** this.use)
  readonly best = $derived(this.law ? optimum(this.law, this.compute) : null)
  readonly life = $derived.by(() => {
    const { law, best, tokens } = this
    if (!law?.constants || !best || !tokens) return null
    const found = lifetime(law.constants, best.loss!, tokens, law.outer)
    const training = cheapest(law.constants, best.loss!, law.outer)
    const [total, alone] = [served(found, tokens), served(training, tokens)]
    const between = within(law, (one) => lifetime(one, optimumOf(one, this.compute).loss, tokens).parameters)
    return { ...found, training, total, alone, saved: 1 - total / alone, between }
  })
  readonly same = $derived.by((): [number, number][] => {
    const { law } = this
    const wanted = this.model?.loss ?? this.best?.loss
    if (!law?.constants || !wanted) return []
    const [E, A, , alpha] = law.constants
    const low = Math.log10(A / (wanted ** (1 / law.outer) - E)) / alpha
    return Array.from({ length: 160 }, (_, index): [number, number] => {
      const parameters = 10 ** (low + 4 * ((index + 0.02) / 160) ** 1.6)
      return [6 * parameters * tokensFor(law.constants!, parameters, wanted, law.outer), parameters]
    })
  })
  readonly stands = $derived(
    this.models.map((model) => ({ model, parameters: this.counted(model), stand: this.law ? standing(this.law, this.counted(model), model.tokens) : null })),
  )
  readonly model = $derived(this.stands.find((one) => one.model.name === this.chosen)?.stand ?? null)
  readonly dots = $derived([
    ...this.models.map((model) => ({ name: model.name, compute: 6 * this.counted(model) * model.tokens, parameters: this.counted(model), about: `${amount(model.parameters)} parameters, ${amount(model.tokens)} tokens` })),
    ...[...(this.sweep?.grid ?? []), ...(this.sweep?.final ? [this.sweep.final] : [])].filter((run) => run.state === 'finished').map((run) => (
      { name: run.name, compute: 6 * run.parameters * run.tokens, parameters: run.parameters, about: `your run, ${significant(run.evaluations.at(-1)?.[1], 4)} nats`, own: true })),
  ])
  readonly room = $derived.by((): Room => {
    const [c0, n0] = [Math.min(15, ...this.dots.map((dot) => Math.floor(Math.log10(dot.compute)))), Math.min(6, ...this.dots.map((dot) => Math.floor(Math.log10(dot.parameters))))]
    return { c0, c1: 27, n0, n1: 13 }
  })
  /** By how many times the best size and its tokens grow when compute doubles. */
  readonly doubled = $derived.by(() => {
    const [one, two] = [optimum(this.law, this.compute), optimum(this.law, 2 * this.compute)]
    return { parameters: two.parameters / one.parameters, tokens: two.tokens / one.tokens }
  })
  readonly arrows = $derived(
    this.model
      ? [{ compute: this.model.best.compute, parameters: this.model.best.parameters, text: 'the best of its compute' }, { compute: this.model.equal.compute, parameters: this.model.equal.parameters, text: 'the cheapest training to its loss' }]
      : [],
  )

  counted(model: Trained): number {
    return this.law?.counts_embeddings === false ? model.without_embeddings : model.parameters
  }

  async open(): Promise<void> {
    this.trouble = ''
    try {
      const found = await get<{ laws: Law[]; models: Trained[] }>('laws')
      this.published = found.laws
      this.models = found.models
      if (!this.name) this.name = found.laws[0].name
    } catch (error) {
      this.trouble = (error as Error).message
    }
  }

  async openSweep(at: string): Promise<void> {
    this.sweepAt = at
    try {
      const found = at ? await get<Sweep>('sweep', { at }) : null
      if (this.sweepAt !== at) return // another one was chosen meanwhile
      this.sweep = found
      this.sweepTrouble = ''
    } catch (error) {
      if (this.sweepAt === at) this.sweepTrouble = (error as Error).message
    }
  }

  readonly growing = $derived(this.sweep !== null && this.sweep.score === null)

  /** The size that a law advises for a compute, by a curve of equal compute around it. */
  curve(compute: number): { name: string; points: [number, number][]; lowest: [number, number] | null } {
    const { constants, outer } = this.law
    const best = optimumOf(constants!, compute, outer)
    const points = Array.from({ length: 81 }, (_, index): [number, number] => {
      const parameters = best.parameters * 10 ** ((index - 40) / 16)
      return [parameters, loss(constants!, parameters, compute / (6 * parameters), outer)]
    })
    return { name: '', points, lowest: [best.parameters, best.loss] }
  }
}
