"""Hashes of 64 bits, over whole arrays."""

import numpy as np


def scramble(values: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64 (Steele 2014): every input bit reaches every output bit."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def draws(numbers: np.ndarray, seed: int, stream: int) -> np.ndarray:
    """A 64-bit random number for each of some numbers, the same whoever asks.

    Args:
        numbers: what the draws belong to, as documents.
        seed: the recipe's.
        stream: tells apart what the draws are for.
    """
    start = scramble(np.array([(seed << 8) + stream + 1], np.uint64))
    return scramble(scramble(numbers.astype(np.uint64) + np.uint64(1)) ^ start)
