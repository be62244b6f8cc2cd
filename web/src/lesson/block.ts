import { at, changed, isRun, match, partsOf, textOf, type Chapter } from './chapter'

const preset = (name: string) => () => ({ preset: name })
const CACHES = partsOf('.caches [aria-pressed=true]')

export const block: Chapter = {
  id: 'block',
  title: 'Inside a modern block',
  asks: 'What is different in Llama 3, and why?',
  text: [
    'A block adds to the stream of each token twice: first what attention has gathered, then what the feed-forward part makes of it.',
    'RMSNorm divides by the size of the vector and leaves the mean alone. It does less than LayerNorm, and the difference in quality is hard to measure.',
    'SwiGLU has a gate: one product computes values, another says how much of each passes. To pay for the third matrix, all three are narrower.',
    'Rotary positions turn each pair of numbers in a query and in a key by an angle that grows with the position. The product of query and key then depends on the distance alone.',
    'During generation the keys and values of all earlier tokens are kept. This cache grows with every token. Grouped-query attention lets many query heads share one key and value: with 8 key-value heads for 128 query heads the cache is 16 times smaller.',
  ],
  claims: {
    C35: 'RMSNorm is as good as LayerNorm, and cheaper', C36: 'a gated feed-forward part is better at equal size', C37: 'a rotary score depends on the distance alone',
    C38: 'shared keys and values shrink the cache 16 times, at nearly the same quality', C39: 'the published sizes of Llama 3',
  },
  steps: [
    {
      view: 'block', opens: preset('llama-3.1-405b'), light: '[aria-labelledby=plan-title]',
      act: 'Click a part of the diagram to see what it computes.', keys: '← →',
      read: textOf('#part-title'),
      see: changed(/(.+)/, (part) => `You opened: ${part}. Beside the diagram are its formula, its shapes, and its share of the whole.`),
      means: 'Look at every part: the feed-forward part holds most of the parameters, and attention most of the ideas.',
    },
    {
      view: 'block', opens: preset('llama-3.1-405b'), light: '[aria-labelledby=share-title]',
      act: 'Give every head a key and a value of its own, then let all share one.', keys: 'k, from one to the next',
      read: CACHES,
      see: changed(/^(\d+)\|([\d.,]+ [kMGT]?B)/, (heads, bytes) => `With ${heads} key-value head${heads === '1' ? '' : 's'} one text takes ${bytes} of cache.`),
      means: 'Multi-head, grouped-query, multi-query: the same computation, with fewer things to remember.',
    },
    {
      view: 'block', opens: preset('llama-3.1-405b'), light: '[aria-labelledby=turn-title]',
      act: 'Shift both positions, and watch the score. Then change how far apart they are.', keys: 'Tab to shift both, →',
      read: textOf('[aria-labelledby=turn-title]'),
      see: changed(/Query at (\d+), key at (\d+).*?ones (−?[\d.]*\d)/, (query, key, score) => `Query at ${query}, key at ${key}: the score is ${score}.`),
      means: 'A shift changes nothing. Only the distance matters.',
    },
    {
      view: 'block', opens: at('block', {}, isRun('decoder')), light: '[aria-labelledby=share-title]',
      act: 'Now do it to a model of your own: choose fewer key-value heads, and have the loss measured.', keys: 'k, then Tab to Do it, Enter',
      read: textOf('[data-outcome]'),
      see: match(/With (\d+) key-value.*from ([\d.]+) to ([\d.]+) nats/, (heads, before, after) => `With ${heads} key-value head${heads === '1' ? '' : 's'} the held-out loss changes from ${before} to ${after} nats, before any further training.`),
      means: 'Sharing is not free: “nearly the same” quality takes further training. Here you see the price before that.',
    },
  ],
}
