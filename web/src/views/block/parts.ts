/** What each part does, in words and as a formula. */
export const ABOUT: Record<string, { does: string; formula: string }> = {
  embedding: { does: 'Each token takes its row of a table: from here on it is a vector.', formula: 'x = E[token]' },
  positions: { does: 'Tells where a token stands.', formula: 'x = x + P[place]' },
  norm: { does: 'Brings the stream to a common scale before a part reads it, or after it has written.', formula: 'x / √(mean(x²) + ε) · g' },
  query: { does: 'What each token asks for, by head.', formula: 'q = W_q x' },
  key: { does: 'What each token offers to be found by.', formula: 'k = W_k x' },
  value: { does: 'What a token hands over when it is looked at.', formula: 'v = W_v x' },
  scores: { does: 'Every query meets every key; softmax makes shares of the scores.', formula: 'a = softmax(q kᵀ / √C)' },
  mix: { does: 'Values, by their shares: what each head has gathered.', formula: 'z = a v' },
  out: { does: 'The heads together, as one vector to be added to the stream.', formula: 'W_o z' },
  gate: { does: 'Decides for each inner number how much of it passes.', formula: 'g = σ′(W_g x)' },
  up: { does: 'Spreads a token over many inner numbers.', formula: 'u = W_u x' },
  down: { does: 'Brings them back to the width of the stream.', formula: 'W_d (g ⊙ u)' },
  head: { does: 'A dense layer and a norm before the vocabulary is scored.', formula: 'norm(act(W x))' },
  output: { does: 'Scores every token of the vocabulary.', formula: 'logits = E x' },
}
