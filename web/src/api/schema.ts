/** What the studio's routes answer and take. Made by tools/api-types; a test holds it to the server. */

/** A whole answer. */
export interface Answer {
  pieces: Written[]
}

/** An example with what every model says. */
export interface AnsweredExample {
  example: DuelExample
  answers: Record<string, DuelAnswer>
}

/** Labelled examples for a model to answer. */
export interface Answers {
  at: string
  data: string
  part?: 'all' | 'test' | 'train'
  limit?: number
  view?: string
  turn?: number
}

/** A conversation, or a text, to be gone on with. */
export interface Ask {
  at: string
  messages?: Turn[]
  text?: string
  prefix?: string[]
  temperature?: number
  top_p?: number
  top_k?: number
  min_p?: number
  repetition_penalty?: number
  max_tokens?: number
  seed?: number
  tools?: Record<string, unknown>[]
  must_call?: boolean
  schema?: Record<string, unknown> | null
}

/** A request that the view has made, and that was answered. */
export interface AskedBefore {
  method: string
  path: string
  query?: Record<string, string>
  body?: Record<string, unknown> | null
}

/** A beam search. */
export interface Beams {
  at: string
  view?: string
  turn?: number
  ids: number[]
  beams?: number
  tokens?: number
  source?: number[] | null
}

/** A piece that fits into a word. */
export interface CandidateAnswer {
  start: number
  end: number
  token: string
  score: number | null
}

/** Who is talked to. */
export interface ChatModel {
  template: boolean
  functions: boolean
  special: string[]
  context: number | null
}

/** Tokenizers over a corpus. */
export interface Compare {
  tokenizers: string[]
  corpus: string
  megabytes?: number
}

/** One tokenizer over the corpus, and over its parts. */
export interface Compared {
  at: string
  whole: Figures
  languages: Figures[]
  domains: Figures[]
  unused: number
}

/** A text that Python's `generate` writes. */
export interface Continue {
  at: string
  view?: string
  turn?: number
  ids: number[]
  settings?: Settings
  source?: number[] | null
}

/** What a run is asked to do at its next step. */
export interface Control {
  at: string
  action: 'pause' | 'resume' | 'step' | 'stop' | 'checkpoint' | 'capture' | 'scale_learning_rate' | 'set_learning_rate'
  number?: number | null
}

/** All that the view shows at first. */
export interface Corpus {
  at: string
  fingerprint: string
  created: string
  seconds: number
  inputs: number
  stages: Stage[]
  flows: Flow[]
  removed: Record<string, Record<string, number>>
  skipped: Record<string, number>
  languages: Record<string, number>
  personal_data: Record<string, number>
  judged: number
  broken: number
  rules: Rule[]
  near: Near | null
  mix: Mix
  tokens: TokensAnswer[]
}

/** One of them, with another label. */
export interface Correct {
  at: string
  data: string
  part?: 'all' | 'test' | 'train'
  limit?: number
  view?: string
  turn?: number
  place: number
  value: unknown
}

/** A new data file to write. */
export interface Corrected {
  at: string
  data: string
  out: string
}

/** What was written. */
export interface CorrectedFile {
  at: string
  rows: number
  changed: number
  stale: number
  notes: string[]
}

/** An example with another label. */
export interface CorrectionAnswer {
  line: number
  input: string
  was: string
  becomes: string
  value: unknown
}

/** All corrections of a data file. */
export interface Corrections {
  file: string
  corrections: CorrectionAnswer[]
}

/** How a fit goes, or went. */
export interface Course {
  name: string
  losses: Moment[]
  looks: Look[]
  metric: string | null
  asked: number | null
  ended: number | null
}

/** A text and who cuts it. */
export interface Cut {
  at: string
  text: string
}

/** A text as tokens, how they came about, and what came back. */
export interface CutAnswer {
  folder: string
  manner: string
  vocabulary: number
  bytes: number
  words: number
  tokens: TokenAnswer[]
  opening: string[]
  closing: string[]
  typed: string[]
  normalised: string
  steps: WordAnswer[]
  decoded: string
  lost: [string, string][]
  sha256: string
}

/** A file that may hold labelled examples. */
export interface DataFile {
  at: string
  bytes: number
  own: boolean
  scored: boolean
}

/** What `duel.json` holds: the models, and the scoreboard as far as it is filled. */
export interface Duel {
  tokens: string
  labels: string
  wanted: string[]
  models: Fighter[]
  tasks: DuelTask[]
}

