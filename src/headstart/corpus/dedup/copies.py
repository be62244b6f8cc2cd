"""How many documents of the raw data each one stands for, exact and near copies and itself included.

Both kinds are pairs of a document that went and the one that stays, in ranges by the one that went. What is
summed for a range comes from all of them.
"""

import numpy as np

from headstart.corpus.dedup.deduplicate import PAIR
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
    pairs = _pairs(work, NEAR, one)
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


def _summed(work: Work, one: int, kind: str, known: np.ndarray) -> np.ndarray:
    """What is known of a range's documents and what files of a kind add; only of those above one."""
    span = work.span(one)
    for path in work.files(kind):
        rows = between([path], "document", LABEL, span)
        known[rows["document"] - span.start] += rows["label"]
    found = np.flatnonzero(known > 1)
    return labelled(found + span.start, known[found])
