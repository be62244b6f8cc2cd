"""What every objective makes of token rows, and the one loss they share."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from headstart.models.config import TransformerConfig
from headstart.models.flops import training_flops
from headstart.models.parts.watch import Watch
from headstart.models.transformer import Transformer
from headstart.objectives.cross_entropy import cross_entropy_sum


@dataclass(frozen=True)
class Batch:
    """Rows to read and tokens to predict.

    `positions` counts through the flattened rows; the output head is computed there alone. In an
    encoder-decoder `ids` are the decoder's and `source` the encoder's; equal segments belong together.
    """

    ids: Tensor
    """`[B, T]` input ids."""
    segments: Tensor
    """`[B, T]` document numbers; attention stays inside a document, padding has the number -1."""
    positions: Tensor
    """`[N]` where a prediction is made, ascending."""
    targets: Tensor
    """`[N]` what is to be predicted there."""
    prefix: Tensor | None = None
    """`[B, T]` true for what all of a document sees, in a decoder."""
    source: Tensor | None = None
    """`[B, S]` ids that the encoder reads, in an encoder-decoder."""
    source_segments: Tensor | None = None
    """`[B, S]`"""
    token_types: Tensor | None = None
    """`[B, T]` 0 in the first text of a pair, 1 in the second."""
    pair_positions: Tensor | None = None
    """`[P]` where a pair begins, counted and ordered as `positions`."""
    pair_targets: Tensor | None = None
    """`[P]` 0: the second text follows the first in its document; 1: it is from another one."""
    pair_weight: Tensor | None = None
    """How many targets the loss of one pair counts for, a single number."""

    def rows(self, first: int, last: int) -> "Batch":
        """The part of the batch that rows `first` to `last` (excluded) hold."""
        start, stop = first * self.ids.shape[1], last * self.ids.shape[1]
        part: dict[str, Tensor] = {}
        for name in ("ids", "segments", "prefix", "source", "source_segments", "token_types"):
            if getattr(self, name) is not None:
                part[name] = getattr(self, name)[first:last]
        for places, answers in (("positions", "targets"), ("pair_positions", "pair_targets")):
            at = getattr(self, places)
            if at is not None:
                inside = (at >= start) & (at < stop)
                part[places], part[answers] = at[inside] - start, getattr(self, answers)[inside]
        return replace(self, **part)

    def split(self, rows: int) -> Iterator["Batch"]:
        """The batch in parts of at most that many rows."""
        for first in range(0, len(self.ids), rows):
            yield self.rows(first, first + rows)


def to_device(batch: Batch, device: torch.device) -> Batch:
    """The batch on a device; the copy goes on while the processor prepares the next."""
    fields = {name: value for name, value in vars(batch).items() if isinstance(value, Tensor)}
    return replace(batch, **{n: value.to(device, non_blocking=True) for n, value in fields.items()})


def join(parts: Sequence[Batch]) -> Batch:
    """One batch of the rows of several, which hold ids, segments and targets and nothing else."""
    before = np.cumsum([0, *(part.ids.numel() for part in parts)])
    return Batch(
        torch.cat([part.ids for part in parts]),
        torch.cat([part.segments for part in parts]),
        torch.cat([part.positions + int(n) for part, n in zip(parts, before, strict=False)]),
        torch.cat([part.targets for part in parts]),
    )


def generator(seed: int, step: int) -> np.random.Generator:
    """Randomness that depends on seed and step alone, so that a resumed run draws the same."""
    return np.random.Generator(np.random.Philox(key=np.array([seed, step], dtype=np.uint64)))


def hidden_states(model: Transformer, batch: Batch, watch: Watch | None = None) -> Tensor:
    """The model's hidden states of a batch, `[B, T, D]`.

    Args:
        watch: keeps what is computed on the way; see `headstart.models.observe`.
    """
    source = batch.source
    encoder_states = None if source is None else model.encode(source, batch.source_segments, watch)
    hidden: Tensor = model(
        batch.ids,
        batch.segments,
        token_types=batch.token_types,
        prefix=batch.prefix,
        encoder_states=encoder_states,
        encoder_segments=batch.source_segments,
        watch=watch,
    )
    return hidden


def batch_flops(config: TransformerConfig, batch: Batch) -> int:
    """Operations of a training step over a batch."""
    source = 0 if batch.source is None else batch.source.shape[1]
    return training_flops(config, batch.ids.numel(), batch.ids.shape[1], len(batch.targets), source)


def target_states(model: Transformer, batch: Batch, hidden: Tensor) -> Tensor:
    """What the output reads at the places of the targets, `[N, D]`, of hidden states `[B, T, D]`."""
    hidden = hidden.flatten(0, 1)  # [B*T, D]
    # Ascending places as many as tokens are all of them.
    whole = len(batch.positions) == len(hidden)
    return model.transform(hidden if whole else hidden.index_select(0, batch.positions))


def loss_sum(model: Transformer, batch: Batch, hidden: Tensor | None = None, **options: Any) -> Tensor:
    """Summed cross-entropy of the targets, in nats; `options` are those of `cross_entropy_sum`.

    Pairs add theirs times `pair_weight`: divided by the number of targets the sum is then the mean over
    targets plus the mean over pairs (Devlin et al. 2018, appendix A.2).

    Args:
        hidden: hidden states `[B, T, D]`; None: the model's.
    """
    hidden = hidden_states(model, batch) if hidden is None else hidden
    states = target_states(model, batch, hidden)
    cap = model.config.output_cap
    loss = cross_entropy_sum(
        states, model.output_weight, model.output_bias, batch.targets, cap=cap, **options
    )
    if batch.pair_positions is None:
        return loss
    assert model.next_sentence is not None
    assert batch.pair_targets is not None
    assert batch.pair_weight is not None
    answers = model.next_sentence(model.pooled(hidden.flatten(0, 1)[batch.pair_positions]))  # [P, 2]
    pairs = F.cross_entropy(answers.float(), batch.pair_targets, reduction="sum")
    return loss + batch.pair_weight * pairs


def to_batch(**arrays: np.ndarray) -> Batch:
    """A batch of torch tensors from numpy arrays, by the names of its fields."""
    return Batch(**{name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()})