/** What a model says to one example. */
export interface DuelAnswer {
  number: number
  said: string
  value: number
  truth_bits: number | null
}

/** A duel as far as it has come. */
export interface DuelBoard {
  duel: Duel
  at: Record<string, string>
}

/** What a model scores on a task; without a value the reason why it has none. */
export interface DuelCell {
  model: string
  value: number | null
  low: number | null
  high: number | null
  reason: string | null
}

/** One example of a task, the same for every model. */
export interface DuelExample {
  number: number
  text: string
  ids: number[]
  texts: string[]
  place: number | null
  truth: string
}

/** The examples of a task, with what every model says. */
export interface DuelExamples {
  examples: AnsweredExample[]
}

/** A text with a gap, and how much of it is shown at either side. */
export interface DuelGap {
  at: string
  view?: string
  turn?: number
  ids: number[]
  place: number
  left: number
  right: number
}

/** A task of the duel. */
export interface DuelTask {
  task: string
  metric: string
  higher: boolean
  n: number
  cells: DuelCell[]
  pairs: PairedDifference[]
}

/** A text of one's own, and where the word begins that is to be found. */
export interface DuelText {
  at: string
  view?: string
  turn?: number
  text: string
  start: number
}

/** One token of the vocabulary. */
export interface Entry {
  id: number
  token: string
  text: string
  bytes: number
  kind: string
  count: number | null
}

/** Which view, where it stands, and what it has. */
export interface Export {
  view: string
  hash: string
  asked: AskedBefore[]
}

/** One of the models, and what its pre-training took. */
export interface Fighter {
  name: string
  family: string
  objective: string
  parameters: number
  flops: number
  tokens: number
  steps: number
  core_seconds: number
}

/** What a text costs. */
export interface Figures {
  name: string
  documents: number
  bytes: number
  tokens: number
  bytes_per_token: number | null
  tokens_per_word: number | null
  error: number | null
  unknown_share: number | null
}

/** A text with the fates of its tokens. */
export interface Fill {
  at: string
  view?: string
  turn?: number
  ids: number[]
  fates: number[]
  strangers: number[]
}

/** What each stage left of a domain. */
export interface Flow {
  domain: string
  stages: Stage[]
}

/** A folder that a view can show. */
export interface FolderAnswer {
  at: string
  kind: 'quickstart' | 'run' | 'task' | 'model' | 'corpus' | 'tokens' | 'tokenizer' | 'vectors' | 'sweep' | 'head-start' | 'duel'
  modified: number
  family: string | null
  architecture: string | null
  answers: boolean
  live: boolean
  course: boolean
}

/** What `forecast.json` says of the larger run. */
export interface Forecast {
  parameters: number
  tokens: number
  times_the_largest_run: number
  loss: number
  band: [number, number]
  level: number
  runs: number
  written?: number | null
}

/** How well planted copies were found. */
export interface Found {
  changed: number
  copies: number
  found: number
  expected: number
  jaccard: number | null
  false: number
}

/** A text that is sent through a layer. */
export interface Gates {
  at: string
  view?: string
  turn?: number
  text: string
  layer?: number
}

/** What a folder knows of a head start. */
export interface HeadStart {
  points: Point[]
  damaged: number
  fits: number | null
  pretraining: Paid | null
  tokens_at: Record<string, number>
  model: string | null
  data: string | null
}

/** A text to choose tokens of. */
export interface Hide {
  at: string
  view?: string
  turn?: number
  text: string
  rate?: number
  whole_words?: boolean
  shares?: [number, number, number]
  mean_span?: number
  seed?: number
}

/** A text whose tokens are taken away in turn. */
export interface Influence {
  at: string
  view?: string
  turn?: number
  ids: number[]
  fates: number[]
}

/** A job, and whether it is at work. */
export interface JobAnswer {
  id: string
  verb: string
  command: string
  out: string
  started: number
  running: boolean
}

/** Two neighbours become one. */
export interface JoinAnswer {
  place: number
  rank: number
  made: string
}

/** What a run has kept to look at. */
export interface Kept {
  captures: number[]
  samples: Sample[]
}

/** A file or folder that may hold labelled data. */
export interface Labelled {
  at: string
  name: string
}

