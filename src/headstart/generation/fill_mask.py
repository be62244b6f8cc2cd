"""Words into the gaps of a text."""

import torch

from headstart.errors import HeadstartError
from headstart.generation.reader import at_rest
from headstart.interchange.model_folder import LoadedModel

Answers = list[tuple[str, float]]
"""Tokens with their probabilities, the likeliest first. A blank before a token begins a word."""


@torch.no_grad()
def fill_mask(loaded: LoadedModel, text: str, count: int = 5) -> list[Answers]:
    """For each mask in `text`, in order, the `count` likeliest tokens; every mask while the others stay open.

    A mask is written as the model's own token: `[MASK]` for BERT, `<mask>` for RoBERTa and headstart.

    Raises:
        HeadstartError: no mask in the text, or the model is no encoder that was trained to fill gaps.
    """
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
    for part in before:
        ids += tokenizer.encode(part.rstrip(" "))  # the blank belongs to the word that is missing
        ids.append(mask)
    framed, types = tokenizer.with_special([*ids, *tokenizer.encode(last)])
    gaps = [place for place, index in enumerate(framed) if index == mask]
    device = model.embedding.weight.device
    with at_rest(model):
        token_types = torch.tensor([types], device=device) if model.config.token_types else None
        hidden = model(torch.tensor([framed], device=device), token_types=token_types)  # [1, T, D]
        chances = model.logits(hidden[0, gaps]).float().softmax(-1)  # [gaps, V]
    best, indices = chances[:, : tokenizer.vocab_size].topk(min(count, tokenizer.vocab_size))
    return [
        [(tokenizer.token_text(index), chance) for index, chance in zip(row, own, strict=True)]
        for row, own in zip(indices.tolist(), best.tolist(), strict=True)
    ]


def _must_fill(loaded: LoadedModel) -> None:
    if loaded.head in ("masked", "pretraining"):
        return
    reason = {
        "causal": "it is a decoder, trained to go on from the left alone",
        "text-to-text": "it is an encoder-decoder, which writes its answer: use generate",
    }.get(loaded.head, f"it was fine-tuned for {loaded.head}, and its output is labels")
    raise HeadstartError(f"this model cannot fill gaps: {reason}; load a masked model")
