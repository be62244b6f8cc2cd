"""From a page to its main text."""
