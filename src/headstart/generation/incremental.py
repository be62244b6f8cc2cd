"""The model's side of generation: it reads tokens and says what may come next.

A `Reader` holds rows of tokens in the middle of being read. `ModelReader` computes through the model, all
rows as one padded batch; `CPUReader` through the compiled decoder, each row with a cache of its own.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import pad

from headstart.generation.cpu_decoder import CPUDecoder, TextCache
from headstart.models.parts.cache import PADDING, KeyValueCache
from headstart.models.transformer import Transformer


class Reader(Protocol):
    """Rows of tokens in the middle of being read, and a cache of all that was."""

    def read(self, tokens: Sequence[Sequence[int]]) -> Tensor:
        """Read these tokens after those that each row has read; returns the logits after them, `[B, V]`.

        Only the first call, or the first after `forget`, may have rows of unequal lengths.
        """

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these rows, in this order; a row may be taken more than once."""

    def forget(self) -> None:
        """Start again with nothing read."""


class CPUReader:
    """Rows that the compiled decoder reads: what one gets is bitwise the same beside any others."""

    def __init__(self, decoder: CPUDecoder) -> None:
        self.decoder = decoder
        self.caches: list[TextCache] = []

    def read(self, tokens: Sequence[Sequence[int]]) -> Tensor:
        """See `Reader`."""
        if not self.caches:
            self.caches = [self.decoder.cache() for _ in tokens]
        return self.decoder.read(self.caches, tokens)

    def keep(self, rows: Sequence[int]) -> None:
        """See `Reader`."""
        taken: set[int] = set()
        kept = []
        for row in rows:
            kept.append(self.caches[row].copy() if row in taken else self.caches[row])
            taken.add(row)
        self.caches = kept

    def forget(self) -> None:
        """See `Reader`."""
        self.caches = []


class ModelReader:
    """Rows that the model reads as one batch, padded on the left.

    An encoder-decoder reads its sources once, here; what cross-attention needs of them is cached too.
    """

    def __init__(self, model: Transformer, sources: Sequence[Sequence[int]] | None = None) -> None:
        """
        Args:
            sources: what an encoder-decoder answers, a row each.
        """
        self.model = model
        scalings = (rotary.scaling for rotary in model.config.rotaries)
        borders = [one.original_context for one in scalings if one is not None and one.by_length]
        self.border = min(borders, default=0)
        """A text that becomes longer than this is read again, for its angles change; 0: they never do."""
        self.texts: list[list[int]] = []
        """What each row has read, where there is a border."""
        self.device = model.embedding.weight.device
        self.cache = KeyValueCache()
        self.encoder_states: Tensor | None = None  # [B, S, D]
        self.encoder_segments: Tensor | None = None  # [B, S]
        self.source_of: list[int] | None = None
        """Which source each row answers."""
        if sources is not None:
            ids, self.encoder_segments = self._batch(sources, left=False)
            self.encoder_states = model.encode(ids, self.encoder_segments)
            self.source_of = list(range(len(sources)))

    def read(self, tokens: Sequence[Sequence[int]]) -> Tensor:
        """See `Reader`."""
        return self.logits(self.states(tokens)[:, -1])

    def states(self, tokens: Sequence[Sequence[int]]) -> Tensor:
        """Read tokens as `read` does; returns the hidden states `[B, T, D]`, rows padded on the left."""
        asked = max(map(len, tokens))
        if self.border:
            tokens = self._crossing(tokens)
        ids, segments = self._batch(tokens, left=True)  # [B, T] both
        hidden: Tensor = self.model(
            ids,
            segments,
            self.cache,
            encoder_states=self.encoder_states,
            encoder_segments=self.encoder_segments,
        )
        return hidden[:, -asked:]

    def logits(self, states: Tensor) -> Tensor:
        """Scores over the vocabulary `[..., V]` in float32, for states `[..., D]`."""
        return self.model.logits(states).float()

    def _crossing(self, tokens: Sequence[Sequence[int]]) -> Sequence[Sequence[int]]:
        """These tokens, or all texts from their beginnings where one of them crosses the border."""
        before = self.texts or [[] for _ in tokens]
        self.texts = [[*text, *new] for text, new in zip(before, tokens, strict=True)]
        lengths = zip(map(len, before), map(len, self.texts), strict=True)
        if not any(0 < old <= self.border < new for old, new in lengths):
            return tokens
        self.cache = KeyValueCache()
        return self.texts

    def keep(self, rows: Sequence[int]) -> None:
        """See `Reader`."""
        if self.border:
            self.texts = [self.texts[row] for row in rows]
        index = torch.tensor(rows, device=self.device)
        if self.encoder_states is None or self.source_of is None:
            self.cache.reorder(index)
            self.cache.trim()
            return
        cross, sources = self.cache.cross, [self.source_of[row] for row in rows]
        if sources == self.source_of:  # as mostly in beam search: what belongs to sources stays in its place
            self.cache.cross = {}
            self.cache.reorder(index)
            self.cache.cross = cross
            return
        self.cache.reorder(index)
        self.cache.trim()
        self.encoder_states, self.source_of = self.encoder_states[index], sources
        if self.encoder_segments is not None:
            self.encoder_segments = self.encoder_segments[index]

    def forget(self) -> None:
        """See `Reader`."""
        self.cache, self.texts = KeyValueCache(), []

    def join(self, other: "ModelReader") -> None:
        """Go on with the other's rows too, behind these; who has read less is padded on the left."""
        if self.encoder_states is not None and self.source_of is not None:
            theirs = other.encoder_states
            assert theirs is not None
            assert other.source_of is not None
            others = 1 + max(self.source_of)
            self.source_of = self.source_of + [others + source for source in other.source_of]
            both = [(self.encoder_states, self.encoder_segments), (theirs, other.encoder_segments)]
            longest = max(states.shape[1] for states, _ in both)
            self.encoder_states = torch.cat(
                [pad(states, (0, 0, 0, longest - states.shape[1])) for states, _ in both]
            )
            self.encoder_segments = torch.cat(
                [
                    pad(_segments(segments, states), (0, longest - states.shape[1]), value=PADDING)
                    for states, segments in both
                ]
            )
        self.cache.join(other.cache)

    def _batch(self, rows: Sequence[Sequence[int]], left: bool) -> tuple[Tensor, Tensor | None]:
        """Ids `[B, T]` and document numbers, 0 and `PADDING`; None where no row is padded."""
        longest = max(map(len, rows))
        ids = torch.zeros(len(rows), longest, dtype=torch.long)
        segments = torch.full_like(ids, PADDING)
        for index, row in enumerate(rows):
            place = slice(longest - len(row), None) if left else slice(len(row))
            ids[index, place] = torch.tensor(row)
            segments[index, place] = 0
        padded = bool((segments == PADDING).any())
        return ids.to(self.device), segments.to(self.device) if padded else None


def _segments(segments: Tensor | None, states: Tensor) -> Tensor:
    """Document numbers `[B, S]` of states `[B, S, D]`, also where nothing is padded."""
    return states.new_zeros(states.shape[:2], dtype=torch.long) if segments is None else segments


@contextmanager
def at_rest(model: Transformer) -> Iterator[None]:
    """Without dropout, and afterwards as before."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
