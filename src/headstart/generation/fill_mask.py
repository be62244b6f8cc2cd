"""Words into the gaps of a text."""

import math
import re
from typing import NamedTuple

import torch

from headstart.errors import HeadstartError
from headstart.generation.config import GenerationConfig
from headstart.generation.incremental import at_rest
from headstart.generation.sampling import NO_NUMBERS
from headstart.generation.text import generate
from headstart.interchange.model_folder import LoadedModel
from headstart.tokenizer.special import BLANKS

Answers = list[tuple[str, float]]
"""Tokens with their probabilities, the likeliest first. A blank before a token begins a word."""


class Candidate(NamedTuple):
    """What may stand in a gap."""

    token: str
    probability: float
    token_id: int | None
    """None: it is a span of several tokens."""


GAP = re.compile(r"<mask>|<extra_id_\d+>")
"""What stands for a gap in a text for an encoder-decoder with sentinels (T5)."""
LONGEST_SPAN = 16
"""Tokens that are written into a gap."""


def fill_mask(loaded: LoadedModel, text: str, count: int = 5) -> list[Answers]:
    """For each mask in `text`, in order, the `count` likeliest tokens; every mask while the others stay open.

    A mask is written as the model's own token: `[MASK]` for BERT, `<mask>` for RoBERTa and headstart. An
    encoder-decoder with sentinels (T5) writes a whole span into each `<mask>`, and gives the likeliest alone.

    Raises:
        HeadstartError: no mask in the text, or the model was not trained to fill gaps.
    """
    return [[(one.token, one.probability) for one in gap] for gap in fill_gaps(loaded, text, count)]


@torch.no_grad()
def fill_gaps(loaded: LoadedModel, text: str, count: int = 5) -> list[list[Candidate]]:
    """What `fill_mask` gives, with the ids of the tokens."""
    if loaded.head == "text-to-text" and loaded.tokenizer.special.sentinels:
        return _fill_spans(loaded, text)
    _must_fill(loaded)
    if count < 1:
        raise HeadstartError(f"count={count} is not possible; it has to be at least 1")
    model, tokenizer = loaded.model, loaded.tokenizer
    mask = tokenizer.special.mask
    if mask is None:
        raise HeadstartError(
            f"{tokenizer.path} has no mask token; get the tokenizer that belongs to the model"
        )
    token = tokenizer.token_text(mask)
    *before, last = text.split(token)
    if not before:
        raise HeadstartError(f"the text has no {token}; write it where a word is missing")
    gaps: list[int] = []
    ids: list[int] = []
    special = tokenizer.special
    before_mask = BLANKS if mask in special.strips_before else " "  # a blank belongs to the missing word
    for number, part in enumerate([*before, last]):
        part = part.lstrip(BLANKS) if number and mask in special.strips_behind else part
        part = part.rstrip(before_mask) if number < len(before) else part
        ids += tokenizer.encode_behind(part) if number else tokenizer.encode(part)
        ids += [mask] if number < len(before) else []
    framed, types = tokenizer.with_special(ids)
    gaps = [place for place, index in enumerate(framed) if index == mask]
    device = model.embedding.weight.device
    with at_rest(model):
        token_types = torch.tensor([types], device=device) if model.config.token_types else None
        hidden = model(torch.tensor([framed], device=device), token_types=token_types)  # [1, T, D]
        chances = model.logits(hidden[0, gaps]).float().softmax(-1)  # [gaps, V]
    if not chances.isfinite().all():
        raise HeadstartError(NO_NUMBERS)
    best, indices = chances[:, : tokenizer.vocab_size].topk(min(count, tokenizer.vocab_size))
    return [
        [
            Candidate(tokenizer.token_text(index), chance, index)
            for index, chance in zip(row, own, strict=True)
        ]
        for row, own in zip(indices.tolist(), best.tolist(), strict=True)
    ]


def _fill_spans(loaded: LoadedModel, text: str) -> list[list[Candidate]]:
    """The span that an encoder-decoder writes behind each sentinel (Raffel et al. 2020, section 3.1.4); a gap
    that it passes over has an empty one."""
    tokenizer, sentinels = loaded.tokenizer, loaded.tokenizer.special.sentinels
    first, *others = GAP.split(text)
    if not 1 <= len(others) <= len(sentinels):
        raise HeadstartError(
            f"the text has {len(others)} gaps, and this model fills 1 to {len(sentinels)}; write <mask> "
            "where words are missing"
        )
    ids = tokenizer.encode(first)
    for sentinel, part in zip(sentinels, others, strict=False):
        ids += [sentinel, *tokenizer.encode(part)]
    longest = (1 + LONGEST_SPAN) * len(others)
    config = GenerationConfig.of(
        loaded, temperature=0.0, beams=1, logprobs=True, max_new_tokens=longest, min_new_tokens=0
    )
    (written,) = generate(loaded, [tokenizer.with_special(ids)[0]], config)
    spans: list[list[int]] = [[] for _ in others]
    chances = [-math.inf] * len(others)
    gap = len(others)
    for token, logprob in zip(written.ids, written.logprobs or (), strict=True):
        if token in sentinels:
            gap = sentinels.index(token)
            if gap < len(others):
                chances[gap] = 0.0
        elif gap < len(others):
            spans[gap].append(token)
            chances[gap] += logprob
    return [
        [Candidate(tokenizer.decode(span), math.exp(chance), None)]
        for span, chance in zip(spans, chances, strict=True)
    ]


def _must_fill(loaded: LoadedModel) -> None:
    if loaded.head in ("masked", "pretraining"):
        return
    reason = {
        "causal": "it is a decoder, trained to go on from the left alone",
        "text-to-text": "it is an encoder-decoder, which writes its answer: use generate",
        "features": "it has no output over the vocabulary",
    }.get(loaded.head, f"it was fine-tuned for {loaded.head}, and its output is labels")
    raise HeadstartError(f"this model cannot fill gaps: {reason}; load a masked model")