/** A law that splits compute: by a loss of both (`constants`), or by a power of compute alone. */
export interface Law {
  name: string
  source: string
  note: string
  parameters: [number, number]
  tokens: [number, number]
  constants: [number, number, number, number, number] | null
  outer?: number
  counts_embeddings?: boolean
  draws: [number, number, number, number, number][]
  power: [number, number] | null
}

/** All that the view draws. */
export interface Laws {
  laws: Law[]
  models: Trained[]
}

/** The end of what a job printed. */
export interface Log {
  text: string
}

/** The score on some test examples, after a step. */
export interface Look {
  step: number
  seconds: number
  score: number
}

/** A word, where its sentences come from, and the states of a model that read them. */
export interface Meaning {
  states: string[]
  word: string
  corpus?: string
  own?: string[]
  most?: number
  seed?: number
}

/** The mix as it ran, and what a reader may try beside it. */
export interface Mix {
  by: string
  set: boolean
  budget: number
  max_repeats: number
  bytes_per_token: number
  repeats_decay: number
  groups: Mixed[]
}

/** A group of the mix: what there is, what was asked for, what came of it, in bytes. */
export interface Mixed {
  group: string
  share: number
  available: number
  chosen: number
  repeats: number
}

/** The mean loss since the moment before, after a step. */
export interface Moment {
  step: number
  seconds: number
  loss: number
}

/** Near duplicates of the whole corpus. */
export interface Near {
  similarity: number[]
  sizes: Record<string, number>
  pairs: Pair[]
  recall: Found[]
}

/** A command to start: settings as on the command line, `key=value`, and options. */
export interface NewJob {
  verb: string
  model?: string | null
  recipe?: string | null
  out: string
  options?: Record<string, string>
  settings?: Record<string, string>
}

/** One of them. */
export interface OneExample {
  at: string
  data: string
  part?: 'all' | 'test' | 'train'
  limit?: number
  view?: string
  turn?: number
  place: number
}

/** What the model's pre-training has cost. */
export interface Paid {
  seconds: number
  core_seconds: number
  tokens: number
  steps: number
}

/** A near duplicate that went, and the document that stays. */
export interface Pair {
  gone: string
  kept: string
  similarity: number | null
  difference: string[][]
}

/** How much higher the first of two scores on the same examples, with the paired interval of 95 %. */
export interface PairedDifference {
  first: string
  second: string
  difference: number
  low: number
  high: number
  p: number
}

/** One fit: a system on a task, with so many labels and one seed. */
export interface Point {
  task: string
  metric: string
  labels: number
  system: string
  seed: number
  score: number
  n: number
  seconds: number
  step: number | null
}

/** A published model whose diagram can be had without its weights. */
export interface PresetName {
  name: string
  family: string
  year: number
  parameters: number
}

/** What is known of how a folder came about. */
export interface Provenance {
  at: string
  id: string | null
  commit: string | null
  seed: number | null
  recipe: Record<string, unknown>
  machine: Record<string, unknown>
  steered: boolean
  states: StateAnswer[]
}

/** Fits that are at work side by side. */
export interface Race {
  courses: Course[]
  scores: Record<string, number>
}

/** The beginning of a raw record, as text. */
export interface RawRecord {
  text: string
}

/** A document that went, and what of its text the rule is about. */
export interface RemovedDocument {
  id: string
  url: string
  domain: string
  language: string
  detail: string
  kept: string
  similarity: number | null
  start: number
  excerpt: string
  spans: number[][]
}

/** What the model reads, token by token. */
export interface Rendered {
  ids: number[]
  texts: string[]
  special: boolean[]
}

/** One row of one attention map. */
export interface Row {
  at: string
  view?: string
  turn?: number
  ids: number[]
  name: string
  head: number
  place: number
  source?: number[] | null
}

/** A rule of quality, and what it removed, alone and with others. */
export interface Rule {
  rule: string
  signal: string
  op: string
  threshold: number
  pages: boolean
  meaning: string
  fires: number
  alone: number
  bytes: number
  general: boolean
  languages: string[]
}

/** A compute that was said in words. */
export interface Said {
  compute: number
}

/** What a causal model wrote at a prompt, at a step. */
export interface Sample {
  step: number
  prompt: string
  text: string
}

/** Conversations to learn from. */
export interface Save {
  out: string
  conversations: Turn[][]
}

/** Where they are. */
export interface Saved {
  at: string
  conversations: number
}

