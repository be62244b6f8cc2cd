import { at, changed, match, textOf, type Chapter } from './chapter'

export const corpus: Chapter = {
  id: 'corpus',
  title: 'From raw pages to a corpus',
  asks: 'What has to happen to the web before a model may read it?',
  text: [
    'Most of a crawl is not text but markup, menus, adverts and copies of pages. What is left after cleaning is a small part of what was fetched.',
    'The stages follow each other. Extraction finds the main text of a page. A classifier names the language. Rules and models judge quality. Copies are removed. What remains is mixed by domain.',
    'Copies do double harm. A text that is read a hundred times is learned by heart. And the text that is copied most is seldom the text that is worth most.',
    'The mixture is a choice. Good sources are small, so they are repeated a few times, but not often: a text read many times teaches less and less.',
    'Fifteen trillion tokens are about eleven trillion words. All of Wikipedia in English has some four billion, so the bulk has to come from the web.',
  ],
  claims: {
    C20: 'most of a crawl is thrown away, stage by stage', C21: 'repeated text is memorised word for word',
    C22: 'less but cleaner data trains a better model', C23: 'the mixture matters, and small sources can be repeated only a few times',
  },
  steps: [
    {
      view: 'corpus', opens: at('corpus', { stage: '1' }), light: '[aria-labelledby=river-title]',
      act: 'Click through the stages, and read how much each one keeps.', keys: 'Tab to the stages, then →',
      read: textOf('[aria-label=Stages] [aria-pressed=true]'),
      see: changed(/(.+)/, (stage) => `You are at: ${stage}. Text that is removed here flows down and out, with the reason.`),
      means: 'The height of the stream shows how much text is left. Switch its unit to tokens, which are what a model will read.',
    },
    {
      view: 'corpus', opens: at('corpus', { stage: '3' }), light: '[aria-labelledby=rules-title]',
      act: 'Choose a rule and move its threshold.', keys: 'Tab to a rule, Enter; Tab to the slider, ← →',
      read: textOf('[data-recount]'),
      see: changed(/(about [\d,]+ of [\d,]+)(?: ?; as it ran, ([\d.]+ %))?$/, (kept, ran) => `With this threshold ${kept} documents stay${ran ? `; as it ran, it was ${ran}` : ''}.`),
      means: 'A threshold is a decision about people’s pages. Here you see which pages it decides.',
    },
    {
      view: 'corpus', opens: at('corpus'), light: '[aria-labelledby=mix-title]',
      act: 'Drag the share of a small domain up, until it is read more than twice.', keys: 'Tab to a domain, →',
      read: textOf('[data-mix]'),
      see: changed(/^([\d.]+ \w+), about (.+?) tokens, from (.+?) of different text; .*like (.+?) of fresh text/, (sum, tokens, text, fresh) => `${sum} of text (${tokens} tokens) come from ${text} of different text. Since repeats are worth less, they count like ${fresh} of fresh text.`),
      means: 'Repeating is not forbidden. It is worth less each time.',
    },
    {
      view: 'corpus', opens: at('corpus', { unit: 'tokens' }), light: '#way',
      act: 'Take any token of the corpus, and follow it back to its page.', keys: 'Tab to Any token, Enter',
      read: textOf('[data-token]'),
      see: match(/(.+)/, (said) => `Found: ${said.slice(0, 140)}.`),
      means: 'Every token that a model reads can be traced to its page. A corpus owes that to its readers.',
    },
  ],
}
