"""Words, languages and hashes of a text."""
