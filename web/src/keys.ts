/** Single letters as shortcuts (WCAG 2.1.4: never in a text field, and they can be switched off). */
import { store } from './store.svelte'

export function isTyping(event: KeyboardEvent): boolean {
  const target = event.target as HTMLElement | null
  if (!target) return false
  const field = target.tagName === 'INPUT' && !['range', 'checkbox', 'radio'].includes((target as HTMLInputElement).type)
  return field || target.tagName === 'TEXTAREA' || target.tagName === 'SELECT' || target.isContentEditable
}

/** Whether a key may act as a shortcut now. */
export function isShortcut(event: KeyboardEvent): boolean {
  return store.letters && !event.ctrlKey && !event.metaKey && !event.altKey && !isTyping(event)
}

/** Whether the key belongs to the control that has the focus (arrows of a slider, space of a button). */
export function belongsToControl(event: KeyboardEvent): boolean {
  const target = event.target as HTMLElement | null
  const own: Record<string, string[]> = {
    INPUT: ['ArrowLeft', 'ArrowRight', 'ArrowUp', 'ArrowDown', 'Home', 'End', ' '],
    BUTTON: [' ', 'Enter'], A: ['Enter'], SUMMARY: [' ', 'Enter'],
  }
  return (own[target?.tagName ?? ''] ?? []).includes(event.key)
}
