import { decode, type Frame } from './frame'
import { found, kept, remember, type Asked } from './kept'

/** A failure in the server's own sentence. */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    readonly kind: string,
    message: string,
  ) {
    super(message)
  }
}

const API = 'api/v1'
/** This page among all that ask the studio: a request of another browser overtakes none of ours. */
const PAGE = Math.random().toString(36).slice(2)

function sent({ path, body }: Asked): unknown {
  const view = path === 'export' ? '' : (body as { view?: string } | undefined)?.view
  return view ? { ...(body as object), view: `${PAGE} ${view}` } : body
}

async function answer(asked: Asked, signal?: AbortSignal): Promise<Response> {
  if (kept) {
    const inside = found(asked)
    if (inside) return inside
    throw new Refusal(404, 'kept', 'this page holds what was looked at when it was exported, and not this; `headstart studio` shows the rest')
  }
  const init: RequestInit = asked.method === 'POST' ? { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(sent(asked)) } : {}
  const query = asked.query ? `?${new URLSearchParams(asked.query)}` : ''
  let response: Response
  try {
    response = await fetch(`${API}/${asked.path}${query}`, { ...init, signal })
  } catch (error) {
    if (signal?.aborted) throw error
    throw new Refusal(0, 'server', 'the studio does not answer; is `headstart studio` still running?')
  }
  if (response.ok) {
    remember(asked)
    return response
  }
  const said = await response.json().catch(() => null)
  throw new Refusal(response.status, said?.error?.type ?? 'http', said?.error?.message ?? response.statusText)
}

function getting(path: string, values: Record<string, string | number>): Asked {
  return { method: 'GET', path, query: Object.fromEntries(Object.entries(values).map(([name, value]) => [name, String(value)])) }
}

export async function get<T>(path: string, values: Record<string, string | number> = {}): Promise<T> {
  return (await answer(getting(path, values))).json()
}

export async function getFrame<T>(path: string, values: Record<string, string | number>): Promise<Frame<T>> {
  return decode<T>(await (await answer(getting(path, values))).arrayBuffer())
}

export async function post<T>(path: string, body: unknown): Promise<T> {
  return (await answer({ method: 'POST', path, body })).json()
}

export async function postFrame<T>(path: string, body: unknown): Promise<Frame<T>> {
  return decode<T>(await (await answer({ method: 'POST', path, body })).arrayBuffer())
}

/** The lines of JSON of an answer, as they come; whoever aborts stops it. */
export async function* lines<T>(path: string, body: unknown, signal: AbortSignal): AsyncGenerator<T> {
  const response = await answer({ method: 'POST', path, body }, signal)
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader()
  let rest = ''
  for (;;) {
    const { done, value } = await reader.read()
    const parts = (rest + (value ?? '')).split('\n')
    rest = parts.pop()!
    for (const part of parts) yield JSON.parse(part) as T
    if (done) return
  }
}

/** The page of a view, with all that it has asked for. */
export async function exported(view: string, hash: string, asked: Asked[]): Promise<Blob> {
  return (await answer({ method: 'POST', path: 'export', body: { view, hash, asked } })).blob()
}

/** Where server-sent events of a run come from; a page that was exported has none. */
export function eventsOf(at: string, after: string): EventSource | null {
  return kept ? null : new EventSource(`${API}/events?${new URLSearchParams({ at, after })}`)
}
