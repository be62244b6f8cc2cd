/** The signals of a sample of documents, as the server sends them. */
export interface Histogram { log: boolean; low: number; high: number; counts: number[] }
export interface SampleFields {
  documents: number
  judged: number
  signals: Record<string, { values: number[]; histogram: Histogram }>
}
export interface Sample extends SampleFields {
  places: Record<string, Uint8Array>
  pages: Uint8Array | undefined
  /** By rule, what the languages' own rules of that name say. */
  own: Record<string, Uint8Array>
}
