import { at, countOf, isRun, match, SUMMARY, textOf, type Chapter } from './chapter'

const open = (state: Record<string, string> = {}) => at('generation', { prompt: 'It was a', temperature: '0.8', top_k: '50', ...state }, isRun('decoder'))
const likeliest = (text: string) => /likeliest, with ([\d.]+ %).*makes that ([\d.]+ %)/.exec(text)

export const generation: Chapter = {
  id: 'generation',
  title: 'One token after another',
  asks: 'How does a model write that has only learned to guess the next token?',
  text: [
    'GPT reads a text from the left, and at every position it guesses the next token. Nothing is hidden or replaced, and every token teaches.',
    'The probability of a whole text is the product of these guesses. That is not an approximation; it is how probabilities multiply.',
    'A mask keeps every position from looking to its right. It is a triangle of minus infinity, added to the scores before the softmax.',
    'To write, draw a token from the guess, append it to the text, and guess again. Temperature divides the scores before the draw. Below one, likely tokens become likelier; above one, every token comes within reach; towards zero, only the likeliest is ever taken.',
    'From GPT-1 to GPT-3 this recipe hardly changed. What changed was the size, from 117M parameters to 175B.',
  ],
  claims: {
    C12: 'the probabilities of the tokens multiply to that of the text, exactly', C13: 'no token sees the future', C14: 'temperature sharpens or flattens the guess, and towards zero it is greedy',
    C15: 'GPT-1 has 117M parameters, GPT-2 1.5B, GPT-3 175B', C16: 'examples in the prompt help, without any change of weights',
  },
  steps: [
    {
      view: 'generation', opens: open(), light: '[data-next]',
      act: 'Press Next token three times.', keys: 'n',
      read: countOf('.ribbon .token', '.ribbon .next'),
      see: (now, first) => (Number(now) >= Number(first) + 3 ? `The text has grown by ${Number(now) - Number(first)} tokens. The bar under each says how much it surprised the model.` : null),
      means: 'Each was drawn from a guess over the whole vocabulary, and then became part of the text that the model reads.',
    },
    {
      view: 'generation', opens: open(), light: '[aria-labelledby=triangle-title]',
      act: 'Look at the triangle, and choose another head.', keys: 'Tab to the small pictures, Enter',
      read: textOf('#triangle-title'),
      see: (now, first) => (now !== first ? `${now.replace('Who looks at whom: ', '')}: every row ends at its own token. To the right of it there is nothing.` : null),
      means: 'That is the causal mask. It is what makes this model a GPT and not a BERT.',
    },
    {
      view: 'generation', opens: open(), light: '.controls',
      act: 'Turn the temperature up to 1.5.', keys: 'Tab to Temperature, then →',
      read: SUMMARY,
      see: (now) => {
        const found = likeliest(now)
        return found && /temperature (1\.[5-9]|2)/.test(now) ? `The model gave its likeliest token ${found[1]}; this temperature leaves it ${found[2]}.` : null
      },
      means: 'The model has not changed its mind. Only the draw has become bolder.',
    },
    {
      view: 'generation', opens: open(), light: '.controls',
      act: 'Now turn the temperature down to 0.', keys: 'Home, on the slider',
      read: SUMMARY,
      see: match(/is ([\d.]+) bits unsure.*temperature 0 always takes it/, (bits) => `At 0 the likeliest token is always taken, although the model is ${bits} bits unsure.`),
      means: 'Greedy text is safe and soon repeats itself. Press Twelve to see.',
    },
    {
      view: 'generation', opens: open(), light: '[aria-labelledby=tree-title]',
      act: 'Take the second guess instead of the drawn one, go back, and take the third.', keys: '2, Backspace, 3',
      read: countOf('.node', '.ribbon .next'),
      see: (now, first) => (Number(now) >= Number(first) + 2 ? `The tree holds ${now} tries. Each is a text that the model could have written.` : null),
      means: 'A model does not hold one text. It gives every text a probability, and sampling follows one path through them.',
    },
    {
      view: 'generation', opens: open(), light: '[aria-labelledby=flow-title]',
      act: 'See how one row of attention is computed: click a ring in the picture.', keys: 'Tab to a block, Enter',
      read: countOf('.story tbody tr', '.ribbon .next'),
      see: (now) => (Number(now) ? `The row has ${now} keys. The query is multiplied by each key, scaled, and put through a softmax. The shares add up to 100 %, and mix the values.` : null),
      means: 'This is attention, with its numbers. There is nothing else inside.',
    },
  ],
}