/** How it came out. */
export interface Scored {
  measured: number
  error: number
  inside: boolean
}

/** Some of them. */
export interface Select {
  at: string
  data: string
  part?: 'all' | 'test' | 'train'
  limit?: number
  view?: string
  turn?: number
  places?: number[] | null
  word?: string
}

/** The command is in the run's control file. */
export interface Sent {
  sent: string
}

/** Held-out sentences of a run, which it never learned from, and its objective. */
export interface Sentences {
  sentences: string[]
  tokens: string | null
  objective: Record<string, unknown>
}

/** Settings of generation. */
export interface Settings {
  temperature?: number
  top_k?: number
  top_p?: number
  min_p?: number
  repetition_penalty?: number
  seed?: number
  max_new_tokens?: number
}

/** How many key-value heads a model is left with, to see what that costs. */
export interface Share {
  at: string
  view?: string
  turn?: number
  run: string
  kv_heads: number
}

/** What a stage left; None where nobody has counted. */
export interface Stage {
  stage: string
  documents: number
  bytes: number
  words: number | null
  tokens: number | null
}

/** One state of a model over its training. */
export interface StateAnswer {
  at: string
  step: number | null
  kind: 'snapshot' | 'checkpoint' | 'model'
}

/** The studio itself. */
export interface Status {
  version: string
  roots: string[]
  given: Record<string, string>
  read_only: boolean
  time: number
}

/** A sweep, as far as it has come. */
export interface Sweep {
  at: string
  grid: SweepRun[]
  final: SweepRun | null
  law: Law | null
  forecast: Forecast | null
  score: Scored | null
}

/** A run of a sweep, and how far it has come. */
export interface SweepRun {
  name: string
  at: string | null
  parameters: number
  tokens: number
  state: 'waiting' | 'running' | 'finished'
  evaluations: [number, number][]
}

/** A correction that is to go. */
export interface TakeBack {
  data: string
  line: number
}

/** What a task model can be asked about. */
export interface TaskData {
  files: DataFile[]
  seed: number
  tested: number
  model: string | null
}

/** A text to cut into tokens. */
export interface Text {
  at: string
  view?: string
  turn?: number
  text: string
}

/** A token among its neighbours, and the document that holds it. */
export interface Token {
  id: string
  domain: string
  shard: string
  first: number
  tokens: number
  text: string
  before: string
  behind: string
}

/** One token of a text. */
export interface TokenAnswer {
  id: number
  token: string
  text: string
  start: number
  end: number
  unknown: boolean
}

/** A tokens folder that was made from this corpus. */
export interface TokensAnswer {
  at: string
  splits: Record<string, number>
}

/** A forward pass. */
export interface Trace {
  at: string
  view?: string
  turn?: number
  ids: number[]
  prompt: number
  source?: number[] | null
  repetition_penalty?: number
}

/** A published model. */
export interface Trained {
  name: string
  parameters: number
  without_embeddings: number
  tokens: number
  source: string
}

/** One turn of a conversation. */
export interface Turn {
  role: 'system' | 'user' | 'assistant'
  content: string
}

/** A claim of the lesson, and what the laboratory measured. */
export interface VerdictAnswer {
  claim: string
  title: string
  verdict: string
  reason: string
  because: string
  lesson: string
  stale: boolean
}

/** A page of the vocabulary. */
export interface Vocabulary {
  entries: Entry[]
  found: number
  size: number
  counted: number | null
  of: number | null
}

/** What became of a document. */
export interface Way {
  status: string
  id: string
  url: string
  source: string
  domain: string
  language: string
  date: string
  copies: number
  places: string[]
  stage: string
  rule: string
  detail: string
  cut: (Record<string, string | number>)[]
  duplicates: Record<string, string>[]
  tokens: (Record<string, string | number>)[]
  text: string
}

/** One way through a word, with its share of the probability of those that are told. */
export interface WayAnswer {
  tokens: string[]
  score: number
  share: number
}

/** A part of the text that is cut by itself. */
export interface WordAnswer {
  text: string
  parts: string[]
  tokens: string[]
  first: number
  joins: JoinAnswer[]
  candidates: CandidateAnswer[]
  ways: WayAnswer[]
  unknown: boolean
}

/** One token of an answer, or its end. */
export interface Written {
  text: string
  content?: string
  logprob?: number | null
  top?: [string, number][]
  finish?: string | null
  calls?: Record<string, unknown>[]
}
