"""See the beginning of a document at once, predict the rest (Raffel et al. 2020, section 3.2.1)."""

import numpy as np

from headstart.objectives.batch import Batch, to_batch
from headstart.objectives.rows import document_starts


def prefix_batch(ids: np.ndarray, segments: np.ndarray, random: np.random.Generator) -> Batch:
    """Targets as in the causal objective, but only behind a prefix of each document.

    The prefix holds from one token to all but one, each number as likely as the others. Its tokens see
    each other in both directions; its last one predicts the first target.

    Args:
        ids, segments: `[B, T + 1]`; the last column is only a target.
    """
    starts = document_starts(segments).reshape(-1)
    document = np.cumsum(starts) - 1  # [B * (T + 1)]
    lengths = np.bincount(document)
    visible = 1 + random.integers(0, np.maximum(lengths - 1, 1))  # of each document
    place = np.arange(len(starts)) - np.flatnonzero(starts)[document]
    prefix = (place < visible[document]).reshape(ids.shape)
    scored = (segments[:, 1:] == segments[:, :-1]) & ~prefix[:, 1:]  # [B, T]
    positions = np.flatnonzero(scored)
    return to_batch(
        ids=ids[:, :-1],
        segments=segments[:, :-1],
        positions=positions,
        targets=ids[:, 1:].reshape(-1)[positions],
        prefix=prefix[:, :-1],
    )
