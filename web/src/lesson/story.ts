import { match, SUMMARY, type Chapter } from './chapter'

const preset = (name: string) => () => ({ preset: name })
const SIZE = /has (.+?) parameters in (\d+) blocks/

export const story: Chapter = {
  id: 'story',
  title: 'How it all hangs together',
  asks: 'What changed from BERT to Llama 3, and what did not?',
  text: [
    'Static vectors came in 2013 and 2014, the Transformer in 2017. ELMo, GPT and BERT followed within months of each other in 2018.',
    'In 2019 GPT-2 did tasks that it was never trained for, and RoBERTa showed that BERT had been trained too little. T5 and GPT-3 came in 2020, Chinchilla in 2022, Llama in 2023 and 2024.',
    'What changed: reading both sides gave way to reading the left side alone, LayerNorm to RMSNorm, GELU to SwiGLU, learned positions to rotary ones, billions of words to trillions of tokens.',
    'What did not: a model guesses a token from the others, by attention, and training lowers its surprise. Everything that a finished assistant can do is built on top of that.',
  ],
  claims: { C40: 'the comparison tables and the timeline' },
  steps: [
    {
      view: 'block', opens: preset('bert-large'), light: '[data-summary]',
      act: 'Open BERT-Large, an encoder of 2018.', keys: 'the view opens there',
      read: SUMMARY,
      see: match(SIZE, (size, blocks) => `BERT-Large: ${size} parameters in ${blocks} blocks. It has no cache, since it does not write.`),
      means: 'Counted from its configuration, part by part.',
    },
    {
      view: 'block', opens: preset('gpt3-175b'), light: '[data-summary]',
      act: 'Open GPT-3, a decoder of 2020.', keys: 'the view opens there',
      read: SUMMARY,
      see: match(SIZE, (size, blocks) => `GPT-3: ${size} parameters in ${blocks} blocks, each head with a key and a value of its own.`),
      means: 'The same parts, some five hundred times as large.',
    },
    {
      view: 'block', opens: preset('llama-3.1-405b'), light: '[data-summary]',
      act: 'Open Llama 3 with 405B, a decoder of 2024.', keys: 'the view opens there',
      read: SUMMARY,
      see: match(/has (.+?) parameters in (\d+) blocks.*share (\d+) of keys and values: (.+?) of cache/, (size, blocks, kv, cache) => `Llama 3: ${size} parameters in ${blocks} blocks. Its heads share ${kv} of keys and values, ${cache} of cache a text.`),
      means: 'Look at the parts one by one: you know them all.',
    },
  ],
}
