"""What each token of a text is worth to each other one: measured by taking it away.

Attention says where a head looks; this says what the model's answer rests on. Every number is a difference
of two log-probabilities of the true token, in nats: above zero the token helped, below it misled.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from headstart.errors import HeadstartError
from headstart.generation.incremental import at_rest
from headstart.interchange.model_folder import LoadedModel
from headstart.models.transformer import Transformer
from headstart.objectives.batch import Batch, hidden_states

BATCH_TOKENS = 4096
"""Tokens computed at once."""


@torch.no_grad()
def influence_by_hiding(loaded: LoadedModel, ids: list[int]) -> tuple[Tensor, Tensor]:
    """Of an encoder: how much likelier token i, itself hidden, becomes by seeing token j.

    A text of T ordinary tokens costs T (T + 1) / 2 rows: each token hidden alone, and each pair.

    Args:
        ids: a text with its special tokens, `[T]`.

    Returns:
        `[j, i]` in nats, `[T, T]`; NaN for special tokens and on the diagonal. And the loss of each token
        hidden alone, `[T]` (Salazar et al. 2020), NaN for special tokens.

    Raises:
        HeadstartError: the tokenizer has no mask.
    """
    model, special = loaded.model, loaded.tokenizer.special
    if special.mask is None:
        raise HeadstartError(
            f"{loaded.tokenizer.path} has no mask token; get the tokenizer that belongs to the model"
        )
    whole = torch.tensor(ids)
    ordinary = [place for place, index in enumerate(ids) if index not in special.all]
    pairs = [(i, i) for i in ordinary] + [(i, j) for i in ordinary for j in ordinary if i < j]
    losses = torch.full((len(ids), len(ids)), math.nan, dtype=torch.float64)  # of i where j is hidden too
    with at_rest(model):
        for some in _parts(torch.tensor(pairs).reshape(-1, 2), len(ids)):  # [B, 2]
            rows = torch.arange(len(some))[:, None]
            hidden_ids = whole.repeat(len(some), 1)
            hidden_ids[rows, some] = special.mask
            scores = model.logits(model(hidden_ids)[rows, some]).float()  # [B, 2, V]
            loss = _losses(scores, whole[some])
            losses[some[:, 1], some[:, 0]] = loss[:, 0]
            losses[some[:, 0], some[:, 1]] = loss[:, 1]
    alone = losses.diagonal().clone()
    influence = losses - alone
    influence.fill_diagonal_(math.nan)
    return influence, alone


@torch.no_grad()
def influence_by_deleting(loaded: LoadedModel, ids: list[int]) -> tuple[Tensor, Tensor]:
    """Of a decoder: how much likelier token i becomes by token j before it, which is deleted to tell.

    Returns:
        `[j, i]` in nats, `[T, T]`, NaN where j does not stand before i; and the loss of each token given
        those before, `[T]`, NaN for the first.
    """
    model, whole = loaded.model, torch.tensor(ids)
    special = set(loaded.tokenizer.special.all)
    alone = torch.full((len(ids),), math.nan, dtype=torch.float64)
    influence = torch.full((len(ids), len(ids)), math.nan, dtype=torch.float64)
    places = [place for place in range(1, len(ids) - 1) if ids[place] not in special]
    with at_rest(model):
        alone[1:] = _losses(model.logits(model(whole[None])[0, :-1]).float(), whole[1:])
        for some in _parts(torch.tensor(places, dtype=torch.long), len(ids)):
            kept = torch.stack([torch.cat((whole[:j], whole[j + 1 :])) for j in some.tolist()])
            scores = model.logits(model(kept)[:, :-1]).float()  # [B, T - 2, V]
            loss = _losses(scores, kept[:, 1:])  # of the tokens at 1 .. T - 2 of the shorter row
            for row, j in enumerate(some.tolist()):
                influence[j, j + 1 :] = loss[row, j - 1 :] - alone[j + 1 :]
    return influence, alone


@torch.no_grad()
def influence_of_source(model: Transformer, batch: Batch, places: list[int]) -> Tensor:
    """Of an encoder-decoder: how much likelier each target becomes by a token of the source, which is deleted
    to tell.

    Args:
        batch: one row, with its targets.
        places: of the source's tokens that are deleted in turn.

    Returns:
        `[S, N]` in nats, NaN for places that were not asked for.
    """
    assert batch.source is not None
    assert batch.source_segments is not None
    whole = _target_losses(model, batch)
    influence = torch.full((batch.source.shape[1], len(batch.targets)), math.nan, dtype=torch.float64)
    for place in places:
        kept = torch.arange(batch.source.shape[1]) != place
        shorter = Batch(
            batch.ids, batch.segments, batch.positions, batch.targets,
            source=batch.source[:, kept], source_segments=batch.source_segments[:, kept],
        )  # fmt: skip
        influence[place] = _target_losses(model, shorter) - whole
    return influence


def _target_losses(model: Transformer, batch: Batch) -> Tensor:
    with at_rest(model):
        hidden = hidden_states(model, batch).flatten(0, 1)[batch.positions]
        return _losses(model.logits(hidden).float(), batch.targets)


def _losses(scores: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy in nats of targets `[...]` under scores `[..., V]`."""
    flat = F.cross_entropy(scores.flatten(0, -2), targets.flatten(), reduction="none")
    return flat.double().view_as(targets)


def _parts(items: Tensor, length: int) -> tuple[Tensor, ...]:
    """Items in parts whose rows of `length` tokens are computed at once."""
    return items.split(max(1, BATCH_TOKENS // length)) if len(items) else ()
