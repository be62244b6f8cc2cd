"""Batches and losses: how raw token rows become something to learn from."""
