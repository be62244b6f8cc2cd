import { at, changed, SUMMARY, textOf, type Chapter } from './chapter'

const WORTH = /^(\d+) tokens; (What stands right of this gap .+)$/

export const choose: Chapter = {
  id: 'choose',
  title: 'Encoder, decoder, or both',
  asks: 'BERT or GPT: which one is for what?',
  text: [
    'An encoder reads the whole text at once, and every token sees both sides. It is good at judging a text. It does not write.',
    'A decoder reads from the left and writes. It can also answer questions about a text, but each token knows only what came before it.',
    'An encoder-decoder has both: it reads like an encoder and writes like a decoder, and each written token looks back at everything that was read. T5 turned every task into a text and an answer.',
    'In masked training only the hidden tokens teach; in next-token training all tokens do. That is the price of seeing both sides.',
    'Decoders won the race for size, because one simple stack is the easiest to enlarge. For tagging and classifying with few labels the question is open, and you can measure it.',
  ],
  claims: { C17: 'at equal size an encoder tags and classifies better than a decoder', C18: 'masked training learns from 15 % of the tokens, causal training from all', C19: 'every task can be text in and text out' },
  steps: [
    {
      view: 'duel', opens: at('duel'), light: '[aria-labelledby=board-title]',
      act: 'Click another task, and see which of the three is made for it.', keys: 'Tab to a task, Enter',
      read: (page) => `${textOf('[aria-labelledby=board-title] h3')(page) ?? ''}|${SUMMARY(page) ?? ''}`,
      see: (now, first) => {
        const [here, all] = now.split('|')
        const task = /^At (.+), on the same/.exec(here)?.[1]
        if (!task || here === first.split('|')[0]) return null
        return `You chose ${task}. ${all.slice(all.indexOf(`At ${task} `)).split('. ')[0].replace(/\.$/, '')}.`
      },
      means: 'A winner lights up only if the difference is beyond chance. On equal terms that happens less often than people say.',
    },
    {
      view: 'duel', opens: at('duel', { task: 'gaps' }), light: '[data-right]',
      act: 'Hide everything to the right of the gap: move the second slider to its beginning.', keys: 'Tab to Shown right of it, Home',
      read: (page) => `${page.querySelector('[data-right]')?.getAttribute('aria-valuetext')}; ${textOf('[data-worth]')(page) ?? ''}`,
      see: (now) => {
        const found = WORTH.exec(now)
        return found?.[1] === '0' ? `Nothing is left on the right. ${found[2]}` : null
      },
      means: 'The decoder never saw that side, so it loses nothing. Here is what both sides are worth, in bits.',
    },
    {
      view: 'duel', opens: at('duel', { task: 'gaps' }), light: '[aria-labelledby=example-title] select',
      act: 'Look at examples that only one of them gets right: choose them in the list.', keys: 'Tab to Show, ↓; n for the next one',
      read: (page) => page.querySelector<HTMLSelectElement>('[aria-labelledby=example-title] select')?.selectedOptions[0]?.text ?? null,
      see: changed(/^(.+) \((\d+)\)$/, (which, count) => `${which[0].toUpperCase()}${which.slice(1)}: ${count} ${count === '1' ? 'example' : 'examples'}.`),
      means: 'An average hides which model is good at what. The examples show it.',
    },
    {
      view: 'duel', opens: at('duel', { task: 'gaps' }), light: '[data-own]',
      act: 'Write a sentence of your own, with the word to be found in brackets, and ask all three.', keys: 'Tab to the field, write, Enter',
      read: textOf('#example-title'),
      see: (now) => (now === 'Your sentence' ? 'All three have answered, each with its likeliest words and the cost of the true one.' : null),
      means: 'Put the word that gives the answer away after the gap, and the decoder cannot see it. Put it before the gap, and the decoder has all it needs.',
    },
  ],
}
