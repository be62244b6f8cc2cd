/** Addresses of folders, as `studio/folders.py` makes them. */

/** The root of an address, where one is named, and the place inside. */
export const parted = (at: string): [string | undefined, string] => {
  const [, root, inside] = /^(?:(\d+|model|samples|sample):)?(.*)$/s.exec(at)!
  return [root, inside]
}

/** Whether what lies at an address comes with headstart, and is not the user's. */
export const isGiven = (at: string): boolean => Number.isNaN(Number(parted(at)[0] ?? 0))

/** An address as people read it: a model that comes with headstart by its name alone, what lies in a further root with that root's. */
export function nameOf(at: string, roots: string[] = []): string {
  const [root, inside] = parted(at)
  if (root === 'model') return inside
  if (root === 'samples') return `samples/${inside}`
  if (root === 'sample') return at
  const folder = roots[Number(root ?? 0)]?.split('/').at(-1) || '.'
  if (inside === '.') return folder
  return root ? `${folder}/${inside}` : inside
}
