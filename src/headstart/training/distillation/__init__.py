"""A small model that learns from a trained one: its states, their relations, its vectors of texts."""
