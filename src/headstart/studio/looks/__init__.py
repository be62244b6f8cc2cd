"""What the worker process computes, a file a view: models and ids in, fields and arrays out."""
