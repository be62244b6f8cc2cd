"""Examples as token ids, several to a row, so that padding is hardly computed.

A piece is one example, or a window of a long one, between the special tokens of the model's family. One
rule holds for every head: nothing is cut. What is longer than a piece becomes windows that overlap by
`OVERLAP`; a token that lies in two of them is answered for by the one in which it has most context.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from headstart.errors import HeadstartError
from headstart.models.parts.cache import PADDING
from headstart.tasks.examples import Pair, WordSequence
from headstart.tokenizer.base import Tokenizer

ROW_STEP = 32
"""Rows are multiples of this long, so that the processor meets few different shapes."""
ROW_MOST = 512
"""Rows are no longer than this unless an example is."""
ATTENTION_LENGTH = 1500
"""A row this long spends as much on attention as on everything else (about 6 D at width 256)."""
OVERLAP = 1 / 4
"""The share of a window that the next one repeats."""


class Window(NamedTuple):
    """A part of a long list of tokens, and the part of it that it answers for."""

    start: int
    end: int
    first: int
    last: int
    """Tokens `start` to `end` are read; for `first` to `last` (excluded, as `end` is) this is the window
    with most context: the larger of the two distances to a window's nearer border."""


def windows(tokens: int, room: int) -> list[Window]:
    """Windows of `room` tokens over `tokens`, in order; the last ends with the text.

    Between two neighbours the middle of their overlap is where the one with more context changes.
    """
    if tokens <= room:
        return [Window(0, tokens, 0, tokens)]
    step = room - int(room * OVERLAP)
    starts = [*range(0, tokens - room, step), tokens - room]
    borders = [0, *((before + room + after) // 2 for before, after in pairwise(starts))]
    return [
        Window(start, start + room, first, last)
        for start, first, last in zip(starts, borders, [*borders[1:], tokens], strict=True)
    ]


def _none() -> np.ndarray:
    return np.zeros(0, dtype=np.int64)


@dataclass(frozen=True)
class EncodedWindow:
    """Tokens of one example, or of a window of one."""

    ids: np.ndarray
    """`[t]` with special tokens."""
    heads: np.ndarray
    """`[w]` the tokens in `ids` whose states are read; empty where one state stands for the whole."""
    owner: int
    """The example that it belongs to."""
    side: int = 0
    """Which of the example's texts, where they are read one by one."""
    weight: int = 1
    """Tokens of the text that this window answers for."""
    types: np.ndarray | None = None
    """`[t]` token types; None: all 0."""
    items: np.ndarray = field(default_factory=_none)
    """`[w]` what the heads stand for: the number of a word, or the id of the token that is written there; of
    a context `[w, 2]` the rows of `counted_answers` for an answer that begins and one that ends there."""
    spans: np.ndarray = field(default_factory=_none)
    """`[w, 2]` the characters that the heads stand for, where answers are spans."""
    own: np.ndarray = field(default_factory=_none)
    """`[w]` whether this window is the one that answers for the head, where answers are spans."""
    source: np.ndarray | None = None
    """`[s]` what the encoder of an encoder-decoder reads, where that is another text than `ids`."""

    @property
    def tokens(self) -> int:
        """How many tokens are read, on both sides."""
        return len(self.ids) + (0 if self.source is None else len(self.source))


Scores = TypeVar("Scores", np.ndarray, Tensor)


def scores_of_heads(scores: Scores, piece: EncodedWindow) -> Scores:
    """Those of a piece's heads, `[w, labels]`, of what its example's rows `[rows, labels]` have."""
    if piece.items.ndim == 1:
        return scores[piece.items]
    return scores[piece.items, np.arange(piece.items.shape[1])]


@dataclass(frozen=True)
class Rows:
    """Pieces laid out in rows; attention stays inside a piece."""

    ids: Tensor
    """`[B, T]` with padding in what is left of a row."""
    segments: Tensor
    """`[B, T]` the place of each token's piece in the list packed; `PADDING` where nothing is."""
    heads: Tensor
    """`[W]` the tokens that are read, counted through the flattened rows, in the order of the pieces."""
    first: Tensor
    """`[pieces]` where pieces begin, counted likewise."""
    last: Tensor
    """`[pieces]` where their last token is."""
    types: Tensor | None = None
    """`[B, T]` token types; None: all 0."""
    source: Tensor | None = None
    """`[B, S]` what an encoder-decoder reads on its encoder's side, where that is another text."""
    source_segments: Tensor | None = None
    """`[B, S]` which piece each token of it belongs to, as in `segments`."""

    @property
    def pieces(self) -> int:
        """How many there are."""
        return len(self.first)

    def to(self, device: torch.device) -> "Rows":
        """The same on another device."""
        fields = {name: value for name, value in vars(self).items() if value is not None}
        return replace(self, **{name: value.to(device) for name, value in fields.items()})


def encode_texts(
    tokenizer: Tokenizer,
    texts: Sequence[str],
    max_tokens: int,
    owners: Sequence[tuple[int, int]] | None = None,
) -> list[EncodedWindow]:
    """A piece for each window of each text, in order.

    Args:
        max_tokens: of a piece, special tokens included.
        owners: `(example, side)` of each text; None: every text is an example.

    Raises:
        HeadstartError: `max_tokens` leaves no room for text.
    """
    room = room_for_text(tokenizer, max_tokens)
    pieces = []
    for place, ids in enumerate(tokenizer.encode_batch(list(texts))):
        owner, side = owners[place] if owners is not None else (place, 0)
        for window in windows(len(ids), room):
            framed = _framed(tokenizer, ids[window.start : window.end])
            pieces.append(EncodedWindow(framed, _none(), owner, side, max(1, window.last - window.first)))
    return pieces


def encode_pairs(
    tokenizer: Tokenizer,
    pairs: Sequence[Pair],
    max_tokens: int,
    owners: Sequence[tuple[int, int]] | None = None,
) -> list[EncodedWindow]:
    """A piece for each window of each pair of texts, in order; see `pair_windows`."""
    firsts = tokenizer.encode_batch([a for a, _ in pairs])
    seconds = tokenizer.encode_batch([b for _, b in pairs])
    pieces = []
    for place, (first, second) in enumerate(zip(firsts, seconds, strict=True)):
        owner, side = owners[place] if owners is not None else (place, 0)
        for a, b in pair_windows(len(first), len(second), room_for_text(tokenizer, max_tokens, pair=True)):
            ids, types = tokenizer.with_special(first[a.start : a.end], second[b.start : b.end])
            weight = max(1, a.last - a.first, b.last - b.first)
            if not ids:
                ids, types = _nothing(tokenizer), [0]
            pieces.append(EncodedWindow(np.array(ids), _none(), owner, side, weight, np.array(types)))
    return pieces


def pair_windows(first: int, second: int, room: int) -> list[tuple[Window, Window]]:
    """Windows of two texts of `first` and `second` tokens that share `room`.

    The shorter text is kept whole as long as it takes no more than half of the room; the longer one moves
    along it in windows. Where both are longer, both move, from beginning to end at the same pace.
    """
    if first + second <= room:
        return [(Window(0, first, 0, first), Window(0, second, 0, second))]
    kept = min(first, second, room // 2)
    mine, other = (kept, room - kept) if first <= second else (room - kept, kept)
    one, two = windows(first, mine), windows(second, other)
    count = max(len(one), len(two))
    return [(one[i * len(one) // count], two[i * len(two) // count]) for i in range(count)]


def encode_words(
    tokenizer: Tokenizer, sentences: Sequence[Sequence[str]], max_tokens: int
) -> list[EncodedWindow]:
    """Pieces for each list of words, in order, each with the words that it answers for.

    The words are encoded as their text, or as the text that joins them with one space each. A word is read at
    the token that holds its first character.
    """
    room = room_for_text(tokenizer, max_tokens)
    opening = _framed(tokenizer, [-1]).tolist().index(-1)
    pieces = []
    for owner, sentence in enumerate(sentences):
        words = WordSequence.of(sentence)
        ids, spans = tokenizer.encode_spans(words.text)
        starts = np.array([start for start, _ in words.spans], dtype=np.int64)
        tokens = np.searchsorted(spans[:, 1], starts, side="right")  # [words]
        tokens = np.minimum(tokens, max(0, len(ids) - 1))  # an empty word behind the last token
        for window in windows(len(ids), room):
            items = np.flatnonzero((tokens >= window.first) & (tokens < max(window.last, 1)))
            framed = _framed(tokenizer, ids[window.start : window.end])
            heads = tokens[items] - window.start + (opening if ids else 0)
            pieces.append(EncodedWindow(framed, heads, owner, weight=max(1, len(items)), items=items))
    return pieces


def _framed(tokenizer: Tokenizer, ids: list[int]) -> np.ndarray:
    """One example between its special tokens; one without any token gets one that says nothing."""
    framed, _ = tokenizer.with_special(ids)
    return np.array(framed or _nothing(tokenizer), dtype=np.int64)


def _nothing(tokenizer: Tokenizer) -> list[int]:
    """Ids that stand where a text has none."""
    special = tokenizer.special
    ids = tokenizer.encode(" ") or [i for i in (special.unknown, special.end, special.start) if i is not None]
    return ids[:1]


def room_for_text(tokenizer: Tokenizer, max_tokens: int, pair: bool = False) -> int:
    """Tokens of text in a piece of `max_tokens`, one at least for each text."""
    room = max_tokens - len(tokenizer.with_special([], [] if pair else None)[0])
    if room < 1 + pair:
        raise HeadstartError(f"max_tokens={max_tokens} leaves no room for text; ask for 16 at least")
    return room


def pack(pieces: Sequence[EncodedWindow], padding: int = 0) -> Rows:
    """Lay pieces out in rows of the length that costs least to compute; a source stands in the same row as
    its piece.

    Args:
        padding: the id in what is left of a row; nothing sees it.
    """
    sizes = [piece.tokens for piece in pieces]
    shortest = -(-max(sizes) // ROW_STEP) * ROW_STEP
    lengths = range(shortest, max(ROW_MOST, shortest) + 1, ROW_STEP)
    layouts = [(length, *first_fit(sizes, length)) for length in lengths]
    length, _, places = min(
        layouts, key=lambda layout: layout[0] * layout[1] * (1 + layout[0] / ATTENTION_LENGTH)
    )
    row_of = [row for row, _ in places]
    sources = [piece.source for piece in pieces if piece.source is not None]
    source = source_segments = None
    starts = [start for _, start in places]
    if sources:  # the two sides of a row are shorter than its length
        source, source_segments, _ = _laid_out(sources, row_of, *_one_after_another(sources, row_of), padding)
        starts, length = _one_after_another([piece.ids for piece in pieces], row_of)
    ids, segments, first = _laid_out([piece.ids for piece in pieces], row_of, starts, length, padding)
    types = None
    if any(piece.types is not None and piece.types.any() for piece in pieces):
        each = [np.zeros(len(p.ids), np.int64) if p.types is None else p.types for p in pieces]
        types, _, _ = _laid_out(each, row_of, starts, length, 0)
    heads = [piece.heads + begin for piece, begin in zip(pieces, first, strict=True)]
    last = first + np.array([len(piece.ids) for piece in pieces]) - 1
    return Rows(
        ids,
        segments,
        torch.from_numpy(np.concatenate(heads)),
        torch.from_numpy(first),
        torch.from_numpy(last),
        types,
        source,
        source_segments,
    )


def _one_after_another(texts: Sequence[np.ndarray], row_of: Sequence[int]) -> tuple[list[int], int]:
    """Where each text begins in its row, and the tokens of the fullest row."""
    filled = [0] * (max(row_of) + 1)
    starts = []
    for text, row in zip(texts, row_of, strict=True):
        starts.append(filled[row])
        filled[row] += len(text)
    return starts, max(filled)


def _laid_out(
    texts: Sequence[np.ndarray], row_of: Sequence[int], starts: Sequence[int], length: int, padding: int
) -> tuple[Tensor, Tensor, np.ndarray]:
    """Texts in rows of `length`: ids `[B, T]`, numbers of the texts `[B, T]` (`PADDING` where there is
    none), and where each begins in the flattened rows `[texts]`."""
    shape = (max(row_of) + 1, length)
    ids, segments = np.full(shape, padding, np.int64), np.full(shape, PADDING, np.int64)
    for number, (text, row, start) in enumerate(zip(texts, row_of, starts, strict=True)):
        ids[row, start : start + len(text)] = text
        segments[row, start : start + len(text)] = number
    first = np.array(row_of) * length + np.array(starts)
    return torch.from_numpy(ids), torch.from_numpy(segments), first


def first_fit(sizes: Sequence[int], length: int) -> tuple[int, list[tuple[int, int]]]:
    """First-fit decreasing: how many rows of `length` are needed, and `(row, start)` of every size."""
    used: list[int] = []
    places = [(0, 0)] * len(sizes)
    for number in sorted(range(len(sizes)), key=lambda i: -sizes[i]):
        size = sizes[number]
        row = next((row for row, filled in enumerate(used) if filled + size <= length), len(used))
        if row == len(used):
            used.append(0)
        places[number] = (row, used[row])
        used[row] += size
    return len(used), places
