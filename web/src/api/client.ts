import { decode, type Frame } from './frame'

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

async function answer(path: string, init?: RequestInit): Promise<Response> {
  let response: Response
  try {
    response = await fetch(`${API}/${path}`, init)
  } catch (error) {
    if (init?.signal?.aborted) throw error
    throw new Refusal(0, 'server', 'the studio does not answer; is `headstart studio` still running?')
  }
  if (response.ok) return response
  const said = await response.json().catch(() => null)
  throw new Refusal(response.status, said?.error?.type ?? 'http', said?.error?.message ?? response.statusText)
}

function query(values: Record<string, string | number>): string {
  return new URLSearchParams(Object.entries(values).map(([key, value]) => [key, String(value)])).toString()
}

export async function get<T>(path: string, values: Record<string, string | number> = {}): Promise<T> {
  return (await answer(`${path}?${query(values)}`)).json()
}

export async function getFrame<T>(path: string, values: Record<string, string | number>): Promise<Frame<T>> {
  return decode<T>(await (await answer(`${path}?${query(values)}`)).arrayBuffer())
}

function body(value: unknown): RequestInit {
  return { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(value) }
}

export async function post<T>(path: string, value: unknown): Promise<T> {
  return (await answer(path, body(value))).json()
}

export async function postFrame<T>(path: string, value: unknown): Promise<Frame<T>> {
  return decode<T>(await (await answer(path, body(value))).arrayBuffer())
}

/** Where server-sent events of a run come from. */
export function eventsOf(at: string, after: string): EventSource {
  return new EventSource(`${API}/events?${query({ at, after })}`)
}
