import type { VerdictAnswer } from '../../api/schema'
import type { Chapter } from '../../lesson/chapter'

export type Part = { text: string; strong?: boolean }

/** The claims of a chapter with what was measured of each; null: nothing yet. */
export function claimsOf(chapter: Chapter, verdicts: VerdictAnswer[]): { claim: string; title: string; verdict: VerdictAnswer | null }[] {
  return Object.entries(chapter.claims).map(([claim, words]) => {
    const verdict = verdicts.find((one) => one.claim === claim && !one.stale) ?? null
    return { claim, title: verdict?.title ?? words, verdict }
  })
}

export const VERDICT: Record<string, string> = { supported: 'supported', 'not-supported': 'not supported here', contradicted: 'contradicted' }

const many = (count: number, what: string) => `${count} ${what}${count === 1 ? '' : 's'}`

/** What was measured of a chapter, in words. */
export function summary(chapter: Chapter, verdicts: VerdictAnswer[]): Part[] {
  const claims = claimsOf(chapter, verdicts)
  const measured = claims.flatMap((one) => one.verdict ?? [])
  if (!measured.length) return [{ text: `This chapter makes ${many(claims.length, 'claim')}. None is measured yet: here you can look for yourself.` }]
  const of = (verdict: string) => measured.filter((one) => one.verdict === verdict).length
  const parts = [[of('supported'), 'supported'], [of('not-supported'), 'not supported at this size'], [of('contradicted'), 'contradicted']] as [number, string][]
  return [
    { text: `This chapter makes ${many(claims.length, 'claim')}. Experiments have measured ` }, { text: String(measured.length), strong: true }, { text: ': ' },
    { text: parts.filter(([count]) => count).map(([count, word]) => `${count} ${word}`).join(', '), strong: true }, { text: '.' },
  ]
}
