/** The history of a run: the twin of `read_metrics`, for events that come one after another. */
import type { RunEvent } from '../api/types'

const LASTING = new Set(['control', 'note', 'spike', 'resume'])

/** The events that count, with new ones behind them. */
export function extended(events: RunEvent[], added: RunEvent[]): RunEvent[] {
  let kept = events.slice()
  for (const event of added) {
    if (event.kind === 'resume') kept = kept.filter((one) => one.seq <= (event.after ?? 0))
    else if (event.kind === 'spike' && event.action === 'rollback') {
      kept = kept.filter((one) => one.step <= event.step || LASTING.has(one.kind))
    }
    kept.push(event)
  }
  return kept
}
