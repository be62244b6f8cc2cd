"""Claims about training data."""
