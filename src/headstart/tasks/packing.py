"""Examples as token ids, several to a row, so that padding is hardly computed.

A piece is `<s> ids </s>` of one example. A text that is too long is cut to its head; a too long list of
words is continued in further pieces, so that every word gets its tag.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from headstart.tasks.data import Input
from headstart.tokenizer.bpe import END_ID, PAD_ID, START_ID, Tokenizer

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
    """`[t]` with `<s>` and `</s>`."""
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
    """`[B, T]` with `<pad>` in what is left of a row."""
    segments: Tensor
    """`[B, T]` the place of each token's piece in the list packed; `pieces` where nothing is."""
    heads: Tensor
    """`[W]` where words begin, counted through the flattened rows, in the order of the pieces."""
    pieces: int


def encode_texts(tokenizer: Tokenizer, texts: Sequence[str], max_tokens: int) -> list[Piece]:
    """A piece for each text: the head of it where it is over `max_tokens`, `<s>` and `</s>` included."""
    none = np.zeros(0, dtype=np.int64)
    room = max_tokens - 2
    # A token has one byte at least, and seldom more than 16: what lies far behind the cut is not read.
    heads = [text if len(text) <= 64 * room else text[: 64 * room] for text in texts]
    return [
        Piece(_closed(ids[:room]), none, owner, len(ids) > room or len(heads[owner]) < len(texts[owner]))
        for owner, ids in enumerate(tokenizer.encode_batch(heads))
    ]


def encode_words(tokenizer: Tokenizer, sentences: Sequence[Sequence[str]], max_tokens: int) -> list[Piece]:
    """Pieces for each list of words, in order; only lists over `max_tokens` have more than one.

    The words are encoded as the text that joins them with one space each: the first as it is, every other
    with the space before it. The tokenizer never merges across a space, so this gives the ids of the text.
    """
    spaced = [[word if place == 0 else f" {word}" for place, word in enumerate(words)] for words in sentences]
    distinct = sorted({word for words in spaced for word in words})
    room = max_tokens - 2
    # An empty word still needs a token to carry its tag; a word longer than a row keeps its head.
    known = {
        word: (ids or tokenizer.encode(" "))[:room]
        for word, ids in zip(distinct, tokenizer.encode_batch(distinct), strict=True)
    }
    pieces = []
    for owner, words in enumerate(spaced):
        ids: list[int] = []
        heads: list[int] = []
        for word in words:
            if len(ids) + len(known[word]) > room:
                pieces.append(Piece(_closed(ids), np.array(heads, dtype=np.int64), owner))
                ids, heads = [], []
            heads.append(1 + len(ids))
            ids += known[word]
        pieces.append(Piece(_closed(ids), np.array(heads, dtype=np.int64), owner))
    return pieces


def encode(tokenizer: Tokenizer, inputs: Sequence[Input], max_tokens: int) -> list[Piece]:
    """Pieces of texts, or of lists of words."""
    if inputs and isinstance(inputs[0], str):
        return encode_texts(tokenizer, [str(text) for text in inputs], max_tokens)
    return encode_words(tokenizer, [list(words) for words in inputs], max_tokens)


def _closed(ids: list[int]) -> np.ndarray:
    return np.array([START_ID, *ids, END_ID], dtype=np.int64)


def pack(pieces: Sequence[Piece]) -> Rows:
    """Lay pieces out in rows of the length that costs least to compute."""
    sizes = [len(piece.ids) for piece in pieces]
    shortest = -(-max(sizes) // ROW_STEP) * ROW_STEP
    lengths = range(shortest, max(ROW_MOST, shortest) + 1, ROW_STEP)
    layouts = [(length, *first_fit(sizes, length)) for length in lengths]
    length, rows, places = min(
        layouts, key=lambda layout: layout[0] * layout[1] * (1 + layout[0] / ATTENTION_LENGTH)
    )
    ids = np.full(rows * length, PAD_ID, dtype=np.int64)
    segments = np.full(rows * length, len(pieces), dtype=np.int64)
    for number, (piece, (row, start)) in enumerate(zip(pieces, places, strict=True)):
        first = row * length + start
        ids[first : first + len(piece.ids)] = piece.ids
        segments[first : first + len(piece.ids)] = number
    heads = [piece.heads + row * length + start for piece, (row, start) in zip(pieces, places, strict=True)]
    return Rows(
        torch.from_numpy(ids.reshape(rows, length)),
        torch.from_numpy(segments.reshape(rows, length)),
        torch.from_numpy(np.concatenate(heads)),
        len(pieces),
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
