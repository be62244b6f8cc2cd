"""Text out of a causal model, and words into the gaps of a masked one."""
