"""Which of a teacher's tokens stand where a student's token stands, whatever both cut a text into."""

import codecs
from collections.abc import Sequence

import numpy as np


def spans_of_pieces(pieces: Sequence[bytes]) -> tuple[str, np.ndarray]:
    """The text that pieces make, and the characters `[t, 2]` of each.

    A character whose bytes lie in several pieces is all of theirs; what is no UTF-8 is U+FFFD.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    text, spans = "", np.empty((len(pieces), 2), np.int64)
    for number, piece in enumerate(pieces):
        begin = len(text)
        text += decoder.decode(piece, final=number == len(pieces) - 1)
        unfinished = bool(decoder.getstate()[0])
        spans[number] = begin, len(text) + unfinished
    return text, np.minimum(spans, len(text))


def overlaps(spans: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of spans that share characters: places `[P]` in `spans`, and in `others`.

    Args:
        spans, others: `[t, 2]`, both ascending.
    """
    first = np.searchsorted(others[:, 1], spans[:, 0], side="right")
    last = np.searchsorted(others[:, 0], spans[:, 1], side="left")
    counts = np.maximum(last - first, 0)
    begins = np.repeat(first - np.concatenate([[0], np.cumsum(counts)[:-1]]), counts)
    return np.repeat(np.arange(len(spans)), counts), begins + np.arange(counts.sum())
