"""How many scores the loss holds at once; the planner of memory knows it without loading torch."""

LARGE = 2**25
"""Up to this many scores the plain way is as fast or faster, and takes less than half a gigabyte."""
CHUNK = 2**24
"""Scores in one chunk, 64 MiB in float32: with fewer, adding up the weights' gradient costs time."""
GPU_CHUNK = 2**28
"""The same on a GPU, which needs larger products to be busy."""
