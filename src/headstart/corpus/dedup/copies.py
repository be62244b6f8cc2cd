"""How many documents of the raw data each one stands for, exact and near copies and itself included.

Both kinds are pairs of a document that went and the one that stays, in ranges by the one that went. What is
summed for a range comes from all of them.
"""

import numpy as np
import pyarrow.parquet as pq

from headstart.corpus.dedup import deduplicate
from headstart.corpus.dedup.deduplicate import PAIR
from headstart.corpus.removals import removed_by
from headstart.corpus.work import LABEL, Made, Work, between, labelled, load, step

SAME, NEAR, COPIES = "exact arranged", "near", "copies"


@step("exact copies")
def exact_copies(work: Work, one: int) -> Made:
    """How many exact duplicates among a range's documents went for each document that stays."""
    kept, counts = np.unique(_pairs(work, SAME, one)["kept"], return_counts=True)
    return labelled(kept, counts)


@step("stands for")
def stands_for(work: Work, one: int) -> Made:
    """How many documents each one of a range stands for without near duplicates, if it is not one."""
    return _summed(work, one, "exact copies", np.ones(len(work.span(one)), np.int64))


@step("near copies")
def near_copies(work: Work, one: int) -> Made:
    """How many documents went for each document that stays with the near duplicates of a range."""
    pairs = _gone(work, one)
    weights = work.looked_up("stands for", pairs["gone"], np.ones(len(pairs), np.int64))
    kept, at = np.unique(pairs["kept"], return_inverse=True)
    return labelled(kept, np.bincount(at, weights, len(kept)).astype(np.int64))


@step(COPIES)
def copies(work: Work, one: int) -> Made:
    """How many documents each one of a range stands for, if it is not itself alone."""
    span = work.span(one)
    alone, before = np.ones(len(span), np.int64), load(work.path("stands for", one))
    alone[before["document"] - span.start] = before["label"]
    return _summed(work, one, "near copies", alone)


def _pairs(work: Work, kind: str, one: int) -> np.ndarray:
    """The pairs of a range; none where the recipe does not look for them."""
    path = work.path(kind, one)
    return load(path) if path.exists() else np.zeros(0, PAIR)


def _gone(work: Work, one: int) -> np.ndarray:
    """The near duplicates of a range but those that `near_duplicates.check` found not alike enough."""
    pairs, span = _pairs(work, NEAR, one), work.span(one)
    if work.recipe.near_duplicates.check is None or not len(pairs):
        return pairs
    first, last = np.searchsorted(work.starts, [max(span.start, 0), span.stop - 1], "right") - 1
    gone = [
        pq.read_table(work.path(removed_by(deduplicate.NEAR), task, "parquet"), columns=["place"])["place"]
        .to_numpy() + work.starts[task]
        for task in range(first, last + 1)
    ]  # fmt: skip
    return pairs[np.isin(pairs["gone"], np.concatenate([np.zeros(0, np.int64), *gone]))]


def _summed(work: Work, one: int, kind: str, known: np.ndarray) -> np.ndarray:
    """What is known of a range's documents and what files of a kind add; only of those above one."""
    span = work.span(one)
    for path in work.files(kind):
        rows = between([path], "document", LABEL, span)
        known[rows["document"] - span.start] += rows["label"]
    found = np.flatnonzero(known > 1)
    return labelled(found + span.start, known[found])
