"""Mixing: how much of each domain the corpus holds, and in which order its documents stand."""

from typing import Any

import numpy as np

from headstart.corpus.recipe import Mix
from headstart.errors import HeadstartError, nearest


def choose(domains: np.ndarray, sizes: np.ndarray, mix: Mix, seed: int) -> tuple[np.ndarray, dict[str, Any]]:
    """How often each document occurs in the corpus, and the plan per domain.

    Without shares every document occurs once. With shares, the total is `mix.bytes`, or else what the named
    domains hold; a domain gets its share of it, but at most `max_repeats` times what it holds. Whole rounds
    come first; the last one takes documents in an order drawn from the seed until the target is reached.

    Raises:
        HeadstartError: a share is set for a domain that no document has.
    """
    available = {str(name): int(sizes[domains == name].sum()) for name in np.unique(domains)}
    if not mix.shares and mix.bytes is None:
        return np.ones(len(sizes), np.int64), {}
    shares: dict[str, float] = dict(mix.shares) or {name: float(size) for name, size in available.items()}
    for name in shares:
        if name not in available:
            raise HeadstartError(f"mix.shares: no document has the domain {name!r}{nearest(name, available)}")
    total = mix.bytes or sum(available[name] for name in shares)
    copies = np.zeros(len(sizes), np.int64)
    plan: dict[str, Any] = {}
    for name in sorted(shares):
        wanted = total * shares[name] / sum(shares.values())
        target = min(wanted, mix.max_repeats * available[name])
        rounds = int(target // available[name])
        members = np.flatnonzero(domains == name)
        members = members[np.random.default_rng([seed, 1]).permutation(len(members))]
        before = np.cumsum(sizes[members]) - sizes[members]
        copies[members] = rounds
        copies[members[before < target - rounds * available[name]]] += 1
        plan[name] = {
            "available": available[name],
            "wanted": round(wanted),
            "chosen": int((sizes[members] * copies[members]).sum()),
            "repeats": round(target / available[name], 3),
        }
    return copies, plan


def order(copies: np.ndarray, seed: int) -> np.ndarray:
    """The documents' indices, each as often as it occurs, in an order drawn from the seed."""
    entries = np.repeat(np.arange(len(copies)), copies)
    return entries[np.random.default_rng([seed, 2]).permutation(len(entries))]
