"""Predict every next token from the ones before it (Radford et al. 2018, eq. 1)."""

import numpy as np

from headstart.objectives.batch import Batch, to_batch


def causal_batch(ids: np.ndarray, segments: np.ndarray) -> Batch:
    """Shifted targets: the token at t + 1 is the target of position t, inside one document.

    Args:
        ids, segments: `[B, T + 1]`; the last column is only a target.
    """
    inside = segments[:, 1:] == segments[:, :-1]  # [B, T]
    positions = np.flatnonzero(inside)
    return to_batch(
        ids=ids[:, :-1],
        segments=segments[:, :-1],
        positions=positions,
        targets=ids[:, 1:].reshape(-1)[positions],
    )
