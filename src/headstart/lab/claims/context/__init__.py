"""Static and contextual vectors."""
