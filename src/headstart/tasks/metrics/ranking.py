"""How far up the right ones stand in a ranking."""

from collections.abc import Hashable, Sequence

import numpy as np

from headstart.tasks.metrics.bootstrap import Measurement, mean

CHUNK = 1024
"""Texts compared with all others at once."""


def recall_at(k: int, relevant: Sequence[set[Hashable]], ranked: Sequence[Sequence[Hashable]]) -> Measurement:
    """Mean share of what is relevant to a question among the first `k` of its ranking.

    Args:
        relevant: what would be right, one at least for each question.
        ranked: what was found, the best first, nothing twice.
    """
    found = [
        len(right.intersection(order[:k])) / len(right) for right, order in zip(relevant, ranked, strict=True)
    ]
    return mean(f"recall@{k}", found)


def reciprocal_rank(relevant: Sequence[set[Hashable]], ranked: Sequence[Sequence[Hashable]]) -> Measurement:
    """Mean of 1 / rank of the first relevant one; 0 where there is none."""
    values = [
        next((1 / rank for rank, one in enumerate(order, 1) if one in right), 0.0)
        for right, order in zip(relevant, ranked, strict=True)
    ]
    return mean("reciprocal rank", values)


def partner_found(vectors: Sequence[np.ndarray]) -> Measurement:
    """Share of texts whose partner is nearer than every other's: recall@1 with one right answer each.

    Args:
        vectors: of each pair the two vectors `[2, D]`, of length 1.
    """
    return mean("recall@1", _partner_ranks(vectors) == 1)


def partner_rank(vectors: Sequence[np.ndarray]) -> Measurement:
    """Mean of 1 / rank of the partner among all partners; see `partner_found`."""
    return mean("reciprocal rank", 1 / _partner_ranks(vectors))


def similarities(vectors: Sequence[np.ndarray]) -> np.ndarray:
    """The cosine of each pair of vectors `[2, D]` of length 1: `[pairs]`."""
    return np.array([first @ second for first, second in vectors])


def _partner_ranks(vectors: Sequence[np.ndarray]) -> np.ndarray:
    """How far up the second vector of each pair stands among all second ones for the first: `[pairs]`."""
    first, second = np.stack(vectors, axis=1)  # [pairs, D] each
    ranks = [
        (scores >= scores[np.arange(len(scores)), start + np.arange(len(scores))][:, None]).sum(1)
        for start in range(0, len(first), CHUNK)
        for scores in [first[start : start + CHUNK] @ second.T]  # [chunk, pairs]
    ]
    return np.concatenate(ranks)
