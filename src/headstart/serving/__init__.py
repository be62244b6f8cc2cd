"""Models behind HTTP: the tasks of headstart, OpenAI's routes and those of text-embeddings-inference."""
