"""Packing: every token once, documents whole where they fit, and as few rows as the textbook algorithm."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.objectives.causal import causal_batch
from headstart.tokenizer.packing import PackedRows, best_fit
from headstart.tokenizer.shards import TokenRows


def textbook(lengths: list[int], capacity: int) -> int:
    """How many rows best-fit decreasing opens, one piece after another."""
    free: list[int] = []
    for length in sorted(lengths, reverse=True):
        fitting = [left for left in free if left >= length]
        if fitting:
            free[free.index(min(fitting))] -= length
        else:
            free.append(capacity - length)
    return len(free)


@given(st.integers(1, 40).flatmap(lambda n: st.tuples(st.just(n), st.lists(st.integers(1, n), min_size=1))))
def test_best_fit_is_the_textbook_one(given: tuple[int, list[int]]) -> None:
    capacity, lengths = given
    rows = best_fit(np.array(lengths), capacity)
    assert np.bincount(rows, weights=lengths).max() <= capacity
    assert set(rows.tolist()) == set(range(rows.max() + 1))
    assert rows.max() + 1 == textbook(lengths, capacity)


@pytest.mark.parametrize("length", [16, 100, 700])
def test_every_token_once_and_documents_whole(tokens, length: int) -> None:
    plain, packed = (
        kind(tokens, "train", length, *filler) for kind, filler in ((TokenRows, ()), (PackedRows, (0,)))
    )
    ids, segments = packed.read(np.arange(len(packed)))
    real = segments >= 0
    assert real.mean() == pytest.approx(packed.filled)
    sizes = np.concatenate([np.diff(shard.starts, append=len(shard)) for shard in plain.shards])
    assert real.sum() == sizes.sum()
    assert (ids[~real] == 0).all()
    pieces = np.unique(segments[real])
    assert len(pieces) == (-(-sizes // length)).sum()
    whole = {tuple(ids[segments == piece].tolist()) for piece in pieces[:200]}
    stream = np.concatenate([shard.ids(slice(None)) for shard in plain.shards])
    starts = np.concatenate([[0], np.cumsum(sizes)])
    cut = {
        tuple(stream[at : min(at + length, end)].tolist())
        for start, end in itertools.pairwise(starts)
        for at in range(start, end, length)
    }
    assert whole <= cut
    assert len(np.unique(segments)) == len(pieces) + (~real).sum()
    domains = packed.domains_of(np.arange(len(packed)))
    assert domains.shape == ids.shape
    for number, name in enumerate(packed.domains):
        held = sum(
            int((shard.domains == number).astype(int) @ np.diff(shard.starts, append=len(shard)))
            for shard in plain.shards
        )
        assert (domains[real] == number).sum() == held, name


def test_nothing_is_predicted_from_or_into_an_empty_place(tokens) -> None:
    packed = PackedRows(tokens, "train", 65, 0)
    ids, segments = packed.read(np.arange(len(packed)))
    batch = causal_batch(ids, segments)
    empty = (segments < 0)[:, :-1].reshape(-1)
    before = (segments < 0)[:, 1:].reshape(-1)
    positions = np.asarray(batch.positions)
    assert not empty[positions].any()
    assert not before[positions].any()
    assert 0.99 < packed.filled < 1
