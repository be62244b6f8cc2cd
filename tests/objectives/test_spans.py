"""Spans: how many tokens they hide, how long they are, where they lie."""

from math import comb

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from streams import one_document, streams, vocabulary

from headstart.objectives.batch import generator
from headstart.objectives.spans import compositions, hide_spans, span_starts


@st.composite
def spans(draw) -> np.ndarray:
    """Lengths of up to 8 spans for each of up to 6 rows, empty and absent ones among them."""
    rows, most = draw(st.integers(1, 6)), draw(st.integers(0, 8))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    lengths = random.integers(0, draw(st.integers(1, 9)), (rows, most))
    present = random.integers(0, most + 1, rows)
    return np.where(np.arange(most) < present[:, None], lengths, -1)


@given(rows=streams(), lengths=spans(), seed=st.integers(0, 2**32))
def test_spans_keep_inside_documents_and_apart(rows, lengths, seed) -> None:
    ids, segments = rows
    lengths = lengths[np.arange(len(ids)) % len(lengths)]
    hideable = vocabulary().ordinary[ids]
    hidden, followed = hide_spans(hideable, segments, lengths, generator(seed, 0))
    assert not (hidden & ~hideable).any()
    assert not (followed & ~hideable).any()
    first = span_starts(hidden, segments)
    wanted = np.maximum(lengths, 0).sum(1)
    assert (hidden.sum(1) <= wanted).all()
    assert (first.sum(1) <= (lengths > 0).sum(1)).all()
    assert (followed.sum(1) <= (lengths == 0).sum(1)).all()
    for row in np.flatnonzero(hidden.sum(1) < wanted):
        # Spans did not fit at first, and none of those placed can grow without touching another.
        for place in np.flatnonzero(hideable[row] & ~hidden[row]):
            beside = [
                other
                for other in (place - 1, place + 1)
                if 0 <= other < ids.shape[1] and segments[row, other] == segments[row, place]
            ]
            assert hidden[row, beside].sum() != 1


def test_in_one_long_document_all_lengths_are_as_asked() -> None:
    ids, segments = one_document(200, 60, np.random.default_rng(0))
    lengths = np.tile([1, 2, 3, 0, 5, -1], (200, 1))
    hidden, followed = hide_spans(np.ones_like(ids, dtype=bool), segments, lengths, generator(0, 0))
    assert (hidden.sum(1) == 11).all()
    first = span_starts(hidden, segments)
    assert (first.sum(1) == 4).all()
    for row in range(200):
        starts = np.flatnonzero(first[row])
        assert [int(hidden[row, start:][:6].cumprod().sum()) for start in starts] == [1, 2, 3, 5]
        (empty,) = np.flatnonzero(followed[row])
        assert starts[2] + 3 <= empty < starts[3], "in its turn among the others"


def test_every_placement_is_as_likely() -> None:
    """Two spans of 1 and 2 among 7 tokens: C(5, 2) = 10 placements, each within five standard deviations."""
    rows = 40_000
    ids, segments = one_document(rows, 7, np.random.default_rng(0))
    hidden, _ = hide_spans(
        np.ones_like(ids, dtype=bool), segments, np.tile([1, 2], (rows, 1)), generator(0, 0)
    )
    kinds, counts = np.unique(hidden, axis=0, return_counts=True)
    assert len(kinds) == comb(5, 2)
    assert abs(counts - rows / 10).max() < 5 * (rows * 0.1 * 0.9) ** 0.5


def test_every_composition_is_as_likely() -> None:
    """7 in 3 parts: C(6, 2) = 15 ways."""
    found = compositions(7, 3, 60_000, generator(0, 0))
    assert (found.sum(1) == 7).all()
    kinds, counts = np.unique(found, axis=0, return_counts=True)
    assert kinds.min() == 1
    assert len(kinds) == comb(6, 2)
    assert abs(counts - 4000).max() < 5 * (60_000 / 15 * 14 / 15) ** 0.5


@given(total=st.integers(1, 40), parts=st.integers(1, 40))
def test_compositions_add_up(total, parts) -> None:
    parts = min(total, parts)
    found = compositions(total, parts, 3, generator(0, 0))
    assert found.shape == (3, parts)
    assert (found >= 1).all()
    assert (found.sum(1) == total).all()
