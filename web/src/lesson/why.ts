import { at, changed, match, SUMMARY, textOf, type Chapter } from './chapter'

export const why: Chapter = {
  id: 'why',
  title: 'The head start',
  asks: 'Why train a model on everything if you want only one thing from it?',
  text: [
    'A model with random weights knows nothing. With a thousand labelled examples it has to learn spelling, grammar and the task, all at once.',
    'Labels are expensive, and plain text is nearly free. So let a model first learn the language from plain text, once, and then teach it the task.',
    'The first part is called pre-training, the second fine-tuning. One pre-trained model carries many tasks.',
    'Three things made that work around 2018. The Transformer can be trained in parallel. Large machines could be rented. And guessing hidden or next words turned out to teach nearly everything.',
    'Whether it pays is a matter of numbers: how many tasks, how many labels, and what training from scratch would have reached.',
  ],
  claims: { C01: 'with few labels, a pre-trained model beats one trained from scratch', C02: 'one expensive pre-training carries many cheap fine-tunings' },
  steps: [
    {
      view: 'head-start', opens: at('head-start'), light: '[aria-labelledby=plane-title]',
      act: 'Choose another number of labels in the picture.', keys: 'Tab to the picture, then ← →',
      read: SUMMARY,
      see: changed(/^With ([\d,]+) labels of (.+?), (.+?) scores ([\d.]+).*?, (.+?) ([\d.]+) (?:±|\()/, (labels, task, one, score, other, alone) => `With ${labels} labels of ${task}, ${one} scores ${score}, and ${other} ${alone}.`),
      means: 'The distance between the two lines is the head start. It is largest on the left, where labels are few.',
    },
    {
      view: 'head-start', opens: at('head-start'), light: '[data-bargain]',
      act: 'Switch between “Each on its own” and “Together”.', keys: 't',
      read: textOf('[data-bargain] [aria-label=Paradigm] [aria-pressed=true]'),
      see: changed(/^(.+?)t?$/, (way) => (way.startsWith('Together') ? 'Together: one long training, which forks into a short one for each task.' : 'Each on its own: every task pays for its whole training and for all its labels.')),
      means: 'The tasks and the scores are the same. The two ways differ in what you pay once and what you pay for every task.',
    },
    {
      view: 'head-start', opens: at('head-start'), light: '[data-bargain]',
      act: 'Now add tasks, and change the price of a label.', keys: 'Tab to the sliders, ← →',
      read: (page) => `${page.querySelector('[data-tasks]')?.getAttribute('aria-valuetext')}, ${page.querySelector('[data-price=label]')?.getAttribute('aria-valuetext')} a label: ${textOf('[data-bargain] [data-even]')(page) ?? 'not reached'}`,
      see: changed(/^(\d+ tasks), (.+?) a label: (.+)$/, (tasks, price, verdict) => (verdict === 'not reached' ? `${tasks}, ${price} a label: the other way does not reach this score at any price.` : `${tasks}, ${price} a label: it pays ${verdict.replace(/^never pays$/, 'never').replace(/^pays /, '')}.`)),
      means: 'Whether sharing pays is not a matter of belief. It is a number, and the number depends on your prices.',
    },
    {
      view: 'head-start', opens: at('head-start'), light: '[data-race]',
      act: 'Race them: press Race, and watch both starts learn from the same labels.', keys: 'Tab to Race, Enter',
      read: textOf('[data-race-said]'),
      see: match(/(\d[\d.]* %|against)/, () => 'Both learn from the same labels, at the same time. One of them has read before.'),
      means: 'This is a single race. The bars in the picture above summarise several.',
    },
  ],
}
