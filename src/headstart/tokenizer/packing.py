"""Rows into which documents fit whole, instead of cut wherever a row happens to end.

A stream cut into rows of equal length cuts most documents; the second half then lacks what it refers to.
Best-fit decreasing packing (Ding et al. 2024, "Fewer truncations improve language modeling", section 3) lays
every document that is no longer than a row whole into one, at the cost of a few places that stay empty.
"""

from pathlib import Path

import numpy as np

from headstart.tokenizer.shards import TokenRows


def best_fit(lengths: np.ndarray, capacity: int) -> np.ndarray:
    """The row of each piece: longest first, each into the fullest row that still has room for it.

    Args:
        lengths: of the pieces, 1 to `capacity`.
        capacity: length of a row.
    """
    row_of = np.empty(len(lengths), np.int64)
    order = np.argsort(-lengths, kind="stable")
    borders = np.flatnonzero(np.diff(lengths[order], prepend=-1, append=-1))
    room: dict[int, np.ndarray] = {}  # rows by the places that are free in them
    free = 0  # bit r is set where `room[r]` has rows
    rows = 0
    for first, last in zip(borders[:-1].tolist(), borders[1:].tolist(), strict=True):
        length = int(lengths[order[first]])
        pieces = order[first:last]  # all of one length, so many can be laid at once
        while len(pieces):
            fits = free >> length
            if fits:
                left = length + (fits & -fits).bit_length() - 1
                taken, kept = room[left][: len(pieces)], room[left][len(pieces) :]
                row_of[pieces[: len(taken)]] = taken
                pieces = pieces[len(taken) :]
                room[left] = kept
                if not len(kept):
                    free &= ~(1 << left)
                left -= length
            else:
                each = capacity // length
                taken = rows + np.arange(-(-len(pieces) // each))
                row_of[pieces] = rows + np.arange(len(pieces)) // each
                rows += len(taken)
                if short := len(taken) * each - len(pieces):  # the last new row has room for more of them
                    _add(room, capacity - (each - short) * length, taken[-1:])
                    free |= 1 << (capacity - (each - short) * length)
                    taken = taken[:-1]
                pieces = pieces[:0]
                left = capacity - each * length
            if left and len(taken):
                _add(room, left, taken)
                free |= 1 << left
    return row_of


def _add(room: dict[int, np.ndarray], left: int, rows: np.ndarray) -> None:
    room[left] = np.concatenate([room[left], rows]) if left in room else rows


class PackedRows(TokenRows):
    """The rows of one split, `length` tokens each, with documents whole where they fit into a row.

    A longer document fills rows of its own; its rest is laid like a document. Nothing is copied: a row is
    gathered from where its documents lie. An empty place holds `filler` and is a document of its own, from
    which and into which nothing is predicted.
    """

    def __init__(self, folder: Path, split: str, length: int, filler: int) -> None:
        super().__init__(folder, split, length)
        self.filler = filler
        shards, starts, sizes, domains = [], [], [], []
        for number, shard in enumerate(self.shards):
            lengths = np.diff(shard.starts, append=len(shard))
            pieces = -(-lengths // length)
            which = np.arange(pieces.sum()) - np.repeat(np.cumsum(pieces) - pieces, pieces)  # 0 for the first
            starts.append(np.repeat(shard.starts, pieces) + which * length)
            sizes.append(np.minimum(np.repeat(lengths, pieces) - which * length, length))
            domains.append(np.repeat(shard.domains, pieces))
            shards.append(np.full(len(which), number))
        row_of = best_fit(np.concatenate(sizes), length)
        order = np.argsort(row_of, kind="stable")
        self._shard_of, self._starts, self._sizes, self._domains = (
            np.concatenate(parts)[order] for parts in (shards, starts, sizes, domains)
        )
        self.count = int(row_of.max()) + 1
        self._borders = np.searchsorted(row_of[order], np.arange(self.count + 1))
        self.filled = float(self._sizes.sum()) / (self.count * length)
        """The share of places that are not empty."""

    def domains_of(self, rows: np.ndarray) -> np.ndarray:
        """The domain of each token of some rows, `[B, length]` places in `domains`."""
        domains = np.empty((len(rows), self.length), np.int64)
        for index, row in enumerate(rows.tolist()):
            pieces = slice(self._borders[row], self._borders[row + 1])
            of_tokens = np.repeat(self._domains[pieces], self._sizes[pieces])
            domains[index] = np.pad(of_tokens, (0, self.length - len(of_tokens)), "edge")
        return domains

    def read(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Ids and document numbers of some rows: two `[B, length]` arrays of int64."""
        ids = np.full((len(rows), self.length), self.filler, np.int64)
        places = np.arange(len(rows) * self.length).reshape(ids.shape)
        segments = -2 - places  # of places that stay empty: all different
        for index, row in enumerate(rows.tolist()):
            at = 0
            for piece in range(self._borders[row], self._borders[row + 1]):
                start, size = int(self._starts[piece]), int(self._sizes[piece])
                ids[index, at : at + size] = self.shards[self._shard_of[piece]].ids(
                    slice(start, start + size)
                )
                segments[index, at : at + size] = piece
                at += size
        return ids, segments
