"""Fine-tuning, evaluation and prediction on labelled data."""
