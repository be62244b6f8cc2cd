"""Mixing: how much of each domain (or language) the corpus holds, and in which order its documents stand.

Both follow from one random number a document, drawn from the seed and the document's number, so that no step
needs to know of other documents than its own.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.corpus.hashing import draws
from headstart.corpus.recipe import Mix
from headstart.errors import HeadstartError, nearest

# Documents are drawn by bins of their random number: shares are met to a document, or 1/BINS of a domain.
BINS = 1 << 16
CHOICE, ORDER = 0, 16

HISTOGRAM = np.dtype([("group", "U64"), ("bin", np.int32), ("bytes", np.int64)])


def bins(documents: np.ndarray, seed: int) -> np.ndarray:
    """The bin from which each document is drawn."""
    return (draws(documents, seed, CHOICE) >> np.uint64(48)).astype(np.int64)


def histogram(groups: np.ndarray, sizes: np.ndarray, documents: np.ndarray, seed: int) -> np.ndarray:
    """Bytes by group and bin, as `HISTOGRAM`; bins that hold nothing are left out."""
    rows = np.zeros(len(groups), HISTOGRAM)
    rows["group"], rows["bin"], rows["bytes"] = groups, bins(documents, seed), sizes
    return added([rows])


def added(histograms: Iterable[np.ndarray]) -> np.ndarray:
    """Several histograms as one, ordered by group and bin."""
    rows = np.concatenate([np.zeros(0, HISTOGRAM), *histograms])
    keys, place = np.unique(rows[["group", "bin"]], return_inverse=True)
    total = np.zeros(len(keys), HISTOGRAM)
    total["group"], total["bin"] = keys["group"], keys["bin"]
    np.add.at(total["bytes"], place, rows["bytes"])
    return total


@dataclass(frozen=True)
class Amount:
    """How often the documents of a group occur: `rounds` times, and those below bin `more` once more."""

    rounds: int
    more: int


def choose(available: np.ndarray, mix: Mix) -> tuple[dict[str, Amount], dict[str, Any]]:
    """How much of each group the corpus takes, and the plan in bytes.

    Without shares every document occurs once. With shares, the total is `mix.bytes`, or else what the named
    groups hold; a group gets its share of it, but at most `max_repeats` times what it holds. Whole rounds
    come first; the last one takes documents in an order drawn from the seed until the target is reached. A
    temperature makes shares of what there is: `bytes ** temperature` (Conneau et al. 2020, section 3.1).

    Raises:
        HeadstartError: a share is set for a group that no document has.
    """
    held = {
        str(name): int(available["bytes"][available["group"] == name].sum())
        for name in np.unique(available["group"])
    }
    if not mix.shares and mix.bytes is None and mix.temperature is None:
        return {}, {}
    exponent = 1.0 if mix.temperature is None else mix.temperature
    shares: dict[str, float] = dict(mix.shares) or {
        name: float(size) ** exponent for name, size in held.items()
    }
    for name in shares:
        if name not in held:
            raise HeadstartError(f"mix.shares: no document has the {mix.by} {name!r}{nearest(name, held)}")
    total = mix.bytes or sum(held[name] for name in shares)
    amounts: dict[str, Amount] = {name: Amount(0, 0) for name in held}
    plan: dict[str, Any] = {}
    for name in sorted(shares):
        wanted = total * shares[name] / sum(shares.values())
        target = min(wanted, mix.max_repeats * held[name])
        rounds = int(target // max(held[name], 1))
        rows = available[available["group"] == name]
        rest = target - rounds * held[name]
        before = np.cumsum(rows["bytes"]) - rows["bytes"]
        taken = rows[before < rest]
        amounts[name] = Amount(rounds, int(taken["bin"][-1]) + 1 if len(taken) else 0)
        plan[name] = {
            "available": held[name],
            "wanted": round(wanted),
            "chosen": rounds * held[name] + int(taken["bytes"].sum()),
            "repeats": round(target / max(held[name], 1), 3),
        }
    return amounts, plan


def copies(groups: np.ndarray, documents: np.ndarray, amounts: dict[str, Amount], seed: int) -> np.ndarray:
    """How often each document occurs; without amounts, once."""
    if not amounts:
        return np.ones(len(documents), np.int64)
    bin_of = bins(documents, seed)
    count = np.zeros(len(documents), np.int64)
    for name, amount in amounts.items():
        members = groups == name
        count[members] = amount.rounds + (bin_of[members] < amount.more)
    return count


def order(documents: np.ndarray, copy: np.ndarray, seed: int) -> np.ndarray:
    """The number by which copies of documents are sorted: uniform in 0 to 2^64."""
    keys = np.zeros(len(documents), np.uint64)
    for which in np.unique(copy):
        keys[copy == which] = draws(documents[copy == which], seed, ORDER + int(which))
    return keys
