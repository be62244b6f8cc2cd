/** What the whole application knows: the folders, the studio's own facts, the theme. */
import { get } from './api/client'
import type { Folder, Status } from './api/types'
import { isGiven, nameOf, parted } from './place'

class Store {
  folders = $state<Folder[] | null>(null)
  status = $state<Status | null>(null)
  trouble = $state<string | null>(null)
  theme = $state<'auto' | 'light' | 'dark'>('auto')
  letters = $state(true)

  constructor() {
    const theme = read('theme')
    if (theme === 'light' || theme === 'dark') this.theme = theme
    this.letters = read('letters') !== 'off'
    this.paint()
  }

  async refresh(): Promise<void> {
    try {
      const [status, folders] = await Promise.all([get<Status>('status'), get<Folder[]>('folders')])
      this.status = status
      this.folders = folders
      this.trouble = null
    } catch (error) {
      this.trouble = (error as Error).message
    }
  }

  /** The folder of an address on the disk. */
  path(at: string): string {
    const [root, inside] = parted(at)
    return `${(isGiven(at) ? this.status?.given[root!] : this.status?.roots[Number(root ?? 0)]) ?? '.'}/${inside}`
  }

  /** An address as people read it. */
  name(at: string): string {
    return nameOf(at, this.status?.roots)
  }

  turn(): void {
    const order = ['auto', 'light', 'dark'] as const
    this.theme = order[(order.indexOf(this.theme) + 1) % 3]
    write('theme', this.theme)
    this.paint()
  }

  setLetters(on: boolean): void {
    this.letters = on
    write('letters', on ? 'on' : 'off')
  }

  private paint(): void {
    if (this.theme === 'auto') delete document.documentElement.dataset.theme
    else document.documentElement.dataset.theme = this.theme
  }
}

function read(key: string): string | null {
  try {
    return localStorage.getItem(`headstart.${key}`)
  } catch {
    return null
  }
}

export function write(key: string, value: string): void {
  try {
    localStorage.setItem(`headstart.${key}`, value)
  } catch {
    /* a browser that keeps nothing: it is only a convenience */
  }
}

export const remembered = read
export const store = new Store()
