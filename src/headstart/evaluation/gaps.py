"""What models of any architecture say in one gap of a text, with as much of both sides as they are shown.

An encoder reads both sides around a mask; a decoder what stands left alone; an encoder-decoder reads both
sides in its encoder, a gap in place of the token, and has written the left side when it comes to the gap (of
T5's kind, whose gap is a sentinel, it writes that alone).
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from headstart.errors import HeadstartError
from headstart.generation.text import opened
from headstart.interchange.model_folder import LoadedModel, decoder_start
from headstart.models.registry import family_named


def gap_logprobs(
    loaded: LoadedModel, ids: Sequence[int], place: int, windows: Sequence[tuple[int, int]]
) -> Tensor:
    """The log probability of every token of the vocabulary in a gap.

    Args:
        ids: a text without special tokens, `[T]`.
        place: of the gap; what stands there is not shown.
        windows: so many tokens left and right of it are shown.

    Returns:
        `[W, V]`, a row a window.

    Raises:
        HeadstartError: the model has no output over its vocabulary, or no mask.
    """
    must_fill(loaded)
    loaded.model.eval()  # what an answer is does not hang on dropout
    rows = []
    with torch.no_grad():
        for left, right in windows:
            before = list(ids[max(0, place - left) : place])
            after = list(ids[place + 1 : place + 1 + right])
            scores = _scores(loaded, before, after)[: loaded.tokenizer.vocab_size]
            rows.append(scores.float().log_softmax(-1))
    return torch.stack(rows)


def continuation_nats(loaded: LoadedModel, ids: Sequence[int], given: int) -> Tensor:
    """What each token behind the first `given` ones costs that writes the text on, in nats, `[T - given]`.

    An encoder-decoder reads the given tokens and a gap for the rest, and has written the given ones.

    Raises:
        HeadstartError: the model cannot write.
    """
    if (reason := cannot_write(loaded)) is not None:
        raise HeadstartError(f"{reason}; take a decoder or an encoder-decoder")
    loaded.model.eval()
    ids = list(ids)
    with torch.no_grad():
        if loaded.model.config.architecture == "decoder":
            read = opened(loaded.tokenizer, ids)
            states = loaded.model(torch.tensor([read]))[0]
            first = len(read) - len(ids) + given - 1  # predicts the token behind the given ones
        else:
            states, first = _written(loaded, ids[:given], [], ids)
        scores = loaded.model.logits(states[first : first + len(ids) - given])
        chances = scores[:, : loaded.tokenizer.vocab_size].float().log_softmax(-1)
    return -chances.gather(1, torch.tensor(ids[given:])[:, None])[:, 0]


def cannot_write(loaded: LoadedModel) -> str | None:
    """Why a model gives no continuation a probability; None: it does."""
    if loaded.model.config.architecture == "encoder":
        return "an encoder reads both sides of every token and writes none: it has no probability of a text"
    if loaded.tokenizer.special.mask is None and loaded.model.config.architecture != "decoder":
        return "this encoder-decoder writes single spans, and no text"
    return None


def must_fill(loaded: LoadedModel) -> None:
    """Refuse a model that says nothing of a vocabulary.

    Raises:
        HeadstartError: it does not.
    """
    config, special = loaded.model.config, loaded.tokenizer.special
    wanted = {"encoder": ("masked", "pretraining"), "decoder": ("causal",)}
    if loaded.head not in wanted.get(config.architecture, (loaded.head,)):
        raise HeadstartError(f"this {config.family} has no output over its vocabulary; take another model")
    if config.architecture != "decoder" and special.mask is None and not special.sentinels:
        raise HeadstartError(f"{loaded.tokenizer.path} has neither mask nor sentinels: there is no gap")


def _scores(loaded: LoadedModel, before: list[int], after: list[int]) -> Tensor:
    """`[V]` between what is shown."""
    model, tokenizer = loaded.model, loaded.tokenizer
    if model.config.architecture == "decoder":
        return model.logits(model(torch.tensor([opened(tokenizer, before)]))[0, -1])
    if model.config.architecture == "encoder":
        mask = tokenizer.special.mask
        assert mask is not None
        framed = tokenizer.with_special([*before, mask, *after])[0]
        at = len(framed) - 1 - framed[::-1].index(mask) if mask not in after else framed.index(mask)
        return model.logits(model(torch.tensor([framed]))[0, at])
    states, last = _written(loaded, before, after, before)
    return model.logits(states[last])


def _written(
    loaded: LoadedModel, before: list[int], after: list[int], written: list[int]
) -> tuple[Tensor, int]:
    """The decoder's states `[T, D]` where it writes `written`, of a source with a gap between `before` and
    `after`; and the place of the state that says what comes behind `before`."""
    model, tokenizer = loaded.model, loaded.tokenizer
    special, start = tokenizer.special, decoder_start(family_named(model.config.family), tokenizer)
    if special.sentinels:
        gap, inputs = special.sentinels[0], [start, special.sentinels[0]]
    else:
        assert special.mask is not None
        gap, inputs = special.mask, [start, *opened(tokenizer, written)]
    source = torch.tensor([tokenizer.with_special([*before, gap, *after])[0]])
    states = model(torch.tensor([inputs]), encoder_states=model.encode(source))
    return states[0], len(inputs) - 1 - (len(written) - len(before) if not special.sentinels else 0)
