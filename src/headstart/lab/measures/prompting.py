"""What examples in a prompt change: the likelier of the possible answers, with no weight moved."""

from collections.abc import Sequence

import numpy as np
import torch

from headstart.lab.measures.losses import causal_losses
from headstart.models.transformer import Transformer

Shown = Sequence[tuple[Sequence[int], int]]
"""Ids of an input, and of the single token of its answer."""


@torch.no_grad()
def right_after(
    model: Transformer,
    asked: Shown,
    shown: Shown,
    shots: int,
    options: Sequence[int],
    opening: Sequence[int],
    seed: int,
    wrong: bool = False,
) -> list[float]:
    """Of each asked input: 100 where the likeliest of `options` behind it is its answer.

    Args:
        shown: the examples of which `shots` stand before it, drawn anew for each.
        wrong: give the examples answers drawn by lot, which keeps form and words and takes away what is
            to be learned.
    """
    random = np.random.default_rng(seed)
    found = []
    for read, answer in asked:
        ids = list(opening)
        for number in random.permutation(len(shown))[:shots]:
            its, label = shown[number]
            ids += [*its, int(random.choice(options)) if wrong else label]
        scores = model.logits(model(torch.tensor([[*ids, *read]]))[:, -1:])[0, 0]
        best = options[int(scores[list(options)].argmax())]
        found.append(100.0 * (best == answer))
    return found


def repeated_gain(model: Transformer, vocabulary: Sequence[int], length: int, rows: int, seed: int) -> float:
    """By how many nats a token random tokens are easier to predict the second time that the row has them
    (Olsson et al. 2022: what induction heads do)."""
    once = np.random.default_rng(seed).choice(np.asarray(vocabulary), (rows, length))
    losses = causal_losses(model, np.concatenate([once, once], 1))  # [rows, 2 length - 1]
    return float(losses[:, : length - 1].mean() - losses[:, length:].mean())
