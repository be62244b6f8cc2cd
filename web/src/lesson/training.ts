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
    'Text becomes tokens: common words are one, rare ones several. The tokens of all documents stand in one long row, which is cut into pieces of equal length.',
    'Each token looks up its vector. The blocks add to it what attention and feed-forward find. A last product gives a score for every entry of the vocabulary.',
    'The right answer is the text itself, moved by one. Cross-entropy says how surprised the model is by it. Before the first step that should be the logarithm of the size of the vocabulary.',
    'The gradient says for each weight which way is down. It costs twice the forward pass. AdamW keeps two running means for each weight, which is twice the model again.',
    'The learning rate rises for a while, since early gradients are wild, and then falls, since late ones want care.',
  ],
  claims: {
    C30: 'common words are one token, rare ones several', C31: 'the first loss is the logarithm of the vocabulary', C32: 'backwards takes twice as long as forwards',
    C33: 'AdamW keeps twice the model', C34: 'a rising start avoids divergence',
  },
  steps: [
    {
      view: 'run', opens: run(), light: '[aria-labelledby=step-title]',
      act: 'Play the step: from the text to the update.', keys: 'space, or . stage by stage',
      read: textOf('.told'),
      see: match(/(optimiser moves every tensor.*)/, () => 'You have followed one step to its end: text, tokens, vectors, blocks, scores, loss, gradient, update.'),
      means: 'These are the real tensors of a step of this run, and no drawing of one.',
    },
    {
      view: 'run', opens: run(), light: '[data-summary]',
      act: 'Read where the loss began, and where it is.', keys: 'nothing to press',
      read: SUMMARY,
      see: match(/on held-out text ([\d.]+).*from ([\d.]+) at step 0/, (now, first) => `Before its first step the model was ${first} nats unsure: like drawing one of ${Math.round(Math.exp(Number(first))).toLocaleString('en')} tokens blindly. Now it is ${now}, like one of ${Math.round(Math.exp(Number(now))).toLocaleString('en')}.`),
      means: 'All that lies between is what the text has taught it.',
    },
    {
      view: 'run', opens: run(), light: '[aria-labelledby=step-title] .sliders',
      act: 'Go through the captured steps, and look at the loss of each token.', keys: 'Tab to Captured step, → and ←',
      read: textOf('#step-title'),
      see: (now, first) => (now !== first ? `${now.replace('One step, from the text to the update: ', 'Now you see ')}. Compare the losses under the tokens.` : null),
      means: 'Early on every token costs about the same. Later the easy ones cost nothing, and the hard ones remain.',
    },
    {
      view: 'home', opens: () => ({}), light: '.jobs',
      act: 'Start a training of your own: choose “a pre-training of a decoder”, 600 steps, and open it as soon as it is live.', keys: 'Tab through the form, Enter on Start',
      read: jobs,
      see: (now, first) => {
        const job = now.split(', ').find((one) => one !== 'none' && !first.split(', ').includes(one))
        return job ? `${job} is a job of yours. It goes on when the studio is closed.` : null
      },
      means: 'It writes into your own folder. The sample stays as it is.',
    },
    {
      view: 'run', opens: (folders) => { const live = folders.find((folder) => folder.kind === 'run' && folder.live); return live ? { at: live.at } : null }, light: '[data-steering]',
      act: 'While it runs: move the slider of the learning rate, press Set, and watch the curve.', keys: 'Tab to the slider, ← →, Tab to Set, Enter',
      read: textOf('[data-steering]'),
      see: match(/(scale learning rate is asked for)/, () => 'The run was asked to take another rate at its next step. The mark on the curve stays there for good.'),
      means: 'Too large, and the loss jumps. Too small, and it creeps. Between lies about a factor of three.',
    },
  ],
}
