"""Comparisons of speed and quality, run from the repository's root: `python -m benchmarks.decode.bench`."""
