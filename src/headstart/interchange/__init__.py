"""Model folders that the Hugging Face ecosystem reads."""
