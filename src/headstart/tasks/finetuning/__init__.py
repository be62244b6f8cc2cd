"""From a model and labelled examples to a task model."""
