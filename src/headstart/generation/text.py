"""Text out of a causal model, one token after another."""

import torch
from torch import Tensor

from headstart.errors import HeadstartError
from headstart.models.parts import KeyValueCache
from headstart.models.transformer import Transformer
from headstart.tokenizer.bpe import END_ID, MASK, MASK_ID, SPECIAL, START_ID, Tokenizer


@torch.no_grad()
def generate(
    model: Transformer,
    tokenizer: Tokenizer,
    prompt: str,
    max_new_tokens: int = 60,
    temperature: float = 0.8,
    top_k: int = 50,
    seed: int = 0,
) -> str:
    """Continue `prompt`; returns the continuation alone.

    Args:
        max_new_tokens: stop there, if the model has not ended the text before.
        temperature: divides the logits; 0 always takes the likeliest token.
        top_k: only that many likeliest tokens can be drawn.
        seed: the same seed draws the same text.

    Raises:
        HeadstartError: the model is no causal one, or a setting is out of range.
    """
    if model.config.architecture != "decoder":
        raise HeadstartError(
            "an encoder cannot generate: it was trained to fill gaps with both sides in view, not to go on "
            "from the left; use a causal model, or fill-mask"
        )
    if temperature < 0 or top_k < 1 or max_new_tokens < 1:
        raise HeadstartError("temperature must not be negative; top_k and max_new_tokens must be at least 1")
    random = torch.Generator().manual_seed(seed)
    cache = KeyValueCache()
    context = model.config.context
    ids = [START_ID, *tokenizer.encode(prompt)]
    written: list[int] = []
    unread = ids[-context:]
    while len(written) < max_new_tokens:
        # A model is only good for rows as long as those it was trained on: when one is full, start another
        # with the second half of it.
        if cache.length + len(unread) > context:
            cache, unread = KeyValueCache(), [*ids, *written][-max(1, context // 2) :]
        hidden = model(torch.tensor([unread]), cache=cache)  # [1, T, D]
        index = pick(model.logits(hidden[0, -1]).float(), temperature, top_k, random)
        if index == END_ID:
            break
        written.append(index)
        unread = [index]
    return tokenizer.decode(written)


def pick(logits: Tensor, temperature: float, top_k: int, random: torch.Generator) -> int:
    """Draw one token id from logits `[V]`; special tokens other than the end are never drawn."""
    logits = logits.clone()
    logits[[index for index in range(len(SPECIAL)) if index != END_ID]] = float("-inf")
    if temperature == 0:
        return int(logits.argmax())
    best, indices = logits.topk(min(top_k, len(logits)))
    chances = ((best - best[0]) / temperature).softmax(
        -1
    )  # the difference first: a tiny temperature overflows
    choice = torch.multinomial(chances, 1, generator=random)
    return int(indices[choice])


@torch.no_grad()
def fill_mask(model: Transformer, tokenizer: Tokenizer, text: str, count: int = 5) -> list[tuple[str, float]]:
    """The likeliest tokens for the first `<mask>` in `text`, with their probabilities.

    Raises:
        HeadstartError: no `<mask>` in the text, or the model is no encoder.
    """
    if model.config.architecture != "encoder":
        raise HeadstartError("a causal model sees the left side alone and cannot fill gaps; use an encoder")
    left, mask, right = text.partition(MASK)
    if not mask:
        raise HeadstartError(f"the text has no {MASK}; write it where a word is missing")
    before = [START_ID, *tokenizer.encode(left.rstrip(" "))]
    ids = torch.tensor([[*before, MASK_ID, *tokenizer.encode(right), END_ID]])
    hidden = model(ids)  # [1, T, D]
    probabilities = model.logits(hidden[0, len(before)]).float().softmax(-1)
    best, indices = probabilities.topk(count)
    return [(tokenizer.token_text(int(i)), float(p)) for i, p in zip(indices, best, strict=True)]


def sample_prompt(model: Transformer, tokenizer: Tokenizer, prompt: str) -> str:
    """A fixed way to continue a prompt, so that samples over a run can be compared."""
    return generate(model, tokenizer, prompt, max_new_tokens=48, temperature=0.7, top_k=40, seed=0)
