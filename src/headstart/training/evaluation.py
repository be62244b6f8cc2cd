"""The loss on held-out rows, whole and by domain."""

import math
from dataclasses import replace
from typing import NotRequired, Required, TypedDict

import torch

from headstart.training.data_loader import DataLoader
from headstart.training.distributed.parallel import ParallelContext
from headstart.training.events import DomainFigures


class Nearness(TypedDict, total=False):
    """How near a student is to its teacher."""

    layer_loss: float
    cosine: float


class HeldOutFigures(Nearness):
    """What an evaluation found, as its event tells it."""

    loss: Required[float]
    bits_per_byte: Required[float]
    targets: Required[int]
    domains: NotRequired[dict[str, DomainFigures]]


def held_out(
    data: DataLoader, layout: ParallelContext, piece_bytes: torch.Tensor, micro_rows: int
) -> HeldOutFigures:
    """Loss on the same held-out rows every time, in nats a target token and bits a byte.

    Args:
        data: has the rows and knows their domains.
        layout: has the model, in evaluation mode.
        piece_bytes: how many bytes each token of the vocabulary stands for, `[V]`.
        micro_rows: rows that are computed at once.
    """
    batch, domains = data.evaluation()
    batch = replace(batch, pair_positions=None)  # whether texts follow each other is no part of the text
    names = data.heldout.domains if domains is not None else []
    groups = torch.zeros(len(batch.targets), dtype=torch.long) if domains is None else domains
    sums = torch.zeros(max(len(names), 1))
    begin = 0
    for part in batch.split(micro_rows):
        behind = begin + len(part.targets)
        sums += layout.evaluate(part, groups[begin:behind], len(sums)).cpu()
        begin = behind
    sizes = torch.zeros(len(sums)).index_add(0, groups, piece_bytes[batch.targets].float())
    counts = torch.bincount(groups, minlength=len(sums))
    nats = float(sums.sum())
    figures: HeldOutFigures = {
        "loss": nats / len(batch.targets),
        "bits_per_byte": nats / math.log(2) / int(piece_bytes[batch.targets].sum()),
        "targets": len(batch.targets),
    }
    if len(names) > 1:
        figures["domains"] = {
            name: {
                "loss": float(sums[i]) / int(counts[i]),
                "bits_per_byte": float(sums[i]) / math.log(2) / max(float(sizes[i]), 1.0),
                "targets": int(counts[i]),
            }
            for i, name in enumerate(names)
            if counts[i]
        }
    return figures
