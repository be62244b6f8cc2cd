"""Examples as token ids, several to a row, so that padding is hardly computed.

A piece is one example between the special tokens of the model's family. A text that is too long is cut
to its head; a too long list of words is continued in further pieces, so that every word gets its tag.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from headstart.tasks.data import Input
from headstart.tokenizer.base import Tokenizer

ROW_STEP = 32
"""Rows are multiples of this long, so that the processor meets few different shapes."""
ROW_MOST = 512
"""Rows are no longer than this unless an example is."""
ATTENTION_LENGTH = 1500
"""A row this long spends as much on attention as on everything else (about 6 D at width 256)."""


@dataclass(frozen=True)
class Piece:
    """Tokens of one example, or of a part of one."""

    ids: np.ndarray
    """`[t]` with special tokens."""
    heads: np.ndarray
    """`[w]` where in `ids` each word begins; empty for a whole text."""
    owner: int
    """The example that it belongs to."""
    cut: bool = False
    """Whether the end of a text was left out."""


@dataclass(frozen=True)
class Rows:
    """Pieces laid out in rows; attention stays inside a piece."""

    ids: Tensor
    """`[B, T]` with padding in what is left of a row."""
    segments: Tensor
    """`[B, T]` the place of each token's piece in the list packed; `pieces` where nothing is."""
    heads: Tensor
    """`[W]` where words begin, counted through the flattened rows, in the order of the pieces."""
    first: Tensor
    """`[pieces]` where pieces begin, counted likewise."""
    last: Tensor
    """`[pieces]` where their last token is."""

    @property
    def pieces(self) -> int:
        """How many there are."""
        return len(self.first)


def encode_texts(tokenizer: Tokenizer, texts: Sequence[str], max_tokens: int) -> list[Piece]:
    """A piece for each text: the head of it where it is over `max_tokens`, special tokens included."""
    none = np.zeros(0, dtype=np.int64)
    room = _room(tokenizer, max_tokens)
    # A token has one byte at least, and seldom more than 16: what lies far behind the cut is not read.
    heads = [text if len(text) <= 64 * room else text[: 64 * room] for text in texts]
    return [
        Piece(
            _framed(tokenizer, ids[:room]),
            none,
            owner,
            len(ids) > room or len(heads[owner]) < len(texts[owner]),
        )
        for owner, ids in enumerate(tokenizer.encode_batch(heads))
    ]


def encode_words(tokenizer: Tokenizer, sentences: Sequence[Sequence[str]], max_tokens: int) -> list[Piece]:
    """Pieces for each list of words, in order; only lists over `max_tokens` have more than one.

    The words are encoded as the text that joins them with one space each. A tokenizer never merges across a
    space; where the space belongs to the word behind it, every word but the first is encoded with it.
    """
    space = " " if tokenizer.encode("a b") == tokenizer.encode("a") + tokenizer.encode(" b") else ""
    spaced = [
        [f"{space}{word}" if place else word for place, word in enumerate(words)] for words in sentences
    ]
    distinct = sorted({word for words in spaced for word in words})
    room = _room(tokenizer, max_tokens)
    opening = _framed(tokenizer, [-1]).tolist().index(-1)
    # An empty word still needs a token to carry its tag; a word longer than a row keeps its head.
    known = {
        word: (ids or _nothing(tokenizer))[:room]
        for word, ids in zip(distinct, tokenizer.encode_batch(distinct), strict=True)
    }
    pieces = []
    for owner, words in enumerate(spaced):
        ids: list[int] = []
        heads: list[int] = []
        for word in words:
            if len(ids) + len(known[word]) > room:
                pieces.append(Piece(_framed(tokenizer, ids), np.array(heads, dtype=np.int64), owner))
                ids, heads = [], []
            heads.append(opening + len(ids))
            ids += known[word]
        pieces.append(Piece(_framed(tokenizer, ids), np.array(heads, dtype=np.int64), owner))
    return pieces


def encode(tokenizer: Tokenizer, inputs: Sequence[Input], max_tokens: int) -> list[Piece]:
    """Pieces of texts, or of lists of words."""
    if inputs and isinstance(inputs[0], str):
        return encode_texts(tokenizer, [str(text) for text in inputs], max_tokens)
    return encode_words(tokenizer, [list(words) for words in inputs], max_tokens)


def _framed(tokenizer: Tokenizer, ids: list[int]) -> np.ndarray:
    """One example between its special tokens; one without any token gets one that says nothing."""
    framed, _ = tokenizer.with_special(ids)
    return np.array(framed or _nothing(tokenizer), dtype=np.int64)


def _nothing(tokenizer: Tokenizer) -> list[int]:
    """Ids that stand where a text has none."""
    special = tokenizer.special
    ids = tokenizer.encode(" ") or [i for i in (special.unknown, special.end, special.start) if i is not None]
    return ids[:1]


def _room(tokenizer: Tokenizer, max_tokens: int) -> int:
    """Tokens of text in a piece of `max_tokens`."""
    return max_tokens - len(tokenizer.with_special([])[0])


def pack(pieces: Sequence[Piece], padding: int = 0) -> Rows:
    """Lay pieces out in rows of the length that costs least to compute.

    Args:
        padding: the id in what is left of a row; nothing sees it.
    """
    sizes = [len(piece.ids) for piece in pieces]
    shortest = -(-max(sizes) // ROW_STEP) * ROW_STEP
    lengths = range(shortest, max(ROW_MOST, shortest) + 1, ROW_STEP)
    layouts = [(length, *first_fit(sizes, length)) for length in lengths]
    length, rows, places = min(
        layouts, key=lambda layout: layout[0] * layout[1] * (1 + layout[0] / ATTENTION_LENGTH)
    )
    ids = np.full(rows * length, padding, dtype=np.int64)
    segments = np.full(rows * length, len(pieces), dtype=np.int64)
    first = np.array([row * length + start for row, start in places])
    for number, (piece, begin) in enumerate(zip(pieces, first, strict=True)):
        ids[begin : begin + len(piece.ids)] = piece.ids
        segments[begin : begin + len(piece.ids)] = number
    heads = [piece.heads + begin for piece, begin in zip(pieces, first, strict=True)]
    return Rows(
        torch.from_numpy(ids.reshape(rows, length)),
        torch.from_numpy(segments.reshape(rows, length)),
        torch.from_numpy(np.concatenate(heads)),
        torch.from_numpy(first),
        torch.from_numpy(first + np.array(sizes) - 1),
    )


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
