"""Hashes of 64 bits, over whole arrays."""

import hashlib
from collections.abc import Iterable

import numpy as np


def hashes(texts: Iterable[str]) -> np.ndarray:
    """64 bits for each text."""
    digests = (hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest() for text in texts)
    return np.frombuffer(b"".join(digests), np.uint64)


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


def rolling(values: np.ndarray, size: int, base: int) -> np.ndarray:
    """One hash for each run of `size` values, a polynomial modulo 2^64; empty where there are fewer.

    Any run's hash comes from two prefix sums, because an odd base has an inverse.
    """
    count = len(values) - size + 1
    if count <= 0:
        return values[:0]
    sums = np.zeros(len(values) + 1, np.uint64)
    np.cumsum(values * _powers(base, len(values)), out=sums[1:])
    return scramble((sums[size:] - sums[:-size]) * _powers(pow(base, -1, 2**64), count))


def _powers(base: int, count: int) -> np.ndarray:
    factors = np.full(count, base, np.uint64)
    factors[0] = 1
    return np.multiply.accumulate(factors)
