/** What the routes answer; `tests/studio/test_api_types.py` compares these with the server's schema. */
export type Kind = 'quickstart' | 'run' | 'task' | 'model' | 'corpus' | 'tokens' | 'tokenizer' | 'vectors' | 'sweep'

export interface Folder {
  at: string
  kind: Kind
  modified: number
  family: string | null
  architecture: string | null
  live: boolean
}

export interface State {
  at: string
  step: number | null
  kind: 'snapshot' | 'checkpoint' | 'model'
}

export interface Account {
  at: string
  id: string | null
  commit: string | null
  seed: number | null
  recipe: Record<string, unknown>
  machine: Record<string, unknown>
  states: State[]
}

export interface Status {
  version: string
  roots: string[]
  read_only: boolean
  time: number
}

export interface Job {
  id: string
  verb: string
  command: string
  out: string
  started: number
  running: boolean
}

export interface ModelFacts {
  family: string
  architecture: 'encoder' | 'decoder' | 'encoder-decoder'
  head: string
  layers: number
  heads: number
  kv_heads: number
  head_width: number
  width: number
  context: number
  vocab_size: number
  parameters: number
  cache_bytes_per_token: number
  tokenizer_sha256: string
  weights_sha256: string
  vocabulary: string[]
  stop: number[]
  start: number | null
  defaults: { temperature: number; top_k: number; top_p: number; min_p: number; repetition_penalty: number }
  seconds: number
}

export interface RunEvent {
  seq: number
  time: number
  kind: 'step' | 'evaluation' | 'statistics' | 'spike' | 'control' | 'note' | 'resume' | 'end'
  step: number
  loss?: number
  bits_per_byte?: number
  gradient_norm?: number
  learning_rate?: number
  tokens?: number
  words?: number
  core_seconds?: number
  seconds?: number
  tokens_per_second?: number
  mfu?: number | null
  text?: string
  why?: string
  action?: string
  after?: number
  rate?: number
  factor?: number
  domains?: Record<string, { loss: number; bits_per_byte: number; targets: number }>
  tensors?: Record<string, { gradient: number; weight: number; update: number }>
}
