import { expect, test } from 'vitest'
import { HOME, NAVIGATION, VIEWS } from './views'

test('every view has a path and a key of its own, and stands in the navigation', () => {
  const all = [HOME, ...VIEWS]
  expect(new Set(all.map((view) => view.path)).size).toBe(all.length)
  expect(new Set(all.map((view) => view.key)).size).toBe(all.length)
  expect(NAVIGATION.flatMap((group) => group.views).length).toBe(VIEWS.length)
})
