"""How good a model is: labels, perplexity, likelihood tasks, prompting."""
