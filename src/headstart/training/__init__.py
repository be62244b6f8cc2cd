"""The pre-training loop and what it writes."""
