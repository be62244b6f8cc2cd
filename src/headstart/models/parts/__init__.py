"""The parts of a Transformer block, each a few lines, with shapes.

B batch, T time (queries), S time (keys), D width, H query heads, K key-value heads, C head width,
F feed-forward width.

Weights are kept in float32. Activations may be bfloat16: every part casts its weights to the
dtype of what comes in, so precision is decided once, where tokens are embedded.
"""
