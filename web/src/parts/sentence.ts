/** What the studio says went wrong, as a sentence: it begins large and ends once. */
export const sentence = (message: string): string => `${message.charAt(0).toUpperCase()}${message.slice(1)}${/[.?!]$/.test(message) ? '' : '.'}`
