"""Held-out documents that stand in the training text too: a loss on them flatters.

A document is held out by a hash of its id, so that a near copy of it may be trained on. What counts is the
share of its tokens that lie in a run of `RUN` tokens that the training text has, too.
"""

from collections.abc import Iterable, Sequence

import numpy as np

RUN = 20
"""Tokens in a row: shorter runs are common phrases."""
CHUNK = 1 << 20
_STEP = np.uint64(0x9E3779B97F4A7C15)


def run_hashes(ids: np.ndarray) -> np.ndarray:
    """A 64-bit hash of every run of `RUN` neighbouring tokens: `[N - RUN + 1]` for ids `[N]`."""
    if len(ids) < RUN:
        return np.empty(0, np.uint64)
    mixed = _mixed(ids.astype(np.uint64))
    count = len(ids) - RUN + 1
    found = np.zeros(count, np.uint64)
    with np.errstate(over="ignore"):
        for place in range(RUN):  # h = (((t0 s + t1) s + t2) s + ...) modulo 2^64
            found = found * _STEP + mixed[place : place + count]
    return found


def _mixed(values: np.ndarray) -> np.ndarray:
    """Neighbouring ids to numbers that have nothing in common (splitmix64, Steele et al. 2014)."""
    with np.errstate(over="ignore"):
        values = (values + np.uint64(1)) * _STEP
        values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def shares_in_training(heldout: Sequence[np.ndarray], training: Iterable[np.ndarray]) -> np.ndarray:
    """For each held-out document, the share of its tokens in runs that the training text has: `[documents]`.

    Args:
        heldout: the ids of each document.
        training: the ids of its shards, which are read once, in pieces.
    """
    hashes = [run_hashes(ids) for ids in heldout]
    # Sorted by hand: `np.unique` of integers goes through a hash table, which takes ten times as long.
    wanted = np.sort(np.concatenate(hashes)) if hashes else np.empty(0, np.uint64)
    seen = np.zeros(len(wanted), bool)
    if len(wanted):
        for shard in training:
            for start in range(0, len(shard), CHUNK):
                found = np.sort(run_hashes(np.asarray(shard[start : start + CHUNK + RUN - 1])))
                if len(found):
                    at = np.searchsorted(found, wanted)
                    seen |= found[np.minimum(at, len(found) - 1)] == wanted
    shares = np.zeros(len(heldout))
    for number, (ids, own) in enumerate(zip(heldout, hashes, strict=True)):
        begins = np.flatnonzero(seen[np.searchsorted(wanted, own)]) if len(own) else np.empty(0, np.int64)
        if len(begins):
            change = np.zeros(len(ids) + 1, np.int64)
            np.add.at(change, begins, 1)
            np.add.at(change, begins + RUN, -1)
            shares[number] = float((np.cumsum(change)[:-1] > 0).mean())
    return shares
