/** Hues of groups that have none of their own, in the order in which they come. */
const HUES = ['--stream', '--green', '--amber', '--purple', '--vermillion', '--key', '--attention', '--elmo', '--value', '--query', '--draw', '--grey']
export const hueOf = (place: number): string => HUES[place % HUES.length]
