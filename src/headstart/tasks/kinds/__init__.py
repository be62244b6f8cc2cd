"""One file for every kind of task."""
