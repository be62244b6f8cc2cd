"""Words, languages, exponents and hashes of a text."""
