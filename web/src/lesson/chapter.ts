/** What a chapter of the lesson is: short text, claims that were measured, and steps that are done in the views. */
import type { Folder } from '../api/types'
import { viewAt } from '../views'

export interface Step {
  view: string
  /** The state in which the view opens, as its address has it; null: nothing here fits it. */
  opens: (folders: Folder[]) => Record<string, string> | null
  /** What the step is about: a selector of a part of the view, which is outlined. */
  light: string
  /** What to do. */
  act: string
  /** The same by keys alone. */
  keys: string
  /** What is read off the view while the step lasts; null: it does not show that yet. */
  read: (page: Element) => string | null
  /** What that says once the reader has done it, with its numbers; null: not yet. `first` is what was read when the step began. */
  see: (now: string, first: string) => string | null
  /** What it means. */
  means: string
}

export interface Chapter {
  id: string
  title: string
  /** What one knows after it, as a question. */
  asks: string
  /** Short paragraphs. */
  text: string[]
  /** Numbers of the laboratory's claims, each in a few words for where it was not measured yet. */
  claims: Record<string, string>
  /** What the lesson's simulation lets one do; see docs/studio.md. */
  steps: Step[]
}

/** The reader's newest folder that a view takes and that is wished for; else any that it takes, the sample's last. */
export function folderFor(folders: Folder[], view: string, wish: (folder: Folder) => boolean = () => true): Folder | null {
  const fit = folders.filter(viewAt(view).takes)
  return fit.find(wish) ?? fit[0] ?? null
}

/** Opens a view at such a folder, in a state. */
export function at(view: string, state: Record<string, string> = {}, wish?: (folder: Folder) => boolean): Step['opens'] {
  return (folders) => {
    const folder = folderFor(folders, view, wish)
    return folder && { at: folder.at, ...state }
  }
}

export const isRun = (architecture: string) => (folder: Folder) => folder.kind === 'run' && folder.architecture === architecture

/** The text of the first part that a selector finds, white space made one. */
export const textOf = (selector: string) => (page: Element): string | null => page.querySelector(selector)?.textContent?.replace(/\s+/g, ' ').trim() ?? null

/** The texts of what is directly inside the first part that a selector finds, each by itself: `16|8.46 GB`. */
export const partsOf = (selector: string) => (page: Element): string | null => {
  const found = page.querySelector(selector)
  return found && Array.from(found.children, (part) => part.textContent?.replace(/\s+/g, ' ').trim()).filter(Boolean).join('|')
}

/** How many parts there are, once the view has drawn that in which they may be. */
export const countOf = (selector: string, inside: string) => (page: Element): string | null => (page.querySelector(inside) ? String(page.querySelectorAll(selector).length) : null)

/** The state of a view in a few words. */
export const SUMMARY = textOf('[data-summary]')

/** What a pattern's groups make of a text; null where it does not match, or the sentence is refused. */
export function match(pattern: RegExp, says: (...groups: string[]) => string | null): (now: string) => string | null {
  return (now) => {
    const found = pattern.exec(now)
    return found && says(...found.slice(1))
  }
}

/** As `match`, once what is read is another than when the step began. */
export function changed(pattern: RegExp, says: (...groups: string[]) => string | null): Step['see'] {
  const told = match(pattern, says)
  return (now, first) => (now === first ? null : told(now))
}
