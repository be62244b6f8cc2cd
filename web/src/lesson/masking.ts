import { at, changed, countOf, isRun, match, SUMMARY, textOf, type Chapter } from './chapter'

const open = (state: Record<string, string> = {}) => at('masking', { rate: '0.15', ...state }, isRun('encoder'))

export const masking: Chapter = {
  id: 'masking',
  title: 'Reading with gaps',
  asks: 'How does a model learn from text that nobody has labelled?',
  text: [
    'Cover a word, and let the model guess it from the words on both sides. The text itself holds the answer.',
    'BERT chooses 15 % of the tokens. It covers most of these with a mask. One in ten becomes a random token, and one in ten remains unchanged.',
    'These two tenths prepare the model for real texts, which have no masks. A model that had seen only masked texts would do badly on them.',
    'Only the chosen tokens count in the loss. The model may look at all the others, on the left and on the right.',
    'After that a small head on top is enough for a task: one for the class of a text, one for the tag of each word, one for the beginning and the end of an answer.',
  ],
  claims: {
    C07: '15 % of the tokens are chosen; 80 % of these are masked, 10 % replaced and 10 % kept', C08: 'both sides tell more than the left side alone',
    C09: 'guessing whether two sentences follow each other does not help', C10: 'BERT-Base has 110M parameters, BERT-Large 340M',
    C11: 'one checkpoint serves many tasks, and only the head changes',
  },
  steps: [
    {
      view: 'masking', opens: open(), light: '[data-step]',
      act: 'Press Step, and read what happens, until the model guesses.', keys: 's, five times',
      read: textOf('.told'),
      see: match(/5 of 6\. (.+?);/, (said) => `You have seen a sentence, the chosen tokens, what becomes of them, and where they look. ${said}. One more step shows what the truth costs.`),
      means: 'The bands run both ways. Nothing stops a gap from looking to its right.',
    },
    {
      view: 'masking', opens: open(), light: '[aria-labelledby=picture-title]',
      act: 'Click a token to change what becomes of it: masked, random, kept, or not chosen.', keys: 'Tab to a token, Enter',
      read: SUMMARY,
      see: changed(/Of (\d+) tokens? (\d+) (?:is|are) chosen.*?(\d+) of (\d+) gaps? first.*costs it ([\d.]+) bits/, (tokens, hidden, right, gaps, bits) => `Now ${hidden} of ${tokens} tokens are chosen. Its first guess is right for ${right} of ${gaps} gaps, and a gap costs it ${bits} bits on average.`),
      means: 'You can make every decision of the training code here, and the model answers at once.',
    },
    {
      view: 'masking', opens: open(), light: '[aria-labelledby=picture-title]',
      act: 'Hide more: set the share to 0.40 or above.', keys: 'Tab to Share hidden, then →',
      read: SUMMARY,
      see: match(/are chosen, (\d+) %.*costs it ([\d.]+) bits.*costs ([\d.]*\d)/, (share, bits, blind) => (Number(share) >= 35 ? `With ${share} % hidden a gap costs ${bits} bits; blind guessing costs ${blind}.` : null)),
      means: 'With more gaps there is more to predict, and less context to predict it from. BERT’s 15 % is one choice, not a law.',
    },
    {
      view: 'masking', opens: open(), light: '[aria-labelledby=worth-title]',
      act: 'Choose “Worth, measured” to see what each token is really worth.', keys: 'i',
      read: countOf('[data-agreement]', '.rows'),
      see: (now) => (Number(now) ? 'Each token was taken away in turn, and the bands now show what that costs. The page says how far attention agrees.' : null),
      means: 'A strong band of attention shows where a head looks. It does not show what the answer depends on.',
    },
    {
      view: 'masking', opens: open({ step: '0' }), light: '[data-summary]',
      act: 'This is the model before its first step. Move training time forward, and watch the cost of a gap fall.', keys: 'Tab to Training time, then →',
      read: SUMMARY,
      see: (now, first) => {
        const cost = (text: string) => Number(/costs it ([\d.]+) bits/.exec(text)?.[1])
        return cost(now) < cost(first) ? `A gap cost ${cost(first)} bits; now it costs ${cost(now)}.` : null
      },
      means: 'Nothing but hidden words taught it that.',
    },
  ],
}
