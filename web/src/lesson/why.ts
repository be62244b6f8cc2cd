import type { Chapter } from './chapter'

export const why: Chapter = {
  id: 'why',
  title: 'The head start',
  asks: 'Why train a model on everything, when one only wants one thing from it?',
  text: [
    'A model with random weights knows nothing. With a thousand labelled examples it has to learn spelling, grammar and the task, all at once.',
    'Labels are dear, and plain text is nearly free. So let a model first learn the language from plain text, once, and then teach it the task.',
    'The first part is called pre-training, the second fine-tuning. One pre-trained model carries many tasks.',
    'Three things made that work around 2018. The Transformer can be trained in parallel. Large machines could be rented. And guessing hidden or next words turned out to teach nearly everything.',
    'Whether it pays is a matter of numbers: how many tasks, how many labels, and what a training from scratch would have reached.',
  ],
  claims: { C01: 'with few labels, a pre-trained model beats one trained from scratch', C02: 'one expensive pre-training carries many cheap fine-tunings' },
  steps: [],
}
