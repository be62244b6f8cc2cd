import { expect, test } from 'vitest'
import { textOf } from './bytes'

test('the alphabet of bytes is read back', () => {
  expect(textOf('Ġthe')).toBe(' the')
  expect(textOf('Ċ')).toBe('\n')
  expect(textOf('Ã©')).toBe('é')
  expect(textOf('Ã')).toBe('⟨C3⟩')
})
