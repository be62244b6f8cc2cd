"""Claims about how models are trained."""
