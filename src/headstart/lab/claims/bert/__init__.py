"""Claims about BERT."""
