"""A small task model that learns a larger one's answers to texts without labels."""
