import { at, changed, countOf, isRun, match, SUMMARY, textOf, type Chapter } from './chapter'

const open = (state: Record<string, string> = {}) => at('masking', { rate: '0.15', ...state }, isRun('encoder'))

export const masking: Chapter = {
  id: 'masking',
  title: 'Reading with gaps',
  asks: 'How does a model learn from text that nobody has labelled?',
  text: [
    'Cover a word, and let the model guess it from what stands on both sides. The text itself knows the answer.',
    'BERT chooses 15 % of the tokens. Most of these it covers with a mask. One in ten becomes a random token, one in ten stays as it is.',
    'The two tenths are there for later: a real text has no masks in it, and a model that had only ever worked beside masks would be lost in one.',
    'Only the chosen tokens count in the loss. All others are there to be looked at, from the left and from the right.',
    'After that a small head on top is enough for a task: one for the class of a text, one for the tag of each word, one for where an answer begins and ends.',
  ],
  claims: {
    C07: '15 % are chosen, and of these 80, 10 and 10 in a hundred are masked, replaced and kept', C08: 'both sides tell more than the left alone',
    C09: 'guessing whether two sentences follow each other does not help', C10: 'BERT-Base has 110M parameters, BERT-Large 340M',
    C11: 'one checkpoint serves many tasks, and only the head changes',
  },
  steps: [
    {
      view: 'masking', opens: open(), light: '[data-step]',
      act: 'Press Step, and read what happens, until the model guesses.', keys: 's, five times',
      read: textOf('.told'),
      see: match(/5 of 6\. (.+?);/, (said) => `A sentence, what is chosen, what becomes of it, who looks where. ${said}. One more step shows what the truth costs.`),
      means: 'The bands run both ways. Nothing stops a gap from looking to its right.',
    },
    {
      view: 'masking', opens: open(), light: '[aria-labelledby=picture-title]',
      act: 'Click a token to change what becomes of it: masked, random, kept, or left in peace.', keys: 'Tab to a token, Enter',
      read: SUMMARY,
      see: changed(/Of (\d+) tokens (\d+) (?:is|are) chosen.*?(\d+) of (\d+) gaps? first.*costs it ([\d.]+) bits/, (tokens, hidden, right, gaps, bits) => `Now ${hidden} of ${tokens} tokens are chosen. The model guesses ${right} of ${gaps} first, and a gap costs it ${bits} bits on average.`),
      means: 'Every decision of the training code is in your hand here, and the model answers at once.',
    },
    {
      view: 'masking', opens: open(), light: '[aria-labelledby=picture-title]',
      act: 'Hide more: set the share to 0.40 or above.', keys: 'Tab to Share hidden, then →',
      read: SUMMARY,
      see: match(/are chosen, (\d+) %.*costs it ([\d.]+) bits.*costs ([\d.]+)/, (share, bits, blind) => (Number(share) >= 35 ? `With ${share} % hidden a gap costs ${bits} bits; blind guessing costs ${blind}.` : null)),
      means: 'More gaps are more to learn from, and less to learn by. BERT’s 15 % is one answer and no law.',
    },
    {
      view: 'masking', opens: open(), light: '[aria-labelledby=worth-title]',
      act: 'Ask what each token is really worth: Worth, measured.', keys: 'i',
      read: countOf('[data-agreement]', '.rows'),
      see: (now) => (Number(now) ? 'Measured: each token was taken away, and the bands are now what that costs. The page says how far attention agrees with it.' : null),
      means: 'A strong band is where a head looks. It is not yet what the answer rests on.',
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
