import { match, SUMMARY, textOf, type Chapter } from './chapter'

const open = (state: Record<string, string>) => () => state
const SAID = /With ([\d.e]+) operations, (.+?) trains (.+?) parameters on (.+?) tokens, ([\d.,]+) a parameter/

export const scaling: Chapter = {
  id: 'scaling',
  title: 'How large, for how long',
  asks: 'With a fixed amount of compute: a larger model, or more text?',
  text: [
    'The loss of a language model falls as a power law of its parameters, of its text and of its compute. On logarithmic axes that is a straight line.',
    'So small runs predict large ones. That makes it possible to plan a run that costs millions.',
    'Training takes about six operations for each parameter and token: two in the forward pass, four in the backward pass. Attention comes on top, and costs more the longer the rows are.',
    'Kaplan’s law of 2020 put most compute into size. Hoffmann’s of 2022 found that size and text should grow together, at about twenty tokens a parameter. GPT-3 had fewer than two.',
    'Twenty is best if only the training counts. If a model will be used a lot, a smaller one that is trained longer costs less: Llama 3 with 8B parameters has read nearly two thousand tokens for each of them.',
  ],
  claims: {
    C24: 'loss falls as a power law in parameters, text and compute', C25: 'ten times the compute lowers the loss by about 12 %', C26: 'training takes about 6 N D operations',
    C27: 'about 20 tokens a parameter are best', C28: 'a small model trained past the optimum wins if it is used a lot', C29: 'whether an ability appears suddenly depends on how it is scored',
  },
  steps: [
    {
      view: 'scaling', opens: open({ c: '21' }), light: '.slider',
      act: 'Drag the compute up to 1e24 operations or more.', keys: 'Tab to the slider, →',
      read: SUMMARY,
      see: match(SAID, (compute, law, parameters, tokens, ratio) => (Number(compute) >= 9e23 ? `With ${compute} operations ${law} wants ${parameters} parameters and ${tokens} tokens: ${ratio} a parameter.` : null)),
      means: 'Both grow together. A thousand times the compute is some thirty times the size, and some thirty times the text.',
    },
    {
      view: 'scaling', opens: open({ c: '24' }), light: '.controls',
      act: 'Change the law, and see how much they differ.', keys: 'Tab to Law, ↓',
      read: SUMMARY,
      see: (now, first) => {
        const [found, before] = [SAID.exec(now), SAID.exec(first)]
        return found && before && found[2] !== before[2] ? `${before[2]} wants ${before[5]} tokens a parameter here, ${found[2]} wants ${found[5]}.` : null
      },
      means: 'They were fitted to different runs, in different ranges. The page says how far a law is stretched beyond its own runs.',
    },
    {
      view: 'scaling', opens: open({ c: '21' }), light: '[aria-labelledby=standings-title]',
      act: 'Choose a Llama 3 among the published models, and read what its training bought.', keys: 'Tab to a model, Enter',
      read: textOf('[aria-labelledby=standings-title] .told'),
      see: match(/^(.+?), (.+?) on (.+?) tokens.*it spent (.+?) of that training/, (model, parameters, tokens, more) => `${model} has ${parameters} parameters and has read ${tokens} tokens. It spent ${more} of the training that reaches the same loss at the least cost.`),
      means: 'An optimum always belongs to a purpose.',
    },
  ],
}
