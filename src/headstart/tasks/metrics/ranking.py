"""How far up the right ones stand in a ranking."""

from collections.abc import Hashable, Sequence

from headstart.tasks.metrics.bootstrap import Measurement, mean


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
