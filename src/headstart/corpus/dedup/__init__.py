"""Copies: exact, near, repeated lines and runs of words, evaluation sets."""
