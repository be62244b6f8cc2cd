import type { Corpus } from '../../api/schema'
import { amount, exact, percent, size } from '../../arithmetic/numbers'

export interface Part { text: string; strong?: boolean }

/** What became of the raw records, in words. */
export function summary(corpus: Corpus): Part[] {
  const [first, last] = [corpus.stages[0], corpus.stages.at(-1)!]
  const worst = corpus.stages.slice(2).map((stage, index) => ({ stage: stage.stage, lost: corpus.stages[index + 1].bytes - stage.bytes, of: corpus.stages[index + 1].bytes })).sort((a, b) => b.lost - a.lost)[0]
  const extracted = corpus.stages[1]?.documents ?? first.documents
  const became = extracted > first.documents ? ` which became ${exact(extracted)} documents,` : ''
  const parts: Part[] = [
    { text: `Of ${exact(first.documents)} records, ${size(first.bytes)},${became} the corpus keeps ` },
    { text: `${exact(last.documents)} documents`, strong: true }, { text: `, ` }, { text: size(last.bytes), strong: true },
    { text: last.words === null ? '' : `: ${amount(last.words)} words` }, { text: last.tokens === null ? '. ' : `, ${amount(last.tokens)} tokens. ` },
  ]
  if (worst && worst.lost > 0) parts.push({ text: `Of the extracted text, ${worst.stage} takes most: ` }, { text: size(worst.lost), strong: true }, { text: `, ${percent(worst.lost / worst.of, 2)} of what came to it. ` })
  const most = corpus.mix.set ? [...corpus.mix.groups].sort((a, b) => b.repeats - a.repeats)[0] : null
  if (most && most.repeats > 1.005) parts.push({ text: `The mix repeats ${most.group} most, ${most.repeats.toFixed(2)} times.` })
  return parts
}

/** What happens at a stage, for those who see one first. */
export function told(corpus: Corpus, index: number): string {
  const [stage, before] = [corpus.stages[index], corpus.stages[index - 1]]
  if (index === 0) {
    const skipped = Object.values(corpus.skipped).reduce((sum, one) => sum + one, 0)
    return `${exact(stage.documents)} records of ${exact(corpus.inputs)} files were read${skipped ? `; ${exact(skipped)} could not be used` : ''}.`
  }
  const grown = stage.documents - before.documents
  if (index === 1) {
    return `Extraction keeps the main text of a page and drops markup, menus and advertisements: ${size(before.bytes)} became ${size(stage.bytes)}.${grown > 0 ? ` Long texts were cut into pieces, so that there are ${exact(grown)} more documents than records.` : ''}`
  }
  const rules = Object.values(corpus.removed[stage.stage] ?? {}).reduce((sum, one) => sum + one, 0)
  const cut = before.bytes - stage.bytes
  if (stage.stage === 'mix') return corpus.mix.set ? `The mix draws from each ${corpus.mix.by} by its share: ${exact(rules)} documents are over theirs, others occur more than once.` : 'No shares were set: every document occurs once.'
  return `${exact(rules)} of ${exact(before.documents)} documents go, and ${size(cut)} with them or out of those that stay.`
}
