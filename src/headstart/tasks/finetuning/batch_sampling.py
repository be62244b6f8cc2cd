"""What a step of fine-tuning reads: which examples, which of their windows, which of their tokens hidden."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch

from headstart.tasks.kinds.packing import EncodedWindow
from headstart.tokenizer.base import Tokenizer


def order(count: int, size: int, seed: int) -> Iterator[list[int]]:
    """Batches of `size` places without end, every place once before any comes again."""
    random = np.random.Generator(np.random.Philox(key=seed))
    waiting: list[int] = []
    while True:
        while len(waiting) < min(size, count):
            waiting += random.permutation(count).tolist()
        yield waiting[: min(size, count)]
        waiting = waiting[min(size, count) :]


class WindowDraw:
    """Which pieces stand for examples in a step: of a text in windows one, drawn anew every time, so that
    long examples cost and count as much as short ones and are still read from end to end."""

    def __init__(
        self, pieces: Sequence[EncodedWindow], seed: int, telling: Sequence[bool] | None = None
    ) -> None:
        """Of a text with windows that are `telling`, every second draw is one of those."""
        self.telling = telling
        self.random = np.random.Generator(np.random.Philox(key=seed))
        self.places: dict[int, dict[int, list[int]]] = {}  # example -> side -> its windows
        for place, piece in enumerate(pieces):
            self.places.setdefault(piece.owner, {}).setdefault(piece.side, []).append(place)

    @property
    def windowed(self) -> int:
        """How many examples have more than one window."""
        return sum(any(len(one) > 1 for one in sides.values()) for sides in self.places.values())

    def __call__(self, examples: Sequence[int]) -> list[int]:
        """Places of pieces: those of one example follow each other, in the order of its sides."""
        drawn = []
        for example in examples:
            for windows in self.places[example].values():
                drawn.append(self._one_of(windows) if len(windows) > 1 else windows[0])
        return drawn

    def _one_of(self, windows: list[int]) -> int:
        telling = [place for place in windows if self.telling is not None and self.telling[place]]
        if telling and self.random.random() < 0.5:
            windows = telling
        return windows[self.random.integers(len(windows))]


class Hide:
    """Hides a share of the ordinary tokens of pieces, new ones every time.

    Of a piece that is scored as a whole they are left out: with masks in their place, the mean of its states
    would not be what it is when nothing is hidden. Where tokens are scored one by one, the mask replaces
    them.
    """

    def __init__(self, tokenizer: Tokenizer, share: float) -> None:
        special = tokenizer.special
        self.mask = special.mask or 0
        self.share = 0.0 if special.mask is None else share
        self.ordinary = np.ones(tokenizer.vocab_size, dtype=bool)
        self.ordinary[list(special.all)] = False

    def __call__(self, pieces: Sequence[EncodedWindow]) -> list[EncodedWindow]:
        return [self._hidden(piece) for piece in pieces] if self.share else list(pieces)

    def _hidden(self, piece: EncodedWindow) -> EncodedWindow:
        hidden = (torch.rand(len(piece.ids)).numpy() < self.share) & self.ordinary[piece.ids]
        if len(piece.heads):
            return replace(piece, ids=np.where(hidden, self.mask, piece.ids))
        if hidden.all():
            return piece
        types = piece.types if piece.types is None else piece.types[~hidden]
        return replace(piece, ids=piece.ids[~hidden], types=types)
