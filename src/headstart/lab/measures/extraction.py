"""What a model writes out word for word, and how well it knows passages."""

from collections.abc import Sequence

import numpy as np
import torch

from headstart.lab.measures.losses import causal_losses
from headstart.models.transformer import Transformer


@torch.no_grad()
def written_out(
    model: Transformer, passages: Sequence[Sequence[int]], shown: int, start: Sequence[int]
) -> np.ndarray:
    """Whether a model, shown the first `shown` tokens, writes all others, the likeliest token each time:
    `[N]`."""
    ids = torch.tensor([[*start, *passage] for passage in passages])
    begin = len(start) + shown
    written = ids[:, :begin]
    while written.shape[1] < ids.shape[1]:
        best = model.logits(model(written)[:, -1:]).argmax(-1)  # [N, 1]
        written = torch.cat((written, best), 1)
    return (written == ids).all(1).numpy()


def nats_behind(
    model: Transformer, passages: Sequence[Sequence[int]], shown: int, start: Sequence[int]
) -> np.ndarray:
    """Mean nats of the tokens behind the first `shown` ones of every passage: `[N]`."""
    ids = np.array([[*start, *passage] for passage in passages], np.int64)
    found: np.ndarray = causal_losses(model, ids)[:, len(start) + shown - 1 :].mean(1)
    return found
