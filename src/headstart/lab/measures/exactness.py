"""Whether models compute exactly what they are said to: likelihoods, causality, rotary distances."""

from collections.abc import Sequence

import torch
from torch import Tensor

from headstart.models.config import Rotary
from headstart.models.parts.cache import KeyValueCache
from headstart.models.parts.positions import rotary_table, rotate
from headstart.models.registry import FAMILIES, make_config
from headstart.models.transformer import Transformer, build

SIZES = {"layers": 2, "width": 64, "heads": 4, "feedforward_width": 256, "context": 96}
WRITING = tuple(
    name
    for name, family in FAMILIES.items()
    if family.objective in ("causal", "span-corruption", "denoising", "translation")
)
"""Families that write from left to right."""
DECODERS = tuple(name for name in WRITING if FAMILIES[name].fixed.get("architecture") == "decoder")
READING = tuple(name for name in FAMILIES if name not in WRITING)
"""Encoders."""


def small(family: str, seed: int, vocabulary: int, dtype: torch.dtype = torch.float32) -> Transformer:
    """A small model of a family with random weights."""
    return build(make_config(family, SIZES | {"vocab_size": vocabulary}), seed, dtype).eval()


@torch.no_grad()
def scores(model: Transformer, ids: Tensor, source: Tensor | None = None) -> Tensor:
    """Logits `[B, T, V]` of ids `[B, T]`; an encoder-decoder reads `source`, by default the same ids."""
    if model.config.architecture == "encoder-decoder":
        states = model.encode(ids if source is None else source)
        hidden = model(ids, encoder_states=states)
    else:
        hidden = model(ids)
    return model.logits(hidden).float()


@torch.no_grad()
def cached_scores(model: Transformer, ids: Tensor) -> Tensor:
    """The same token by token, each from the cache of those before."""
    cache = KeyValueCache()
    steps = [model.logits(model(ids[:, t : t + 1], cache=cache)) for t in range(ids.shape[1])]
    return torch.cat(steps, 1).float()


def log_likelihood(logits: Tensor, ids: Tensor) -> Tensor:
    """Summed log-probability of each row's tokens but the first, in float64: `[B]`."""
    found = logits[:, :-1].double().log_softmax(-1).gather(-1, ids[:, 1:, None])
    return found[..., 0].sum(1)


def chain_rule_deviation(model: Transformer, ids: Tensor, cached: bool) -> float:
    """Largest relative difference of a row's log-likelihood in one pass and as the sum of single steps.

    Args:
        cached: single steps read the keys and values of the tokens before; else each reads its whole prefix.
    """
    whole = log_likelihood(scores(model, ids), ids)
    if cached:
        stepwise = log_likelihood(cached_scores(model, ids), ids)
    else:
        stepwise = torch.zeros_like(whole)
        for end in range(1, ids.shape[1]):
            last = scores(model, ids[:, :end], ids)[:, -1].double().log_softmax(-1)
            stepwise += last.gather(-1, ids[:, end : end + 1])[:, 0]
    return float(((whole - stepwise) / whole).abs().max())


def change_of_the_past(model: Transformer, ids: Tensor, at: int, seed: int) -> float:
    """Largest change of any score before place `at` when all tokens from there on are replaced."""
    random = torch.Generator().manual_seed(seed)
    others = ids.clone()
    others[:, at:] = torch.randint(0, model.config.vocab_size, others[:, at:].shape, generator=random)
    before, after = scores(model, ids, ids), scores(model, others, ids)
    return float((before[:, :at] - after[:, :at]).abs().max())


def cache_deviation(model: Transformer, ids: Tensor) -> float:
    """Largest difference of a score from the cache and in one pass, over the largest score."""
    whole = scores(model, ids)
    return float((cached_scores(model, ids) - whole).abs().max() / whole.abs().max())


def rotary_shift_deviation(width: int, shifts: Sequence[int], seed: int, base: float = 10_000.0) -> float:
    """Largest change of a rotary attention score when query and key move by the same number of places,
    over the largest score: float32, distances up to 64."""
    random = torch.Generator().manual_seed(seed)
    query = torch.randn(1, 1, 65, width, generator=random)
    key = torch.randn(1, 1, 65, width, generator=random)

    def turned(shift: int) -> Tensor:
        table = rotary_table(torch.arange(shift, shift + 65), Rotary(width, base), torch.float32)
        return rotate(query, table) @ rotate(key, table).transpose(-1, -2)

    start = turned(0)
    return max(float((turned(shift) - start).abs().max() / start.abs().max()) for shift in shifts)
