"""What a model costs, counted before it is trained."""
