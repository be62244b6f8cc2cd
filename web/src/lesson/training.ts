import { at, isRun, match, SUMMARY, textOf, type Chapter } from './chapter'

const run = (state: Record<string, string> = {}) => at('run', state, isRun('decoder'))

/** The pre-trainings among the jobs, once Home has asked for these. */
const jobs = (page: Element): string | null => {
  if (!page.querySelector('.jobs[data-known]')) return null
  return Array.from(page.querySelectorAll('.jobs .name'), (one) => one.textContent!.trim()).filter((one) => one.startsWith('pretrain')).join(', ') || 'none'
}

export const training: Chapter = {
  id: 'training',
  title: 'One step of training',
  asks: 'What happens between a text and a changed weight?',
  text: [
    'Text becomes tokens: a common word is one token, a rare word several. The tokens of all documents form one long row, which is cut into pieces of equal length.',
    'Each token looks up its vector. The blocks add to it what attention and feed-forward find. A last product gives a score for every entry of the vocabulary.',
    'The right answers are the text itself, shifted by one token. Cross-entropy says how much they surprise the model. Before the first step it should be the logarithm of the size of the vocabulary.',
    'For each weight, the gradient says which way lowers the loss. It costs twice the forward pass. AdamW keeps two running means for each weight, which take twice the memory of the model.',
    'The learning rate rises at first, because early gradients are wild. Then it falls, because late steps need care.',
  ],
  claims: {
    C30: 'common words are one token, rare ones several', C31: 'the first loss is the logarithm of the vocabulary', C32: 'the backward pass takes twice as long as the forward pass',
    C33: 'AdamW keeps two numbers for each weight', C34: 'a warm-up avoids divergence',
  },
  steps: [
    {
      view: 'run', opens: run(), light: '[aria-labelledby=step-title]',
      act: 'Play the step: from the text to the update.', keys: 'space, or . stage by stage',
      read: textOf('.told'),
      see: match(/(optimiser moves every tensor.*)/, () => 'You have followed one step to its end: text, tokens, vectors, blocks, scores, loss, gradient, update.'),
      means: 'These are the real tensors of a step of this run, not a drawing.',
    },
    {
      view: 'run', opens: run(), light: '[data-summary]',
      act: 'Read where the loss began, and where it is now.', keys: 'nothing to press',
      read: SUMMARY,
      see: match(/on held-out text ([\d.]+).*from ([\d.]+) at step 0/, (now, first) => `Before its first step the model was ${first} nats unsure: like drawing one of ${Math.round(Math.exp(Number(first))).toLocaleString('en')} tokens blindly. Now it is ${now}, like one of ${Math.round(Math.exp(Number(now))).toLocaleString('en')}.`),
      means: 'The difference is what the text has taught it.',
    },
    {
      view: 'run', opens: run(), light: '[aria-labelledby=step-title] .sliders',
      act: 'Go through the captured steps, and look at the loss of each token.', keys: 'Tab to Captured step, → and ←',
      read: textOf('#step-title'),
      see: (now, first) => (now !== first ? `${now.replace('One step, from the text to the update: ', 'Now you see ')}. Compare the losses under the tokens.` : null),
      means: 'Early on, every token costs about the same. Later the easy tokens cost almost nothing, and the hard ones remain.',
    },
    {
      view: 'home', opens: () => ({}), light: '.jobs',
      act: 'Start a training of your own: choose “a pre-training of a decoder”, 600 steps, and open it as soon as it is live.', keys: 'Tab through the form, Enter on Start',
      read: jobs,
      see: (now, first) => {
        const job = now.split(', ').find((one) => one !== 'none' && !first.split(', ').includes(one))
        return job ? `${job} is a job of yours. It continues when you close the studio.` : null
      },
      means: 'It writes into your own folder. The sample stays as it is.',
    },
    {
      view: 'run', opens: (folders) => { const live = folders.find((folder) => folder.kind === 'run' && folder.live); return live ? { at: live.at } : null }, light: '[data-steering]',
      act: 'While it runs: move the slider of the learning rate, press Set, and watch the curve.', keys: 'Tab to the slider, ← →, Tab to Set, Enter',
      read: textOf('[data-steering]'),
      see: match(/(scale learning rate is asked for)/, () => 'The run was asked to take another rate at its next step. The mark on the curve is permanent.'),
      means: 'If the rate is too large, the loss jumps. If it is too small, the loss creeps. The range between is about a factor of three.',
    },
  ],
}
