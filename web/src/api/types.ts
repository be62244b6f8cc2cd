/** What the views know of the server: its answers (`schema.ts`, made from it), and what frames and events hold. */
export type { FolderAnswer as Folder, StateAnswer as State, Provenance as Account, Status, JobAnswer as Job } from './schema'

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
  score?: number
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
