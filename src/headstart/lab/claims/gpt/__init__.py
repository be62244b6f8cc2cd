"""Claims about GPT."""
