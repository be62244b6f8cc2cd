import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import type { RunEvent } from '../api/types'
import { extended } from './history'

const cases: { events: RunEvent[]; counts: number[] }[] = JSON.parse(readFileSync(new URL('../../cases.json', import.meta.url), 'utf8')).history

test('after resumes and rollbacks the events that count are those of read_metrics, however they come', () => {
  for (const { events, counts } of cases) {
    expect(extended([], events).map((event) => event.seq)).toEqual(counts)
    let one: RunEvent[] = []
    for (const event of events) one = extended(one, [event])
    expect(one.map((event) => event.seq)).toEqual(counts)
  }
})
