"""How likely a model finds a given text behind another."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from headstart.errors import HeadstartError
from headstart.generation.incremental import PADDING, at_rest
from headstart.generation.text import opened
from headstart.interchange.model_folder import LoadedModel, decoder_start
from headstart.models.registry import family_named
from headstart.tokenizer.base import Tokenizer

BATCH_TOKENS = 4096
"""Tokens computed at once; more is no faster on a CPU."""
SCORES = 2**24
"""Scores over the vocabulary held at once, 64 MiB."""


class Asked(NamedTuple):
    """Tokens, and what comes before them."""

    context: list[int]
    """One token at least."""
    target: list[int]


class Likelihood(NamedTuple):
    """Of a target behind its context."""

    logprob: float
    """In nats."""
    greedy: bool
    """Whether each of its tokens is the likeliest one in its place."""


def must_foresee(loaded: LoadedModel) -> None:
    """Refuse a model that gives no probability to a text behind another."""
    if loaded.head not in ("causal", "text-to-text"):
        raise HeadstartError(
            f"likelihoods are what a decoder or an encoder-decoder gives; this model is {loaded.head}: "
            "evaluate it on labelled data, or fine-tune it first"
        )


@torch.no_grad()
def likelihoods(loaded: LoadedModel, asked: Sequence[Asked]) -> list[Likelihood]:
    """The likelihood of each target.

    A decoder reads context and target in one row, of which it sees the end that it has room for; rows that
    are equal but for the last token are computed once. An encoder-decoder reads the context on its
    encoder's side.
    """
    must_foresee(loaded)
    answers = loaded.model.config.architecture == "encoder-decoder"
    rows = [_answer_row(loaded, one) if answers else _row(loaded, one) for one in asked]
    same: dict[_Read, list[int]] = defaultdict(list)
    for place, row in enumerate(rows):
        if row.target:
            same[row.read].append(place)
    found = [Likelihood(0.0, True)] * len(rows)
    with at_rest(loaded.model):
        for batch in _batches(list(same)):
            hidden = _hidden(loaded, batch)  # [B, T, D]
            states, places = [], []
            for number, read in enumerate(batch):
                for place in same[read]:
                    last = len(read.ids)
                    states.append(hidden[number, last - len(rows[place].target) : last])
                    places.append(place)
            scored = _scored(loaded, torch.cat(states), [rows[place].target for place in places])
            for place, value in zip(places, scored, strict=True):
                found[place] = value
    return found


class _Read(NamedTuple):
    """What the model reads: ids, and in an encoder-decoder the source that it answers."""

    ids: tuple[int, ...]
    source: tuple[int, ...] = ()


class _Row(NamedTuple):
    """What the model reads, and what it should foresee at the end of it."""

    read: _Read
    target: tuple[int, ...]


def _row(loaded: LoadedModel, asked: Asked) -> _Row:
    if not asked.context:
        raise ValueError("a target needs a token before it")
    seen = [*asked.context, *asked.target][-loaded.model.config.context - 1 :]
    return _Row(_Read(tuple(seen[:-1])), tuple(asked.target[-loaded.model.config.context :]))


def _answer_row(loaded: LoadedModel, asked: Asked) -> _Row:
    start = decoder_start(family_named(loaded.model.config.family), loaded.tokenizer)
    return _Row(_Read((start, *asked.target[:-1]), tuple(asked.context)), tuple(asked.target))


def _batches(reads: list[_Read]) -> Iterator[list[_Read]]:
    """Rows of like lengths, the longest first, about `BATCH_TOKENS` with their padding."""
    reads.sort(key=lambda read: (-len(read.ids) - len(read.source), read))
    batch: list[_Read] = []
    for read in reads:
        if batch and (len(batch) + 1) * (len(batch[0].ids) + len(batch[0].source)) > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(read)
    if batch:
        yield batch


def _hidden(loaded: LoadedModel, batch: list[_Read]) -> Tensor:
    """States `[B, T, D]`; padding stands on the right, where a causal row never looks."""
    device = loaded.model.embedding.weight.device
    ids, segments = _padded([read.ids for read in batch], device)
    if loaded.model.config.architecture != "encoder-decoder":
        return loaded.model(ids)
    source, source_segments = _padded([read.source for read in batch], device)
    encoder_states = loaded.model.encode(source, source_segments)
    return loaded.model(ids, segments, encoder_states=encoder_states, encoder_segments=source_segments)


def _padded(rows: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Ids and document numbers, `[B, T]` both."""
    ids = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
    segments = torch.full_like(ids, PADDING)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = torch.tensor(row)
        segments[number, : len(row)] = 0
    return ids.to(device), segments.to(device)


def _scored(loaded: LoadedModel, states: Tensor, targets: Sequence[tuple[int, ...]]) -> Iterator[Likelihood]:
    """The likelihoods of targets whose states `[tokens of all targets, D]` stand one after another."""
    wanted = torch.tensor([token for target in targets for token in target], device=states.device)
    most = max(1, SCORES // loaded.model.config.vocab_size)
    logprobs, likeliest = [], []
    for first in range(0, len(states), most):
        scores = loaded.model.logits(states[first : first + most]).float()  # [n, V]
        token = wanted[first : first + most, None]
        logprobs.append((scores.gather(1, token)[:, 0] - scores.logsumexp(1)).double().cpu())
        likeliest.append((scores.argmax(1) == token[:, 0]).cpu())
    sizes = [len(target) for target in targets]
    every = zip(torch.cat(logprobs).split(sizes), torch.cat(likeliest).split(sizes), strict=True)
    for its_logprobs, right in every:
        yield Likelihood(float(its_logprobs.sum()), bool(right.all()))


def asked_for(loaded: LoadedModel, context: str, target: str) -> Asked:
    """Tokens of two texts that follow each other.

    A decoder reads them as one text, cut into tokens together; blanks at the end of the context go to the
    target, for a token mostly begins with its blank. Where the context is empty, what opens a text stands
    there.
    """
    tokenizer = loaded.tokenizer
    if loaded.model.config.architecture == "encoder-decoder":
        return Asked(tokenizer.with_special(tokenizer.encode(context))[0], tokenizer.encode(target.lstrip()))
    bare = context.rstrip()
    target = context[len(bare) :] + target
    before = tokenizer.encode(bare)
    whole = tokenizer.encode(bare + target)
    return Asked(opened(tokenizer, before), whole[len(before) :])


def windows(tokenizer: Tokenizer, ids: list[int], context: int, stride: int) -> list[Asked]:
    """A long text in windows of at most `context` tokens, in which every token is foreseen once.

    The first window foresees all of its tokens from what opens a text on; each further one only its last
    `stride`, so that they see `context - stride` tokens before them at least. With stride = context the
    windows do not overlap but for the one token before (the rule of lm-evaluation-harness).
    """
    if not 1 <= stride <= context:
        raise HeadstartError(f"stride={stride} is not possible; it has to be from 1 to {context}")
    if not ids:
        return []
    found = [Asked(opened(tokenizer, [])[-1:], ids[:context])]
    for first in range(context, len(ids), stride):
        last = min(first + stride, len(ids))
        found.append(Asked(ids[max(0, last - context - 1) : first], ids[first:last]))
    return found
