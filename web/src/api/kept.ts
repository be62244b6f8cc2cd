/** What an exported page keeps: the answers that a view has had, read from the page in place of the network. */
export interface Asked {
  method: 'GET' | 'POST'
  path: string
  query?: Record<string, string>
  body?: unknown
}
interface Answer extends Asked {
  media: string
  text?: string
  /** Bytes in base64. */
  bytes?: string
}
export interface Kept {
  view: string
  hash: string
  /** The day on which the page was made. */
  made: string
  /** Answers that did not fit. */
  left_out: number
  answers: Answer[]
}

export const kept: Kept | null = JSON.parse(document.getElementById('kept')?.textContent ?? 'null')

/** The same for requests that ask for the same: whatever the order of names, whoever asks, and in which turn. */
function keyOf(asked: Asked): string {
  const named = { ...asked.query, ...(asked.body as object | undefined) } as Record<string, unknown>
  const names = Object.keys(named).filter((name) => !['view', 'turn'].includes(name) && named[name] !== undefined && named[name] !== null)
  return `${asked.method} ${asked.path} ${JSON.stringify(names.sort().map((name) => [name, named[name]]))}`
}

const inside = new Map(kept?.answers.map((answer) => [keyOf(answer), answer]))

export function found(asked: Asked): Response | null {
  const answer = inside.get(keyOf(asked))
  if (!answer) return null
  const content = answer.text ?? Uint8Array.from(atob(answer.bytes ?? ''), (letter) => letter.charCodeAt(0))
  return new Response(content, { headers: { 'content-type': answer.media } })
}

const MOST = 400
const asked = new Map<string, Asked>()

/** Note what was asked for and answered; of many the newest. */
export function remember(one: Asked): void {
  if (one.path === 'export' || one.path.endsWith('/stream')) return
  const key = keyOf(one)
  asked.delete(key)
  asked.set(key, one)
  if (asked.size > MOST) asked.delete(asked.keys().next().value!)
}

/** Another view begins, or another folder. */
export function forget(): void {
  asked.clear()
}

export const remembered = (): Asked[] => [...asked.values()]
