import { expect, test } from 'vitest'
import { isGiven, nameOf } from './place'

const roots = ['/home/ada/runs', '/srv/shared']

test('a folder is called what its owner calls it', () => {
  expect(['spam/model', '.', '1:spam', '1:.'].map((at) => nameOf(at, roots))).toEqual(['spam/model', 'runs', 'shared/spam', 'shared'])
  expect(['model:headstart-mini', 'samples:labels/spam.jsonl', 'sample:encoder'].map((at) => nameOf(at, roots))).toEqual(['headstart-mini', 'samples/labels/spam.jsonl', 'sample:encoder'])
})

test('only what headstart brings is given, whatever a folder is called', () => {
  expect(['model:headstart-mini', 'samples:labels', 'sample:encoder'].every(isGiven)).toBe(true)
  expect(['spam', '1:headstart-foundation', 'model', 'a model: mine', '.'].some(isGiven)).toBe(false)
})
