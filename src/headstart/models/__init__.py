"""The Transformer stack, its parts and its families."""
