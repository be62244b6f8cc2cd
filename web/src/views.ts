/** Every view: where it is, its key, which folders it takes, and how it is fetched when first needed. */
import type { Component } from 'svelte'
import type { Folder } from './api/types'

export const GROUPS = ['lesson', 'data', 'model', 'training', 'use'] as const
export type Group = (typeof GROUPS)[number]

export interface View {
  path: string
  title: string
  key: string
  about: string
  /** Where the view stands in the chain from text to answers: the navigation is in this order. */
  group: Group
  takes: (folder: Folder) => boolean
  load: () => Promise<{ default: Component }>
}

const writes = (folder: Folder) => folder.architecture !== 'encoder' && ['run', 'model'].includes(folder.kind)

export const VIEWS: View[] = [
  {
    path: 'lesson', title: 'Lesson', key: 'l', group: 'lesson', about: 'how foundation models are built: ten chapters, done in the views, with what was measured',
    takes: () => false, load: () => import('./views/lesson/View.svelte'),
  },
  {
    path: 'duel', title: 'Duel', key: 'd', group: 'model', about: 'encoder, decoder and both on equal terms: who wins what, and what each side of a gap is worth',
    takes: (folder) => folder.kind === 'duel', load: () => import('./views/duel/View.svelte'),
  },
  {
    path: 'head-start', title: 'Head start', key: 'a', group: 'use', about: 'what pre-training is worth: labels against score, what it costs, and both starts raced live',
    takes: (folder) => ['quickstart', 'head-start'].includes(folder.kind), load: () => import('./views/headstart/View.svelte'),
  },
  {
    path: 'corpus', title: 'Corpus', key: 'c', group: 'data', about: 'what became of raw pages, by domain and stage, and why',
    takes: (folder) => folder.kind === 'corpus', load: () => import('./views/corpus/View.svelte'),
  },
  {
    path: 'tokenizer', title: 'Tokenizer', key: 'k', group: 'data', about: 'a text cut into tokens step by step, by one tokenizer or two, and what is lost on the way',
    takes: (folder) => ['tokenizer', 'tokens'].includes(folder.kind) || (folder.family !== null && ['run', 'model', 'task'].includes(folder.kind)), load: () => import('./views/tokenizer/View.svelte'),
  },
  {
    path: 'run', title: 'The run', key: 'r', group: 'training', about: 'one training step as one picture, and the whole run live',
    takes: (folder) => folder.kind === 'run' || (folder.kind === 'task' && folder.course), load: () => import('./views/run/View.svelte'),
  },
  {
    path: 'generation', title: 'Generation', key: 'w', group: 'model', about: 'how the next token comes about, and every way that was tried',
    takes: (folder) => writes(folder) && folder.family !== null, load: () => import('./views/generation/View.svelte'),
  },
  {
    path: 'masking', title: 'Masking', key: 'm', group: 'model', about: 'tokens are hidden, the model finds them, and each is taken away to tell its worth',
    takes: (folder) => folder.family !== null && ['run', 'model'].includes(folder.kind), load: () => import('./views/masking/View.svelte'),
  },
  {
    path: 'meaning', title: 'Meaning', key: 'v', group: 'model', about: 'a word in its sentences against its static vector, layer by layer and over training',
    takes: (folder) => folder.family !== null && ['run', 'model'].includes(folder.kind), load: () => import('./views/meaning/View.svelte'),
  },
  {
    path: 'block', title: 'The block', key: 'b', group: 'model', about: 'any model as a diagram: shapes, parameters, operations, and shared heads done to your own',
    takes: (folder) => folder.family !== null && ['run', 'model', 'task'].includes(folder.kind), load: () => import('./views/block/View.svelte'),
  },
  {
    path: 'task', title: 'Task', key: 't', group: 'use', about: 'a fine-tuned model on labelled data: where it is wrong, why, and labels corrected',
    takes: (folder) => (folder.kind === 'task' && folder.family !== null) || (folder.kind === 'model' && folder.answers), load: () => import('./views/task/View.svelte'),
  },
  {
    path: 'chat', title: 'Chat', key: 'o', group: 'use', about: 'a conversation token by token, and other ways from any of them',
    takes: (folder) => folder.family !== null && folder.architecture !== 'encoder' && ['run', 'model', 'task'].includes(folder.kind), load: () => import('./views/chat/View.svelte'),
  },
  {
    path: 'scaling', title: 'Scaling', key: 's', group: 'training', about: 'how large a model should be for its compute and its use, by which law; and a law of your own',
    takes: (folder) => folder.kind === 'sweep', load: () => import('./views/scaling/View.svelte'),
  },
]

export const HOME: View = {
  path: 'home', title: 'Home', key: 'h', group: 'data', about: 'what lies in your folders', takes: () => true,
  load: () => import('./views/home/View.svelte'),
}

/** The views as the navigation has them. */
export const NAVIGATION = GROUPS.map((group) => ({ group, views: VIEWS.filter((view) => view.group === group) })).filter((one) => one.views.length)

export const viewAt = (path: string): View => VIEWS.find((view) => view.path === path) ?? HOME
