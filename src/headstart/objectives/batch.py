"""What every objective makes of token rows, and the one loss they share."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from headstart.models.transformer import Transformer


@dataclass(frozen=True)
class Batch:
    """Rows to read and tokens to predict.

    `positions` counts through the flattened rows; the output head is computed there alone.
    """

    ids: Tensor
    """`[B, T]` input ids."""
    segments: Tensor
    """`[B, T]` document numbers; attention stays inside a document."""
    positions: Tensor
    """`[N]` where a prediction is made."""
    targets: Tensor
    """`[N]` what is to be predicted there."""

    def rows(self, first: int, last: int) -> "Batch":
        """The part of the batch that rows `first` to `last` (excluded) hold."""
        width = self.ids.shape[1]
        inside = (self.positions >= first * width) & (self.positions < last * width)
        return Batch(
            self.ids[first:last],
            self.segments[first:last],
            self.positions[inside] - first * width,
            self.targets[inside],
        )

    def split(self, rows: int) -> Iterator["Batch"]:
        """The batch in parts of at most that many rows."""
        for first in range(0, len(self.ids), rows):
            yield self.rows(first, first + rows)


def generator(seed: int, step: int) -> np.random.Generator:
    """Randomness that depends on seed and step alone, so that a resumed run draws the same."""
    return np.random.Generator(np.random.Philox(key=np.array([seed, step], dtype=np.uint64)))


def loss_sum(model: Transformer, batch: Batch) -> Tensor:
    """Summed cross-entropy of the targets, in nats."""
    hidden = model(batch.ids, batch.segments)  # [B, T, D]
    logits = model.logits(hidden.flatten(0, 1)[batch.positions])  # [N, V]
    return F.cross_entropy(logits.float(), batch.targets, reduction="sum")


def to_batch(ids: np.ndarray, segments: np.ndarray, positions: np.ndarray, targets: np.ndarray) -> Batch:
    """A batch of torch tensors from numpy arrays."""
    return Batch(*(torch.from_numpy(np.ascontiguousarray(a)) for a in (ids, segments, positions, targets)))
