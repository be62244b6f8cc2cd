import { changed, countOf, match, partsOf, SUMMARY, type Chapter } from './chapter'

const BOX = 'headstart-mini'
/** The model that comes with headstart, with sentences of ours: it parts meanings well, and is always there. */
const spring = (layer: string) => (folders: { at: string }[]) => {
  const box = folders.find((folder) => folder.at === `model:${BOX}`)
  return box ? { at: box.at, corpus: 'none', word: 'spring', layer } : null
}
const APART = /“(.+?)” stands in ([\d,]+) sentences.*two of them lie ([\d.]+) apart/

export const context: Chapter = {
  id: 'context',
  title: 'A word is not one thing',
  asks: 'How can one word stand for a season, a coil and a well?',
  text: [
    'Word2Vec and GloVe gave every word one vector, learned from plain text. That was a great step: similar words ended up near each other.',
    'But one vector is one point. A word with three meanings lies somewhere between the three, and stands for none of them.',
    'A deep model computes a new vector for every occurrence. It reads the sentence, and each layer mixes in more of it. ELMo did so with LSTMs, GPT and BERT with attention.',
    'So every occurrence has a place of its own, and that place is its meaning.',
  ],
  claims: {
    C03: 'static vectors cannot tell the senses of a word apart, contextual ones can', C04: 'lower layers hold grammar, higher ones meaning',
    C05: 'tuning the whole model beats its frozen features', C06: 'static vectors know similarity and analogy',
  },
  steps: [
    {
      view: 'meaning', opens: spring('0'), light: '[aria-labelledby=cloud-title]',
      act: 'Look at the word before any context: in the embedding, every sentence is the same point.', keys: 'the view opens there',
      read: SUMMARY,
      see: match(/In the embedding.*lie ([\d.e−-]+) apart/, (far) => `In the embedding two sentences lie ${far} apart: to the model they are the same word, and nothing else.`),
      means: 'This is all that a static vector can ever say.',
    },
    {
      view: 'meaning', opens: spring('0'), light: '[data-layer]',
      act: 'Move the layer slider to its end.', keys: 'l, layer by layer',
      read: SUMMARY,
      see: match(/Behind layer (\d+) two of them lie ([\d.]+) apart.*(They form .*?groups[^.]*)\./, (layer, far, groups) => `After layer ${layer} two sentences lie ${far} apart on average. ${groups}.`),
      means: 'The layers have read the sentence around each occurrence, and placed it by its meaning.',
    },
    {
      view: 'meaning', opens: spring('3'), light: '[aria-labelledby=cloud-title]',
      act: 'Choose a point. Its sentence appears, with the nearest ones.', keys: 'Tab to the points, then the arrows',
      read: partsOf('ol.near button'),
      see: match(/^(.+)\|([\d.e−]+)$/, (sentence, far) => `Nearest to it: “…${sentence.slice(0, 60).trim()}…”, ${far} apart. The distance is exact: it was measured before the points were drawn on a plane.`),
      means: 'Neighbours share a meaning more than they share words.',
    },
    {
      view: 'meaning', opens: spring('3'), light: '[data-own]',
      act: 'Write a sentence of your own with “spring”, and see where it lands.', keys: 'Tab to the field, write, Enter',
      read: countOf('circle.own', 'circle'),
      see: (now) => (Number(now) > 0 ? now === '1' ? 'Your sentence has landed among the others. Which group did it join?' : `Your ${now} sentences have landed among the others. Which groups did they join?` : null),
      means: 'Nobody told the model what the word means there.',
    },
    {
      view: 'meaning', opens: spring('3'), light: '[data-word]',
      act: 'Select another word: type “bank”, and press Look.', keys: 'Tab to the field, write, Enter',
      read: SUMMARY,
      see: changed(APART, (word, sentences, far) => `“${word}” stands in ${sentences} sentences, and two of them lie ${far} apart.`),
      means: 'Some words have only one meaning, and their points stay together. That is measured too, not assumed.',
    },
  ],
}
