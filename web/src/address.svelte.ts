import { untrack } from 'svelte'
import { kept } from './api/kept'

/** The state of a view, kept in the address: a view is a link. `#generation?at=runs/mine&k=50` */
class Address {
  view = $state('home')
  values = $state<Record<string, string>>({})
  /** How often an address was gone to: a view begins anew with each, and not where it writes its own state. */
  gone = $state(0)

  constructor() {
    if (kept && !location.hash) history.replaceState(null, '', kept.hash)
    this.read()
    addEventListener('hashchange', () => this.read())
  }

  private read(): void {
    const [view, query = ''] = location.hash.slice(1).split('?')
    this.view = view || 'home'
    this.values = Object.fromEntries(new URLSearchParams(query))
    this.gone = untrack(() => this.gone) + 1
  }

  /** Write values into the address without a step of history; an empty one goes. */
  set(values: Record<string, string | number | null | undefined>): void {
    const next: Record<string, string> = { ...untrack(() => this.values) }
    for (const [key, value] of Object.entries(values)) {
      if (value === null || value === undefined || value === '') delete next[key]
      else next[key] = String(value)
    }
    this.values = next
    history.replaceState(null, '', link(untrack(() => this.view), next))
  }

  go(view: string, values: Record<string, string> = {}): void {
    const hash = link(view, values)
    if (location.hash === hash) this.read()
    else location.hash = hash
  }
}

export function link(view: string, values: Record<string, string> = {}): string {
  const query = new URLSearchParams(values).toString()
  return `#${view}${query ? `?${query}` : ''}`
}

export const address = new Address()
