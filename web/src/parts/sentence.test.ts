import { expect, test } from 'vitest'
import { sentence } from './sentence'

test('a sentence begins large and ends once', () => {
  expect(['there is nothing here', 'is it still running?', 'Stop.'].map(sentence)).toEqual(['There is nothing here.', 'Is it still running?', 'Stop.'])
})
