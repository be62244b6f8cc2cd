import { match, SUMMARY, textOf, type Chapter } from './chapter'

const open = (state: Record<string, string>) => () => state
const SAID = /With ([\d.e]+) operations, (.+?) trains (.+?) parameters on (.+?) tokens, ([\d.,]+) a parameter/

export const scaling: Chapter = {
  id: 'scaling',
  title: 'How large, for how long',
  asks: 'With a fixed amount of compute: a larger model, or more text?',
  text: [
    'The loss of a language model falls along a power law: in its parameters, in its text, in its compute. On paper with logarithmic axes that is a straight line.',
    'So small runs forecast large ones. That is what makes it possible to plan a run that costs millions.',
    'Training takes about six operations for each parameter and token: two forwards, four backwards. Half the way through attention is added, and long rows cost more.',
    'Kaplan’s law of 2020 put most compute into size. Hoffmann’s of 2022 found that size and text should grow together, at about twenty tokens a parameter. GPT-3 had not even two.',
    'Twenty is best for training alone. Who means to use a model much will take a smaller one and train it longer: Llama 3 with 8B parameters has read nearly two thousand tokens for each.',
  ],
  claims: {
    C24: 'loss falls as a power law in parameters, text and compute', C25: 'ten times the compute lowers the loss by about 12 %', C26: 'training takes about 6 N D operations',
    C27: 'about 20 tokens a parameter are best', C28: 'small models trained past the optimum win once they are used much', C29: 'sudden abilities depend on the way of counting',
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
      means: 'They were fitted to different runs, in different ranges. The page says how far outside of its own runs a law is asked.',
    },
    {
      view: 'scaling', opens: open({ c: '21' }), light: '[aria-labelledby=standings-title]',
      act: 'Choose a Llama 3 among the published models, and read what its training bought.', keys: 'Tab to a model, Enter',
      read: textOf('[aria-labelledby=standings-title] .told'),
      see: match(/^(.+?), (.+?) on (.+?) tokens.*it spent (.+?) of that training/, (model, parameters, tokens, more) => `${model} has ${parameters} parameters and has read ${tokens} tokens. It spent ${more} of the training that would have reached the same loss at least cost.`),
      means: 'An optimum always belongs to a purpose.',
    },
  ],
}
