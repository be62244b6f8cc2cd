"""Claims about which model to choose."""
