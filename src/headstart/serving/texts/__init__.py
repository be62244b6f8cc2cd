"""Routes that write: completions, conversations, and the tokens of both."""
