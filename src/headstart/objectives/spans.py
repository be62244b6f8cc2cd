"""Spans of neighbouring tokens to hide: how long they are and where they lie."""

import numpy as np

from headstart.objectives.rows import document_starts


def hide_spans(
    hideable: np.ndarray, segments: np.ndarray, lengths: np.ndarray, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Place spans at random, with at least one visible token between two of them.

    Every way to place them among a row's hideable tokens is as likely as any other, as long as no span
    reaches across a document's border or a token that may not be hidden. A span that would is cut
    there, and as many tokens are hidden at the ends of other spans. Rows with too little room hide less.

    Args:
        hideable, segments: `[B, T]`.
        lengths: `[B, K]` of the spans of each row; 0 is a place between two tokens; -1, behind all others,
            is no span.

    Returns:
        `[B, T]` true for hidden tokens, and `[B, T]` true for tokens that a span of length 0 follows.
    """
    room = hideable.sum(1)  # [B]
    wanted = np.maximum(lengths, 0).sum(1)
    starts, lengths = _place(lengths, room, random)  # [B, K] among the hideable tokens
    shape = (len(room), hideable.shape[1] + 1)
    row, span = np.nonzero(lengths > 0)
    edges = np.zeros(shape, dtype=np.int64)
    edges[row, starts[row, span]] = 1
    np.add.at(edges, (row, starts[row, span] + lengths[row, span]), -1)
    begins = np.zeros(shape, dtype=bool)
    begins[row, starts[row, span]] = True
    empty = np.zeros(shape, dtype=bool)
    row, span = np.nonzero(lengths == 0)
    empty[row, np.maximum(starts[row, span] - 1, 0)] = True

    used = np.arange(shape[1]) < room[:, None]
    hidden, begun, followed = (np.zeros(hideable.shape, dtype=bool) for _ in range(3))
    hidden[hideable] = np.cumsum(edges, axis=1)[used] > 0
    begun[hideable] = begins[used]
    followed[hideable] = empty[used]

    first = span_starts(hidden, segments)
    number = np.cumsum(first)  # of the piece that a hidden token is in, over the whole batch
    whole = np.append(False, begun[first])
    hidden &= whole[number].reshape(hidden.shape)
    _grow(hidden, hideable, segments, wanted, random)
    return hidden, followed


def span_starts(hidden: np.ndarray, segments: np.ndarray) -> np.ndarray:
    """True for the first token of each span, `[B, T]`."""
    first = hidden.copy()
    first[:, 1:] &= ~hidden[:, :-1] | document_starts(segments)[:, 1:]
    return first


def compositions(total: int, parts: int, rows: int, random: np.random.Generator) -> np.ndarray:
    """Ways to write `total` as a sum of positive numbers, all equally likely: `[rows, parts]`."""
    cuts = np.tile(np.arange(1, total), (rows, 1))
    cuts = np.sort(random.permuted(cuts, axis=1)[:, : parts - 1], axis=1)
    return np.diff(cuts, axis=1, prepend=0, append=total)


def _place(
    lengths: np.ndarray, room: np.ndarray, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Where the spans of each row start, ascending; those that do not fit become -1 in `lengths`.

    K spans among r tokens leave f = r - sum of lengths visible; each span stands before another one of
    these, or behind all: K different ones out of f + 1 places.
    """
    needed = np.cumsum(lengths + 1, axis=1)  # each span and a visible token behind it
    lengths = np.where(needed <= room[:, None] + 1, lengths, -1)
    count = (lengths >= 0).sum(1)  # [B]
    inside = np.maximum(lengths, 0)
    visible = room - inside.sum(1)
    columns = np.arange(max(int(room.max(initial=0)) + 1, lengths.shape[1]))
    keys = random.random((len(room), len(columns)))
    keys[columns > visible[:, None]] = 2.0
    order = np.argsort(keys, axis=1)[:, : lengths.shape[1]]
    order[np.arange(order.shape[1]) >= count[:, None]] = len(columns)
    return np.sort(order, axis=1) + np.cumsum(inside, axis=1) - inside, lengths


def _grow(
    hidden: np.ndarray,
    hideable: np.ndarray,
    segments: np.ndarray,
    wanted: np.ndarray,
    random: np.random.Generator,
) -> None:
    """Hide more tokens at the ends of spans, until each row hides as many as are wanted or none can grow.

    A row's spans grow to the right, and to the left when none can do so; never until two of them meet.
    """
    inside = ~document_starts(segments)[:, 1:]  # whether two neighbours are of one document
    while True:
        after, before = np.zeros_like(hidden), np.zeros_like(hidden)  # true after a span, before one
        after[:, 1:] = hidden[:, :-1] & inside
        before[:, :-1] = hidden[:, 1:] & inside
        open_right = after & ~before & hideable & ~hidden
        open_left = before & ~after & hideable & ~hidden
        keys = np.where(open_right.any(1, keepdims=True), open_right, open_left)
        keys = np.where(keys, random.random(hidden.shape), 2.0)
        order = np.argsort(keys, axis=1)
        missing = np.arange(hidden.shape[1]) < (wanted - hidden.sum(1))[:, None]
        row, rank = np.nonzero(missing & (np.take_along_axis(keys, order, axis=1) < 1))
        if not len(row):
            return
        hidden[row, order[row, rank]] = True
