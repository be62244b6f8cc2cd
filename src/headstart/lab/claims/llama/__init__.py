"""Claims about Llama, and the tables of all models."""
