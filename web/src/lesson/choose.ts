import type { Chapter } from './chapter'

export const choose: Chapter = {
  id: 'choose',
  title: 'Encoder, decoder, or both',
  asks: 'BERT or GPT: which one is for what?',
  text: [
    'An encoder reads the whole text at once, and every token sees both sides. It is good at saying something about a text. It does not write.',
    'A decoder reads from the left and writes. It can also answer questions about a text, but each token knows only what came before it.',
    'An encoder-decoder has both: it reads like the one and writes like the other, and what it writes looks back at what was read. T5 made every task a text with an answer.',
    'From masked training only the hidden tokens teach; from next-token training all of them do. That is a price for seeing both sides.',
    'The decoder won the race for size, since one simple stack is easiest to make large. For tagging and classifying with little, the question is open, and can be measured.',
  ],
  claims: { C17: 'at equal size an encoder tags and classifies better than a decoder', C18: 'masked training learns from 15 % of the tokens, causal training from all', C19: 'every task can be text in and text out' },
  steps: [],
}
