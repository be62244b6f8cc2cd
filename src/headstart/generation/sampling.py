"""From logits to the next token: every step a pure function.

B rows, V vocabulary. Functions of logits take any leading shape, `[..., V]`.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from headstart.errors import HeadstartError
from headstart.generation.config import GenerationConfig, ModelIds

NEVER = float("-inf")
NO_NUMBERS = (
    "the model's outputs are NaN, so that it says nothing; it was trained too fast, or its weights are "
    "damaged: make or get it again, or try --precision float32"
)

NO_PROBABILITIES = (
    "the model gives no probabilities, since its weights hold infinity; make or get it again, or try "
    "--precision float32"
)
NO_TOKEN = (
    "every token is forbidden here: one setting asks for what another one forbids, such as a shortest length "
    "where a schema ends; change one of them, or the model's generation_config.json"
)


def constrain(
    logits: Tensor,
    prompts: Sequence[Sequence[int]],
    written: Sequence[Sequence[int]],
    config: GenerationConfig,
    ids: ModelIds,
    longest: int,
) -> Tensor:
    """Logits `[B, V]` after penalties, without the tokens that may not come next.

    Args:
        prompts: what each row read before its first own token; in an encoder-decoder the start token.
        written: what each row has written.
        longest: how many tokens may be written; the last one may be fixed.

    Raises:
        HeadstartError: the logits are no numbers.
    """
    if logits.isnan().any():
        raise HeadstartError(NO_NUMBERS)
    logits = logits.clone()
    stop = sorted(ids.stop)
    for row, (prompt, own) in enumerate(zip(prompts, written, strict=True)):
        if config.repetition_penalty != 1:
            logits[row] = penalise_repeats(logits[row], [*prompt, *own], config.repetition_penalty)
        if config.frequency_penalty or config.presence_penalty:
            logits[row] = penalise_counts(logits[row], own, config.frequency_penalty, config.presence_penalty)
        if config.no_repeat_ngram:
            logits[row, repeating([*prompt, *own], config.no_repeat_ngram)] = NEVER
        if len(own) < config.min_new_tokens:
            logits[row, stop] = NEVER
    for row, (prompt, own) in enumerate(zip(prompts, written, strict=True)):
        for (*before, last), bias in ids.biases:
            if not before or [*prompt, *own][-len(before) :] == before:
                logits[row, last] += bias
        if ids.not_first and len(own) == (ids.first is not None):
            logits[row, list(ids.not_first)] = NEVER
    logits[:, list(ids.never)] = NEVER
    for row, own in enumerate(written):
        forced = ids.last if len(own) == longest - 1 else None
        if forced is None and not own:
            forced = ids.first
        if forced is not None:
            logits[row] = NEVER
            logits[row, forced] = 0.0
    highest = logits.amax(-1)
    if not highest.isfinite().all():
        raise HeadstartError(NO_PROBABILITIES if (highest > 0).any() else NO_TOKEN)
    return logits


def penalise_repeats(logits: Tensor, seen: Sequence[int], penalty: float) -> Tensor:
    """Logits `[V]` with those of seen tokens divided by `penalty`, or multiplied where they are negative.

    Keskar et al. 2019, section 4.1, in the form that transformers made usual.
    """
    seen_ids = torch.tensor(sorted(set(seen)), device=logits.device, dtype=torch.long)
    chosen = logits[seen_ids]
    return logits.index_copy(0, seen_ids, torch.where(chosen < 0, chosen * penalty, chosen / penalty))


def penalise_counts(logits: Tensor, written: Sequence[int], frequency: float, presence: float) -> Tensor:
    """Logits `[V]` less `frequency` for each time that a token was written and `presence` for the first."""
    ids = torch.tensor(written, device=logits.device, dtype=torch.long)
    counts = torch.bincount(ids, minlength=len(logits))
    return logits - counts * frequency - (counts > 0) * presence


def repeating(ids: Sequence[int], size: int) -> list[int]:
    """The tokens that would end a run of `size` tokens that is in `ids` already."""
    ending = tuple(ids[len(ids) - size + 1 :])
    return [ids[end] for end in range(size - 1, len(ids)) if tuple(ids[end - size + 1 : end]) == ending]


def keep_top_k(logits: Tensor, count: int) -> Tensor:
    """All but the `count` largest become -inf; 0 keeps all. What equals the last one kept is kept too."""
    if not 0 < count < logits.shape[-1]:
        return logits
    return logits.masked_fill(logits < logits.topk(count).values[..., -1:], NEVER)


def keep_top_p(logits: Tensor, share: float) -> Tensor:
    """All but the likeliest that together reach probability `share` become -inf (Holtzman et al. 2020)."""
    if share >= 1:
        return logits
    possible = int((logits > NEVER).sum(-1).max())  # few after top-k; sorting a whole vocabulary takes long
    ordered = logits.topk(possible).values
    chances = ordered.softmax(-1)
    likelier = chances.cumsum(-1) - chances  # the probability of all that are likelier
    least = ordered.masked_fill(likelier >= share, float("inf")).amin(-1, keepdim=True)
    return logits.masked_fill(logits < least, NEVER)


def keep_min_p(logits: Tensor, share: float) -> Tensor:
    """All with less than `share` of the likeliest one's probability become -inf (Nguyen et al. 2024)."""
    if share <= 0:
        return logits
    return logits.masked_fill(logits < logits.amax(-1, keepdim=True) + math.log(share), NEVER)


def draw(logits: Tensor, uniforms: Tensor) -> Tensor:
    """One token a row, `[B]`, by its probability under logits `[B, V]`.

    Args:
        uniforms: a number from [0, 1) for each row, `[B]`: where in the cumulative distribution to draw.
    """
    cumulative = logits.double().softmax(-1).cumsum(-1)
    total = cumulative[:, -1:].contiguous()
    found = torch.searchsorted(cumulative, uniforms.double()[:, None] * total, right=True)
    last = torch.searchsorted(cumulative, total)  # that has any probability; rounding may lead beyond it
    return torch.minimum(found, last)[:, 0]


def choose(logits: Tensor, config: GenerationConfig, uniforms: Sequence[float]) -> Tensor:
    """The next token of each row, `[B]`, from constrained logits `[B, V]`.

    The order is that of transformers: temperature, top-k, top-p, min-p. (Top-k commutes with temperature
    and makes the rest cheaper.)
    """
    if config.temperature == 0:
        return logits.argmax(-1)
    logits = keep_top_k(logits, config.top_k)
    # The difference first, and in double: a tiny temperature overflows.
    logits = (logits - logits.amax(-1, keepdim=True)).double() / config.temperature
    logits = keep_min_p(keep_top_p(logits, config.top_p), config.min_p)
    return draw(logits, torch.tensor(uniforms, device=logits.device, dtype=torch.double))
