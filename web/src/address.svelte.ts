import { untrack } from 'svelte'
import { kept } from './api/kept'
import { numberOf } from './arithmetic/numbers'

/** The state of a view, kept in the address: a view is a link. `#generation?at=runs/mine&k=50` */
class Address {
  view = $state('home')
  values = $state<Record<string, string>>({})
  /** How often an address was gone to: a view begins anew with each, and not where it writes its own state. */
  gone = $state(0)
  /** The hash that was read or written last. */
  #known = ''

  constructor() {
    if (kept && !location.hash) history.replaceState(null, '', kept.hash)
    this.read()
    addEventListener('hashchange', () => location.hash !== this.#known && this.read())
  }

  private read(): void {
    this.#known = location.hash
    const [view, query = ''] = location.hash.slice(1).split('?')
    this.view = view || 'home'
    this.values = Object.fromEntries(new URLSearchParams(query))
    this.gone = untrack(() => this.gone) + 1
  }

  /** A number of the address, at least and at most as said; another one where it is none. */
  number(name: string, otherwise: number, least = -Infinity, most = Infinity): number {
    return numberOf(this.values[name], otherwise, least, most)
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
    this.#known = location.hash
  }

  /** Go to an address, at once: the browser tells of it later, and a key that is pressed before counts from there. */
  go(view: string, values: Record<string, string> = {}): void {
    location.hash = link(view, values)
    this.read()
  }
}

export function link(view: string, values: Record<string, string> = {}): string {
  const query = new URLSearchParams(values).toString()
  return `#${view}${query ? `?${query}` : ''}`
}

export const address = new Address()
