"""Masking: how many tokens, which, and what is put in their place."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from streams import MASK, ORDINARY, one_document, stream, streams, vocabulary

from headstart.objectives.batch import Batch, generator
from headstart.objectives.masked import masked_batch


@pytest.fixture(scope="module")
def rows() -> tuple[np.ndarray, np.ndarray]:
    return stream(64, 64, 60, np.random.default_rng(0))


def masked(rows, rate: float, seed: int = 0, step: int = 0, **options) -> Batch:
    return masked_batch(*rows, rate, vocabulary(), generator(seed, step), **options)


def is_ordinary(ids: np.ndarray) -> np.ndarray:
    return vocabulary().ordinary[ids]


@given(rows=streams(), rate=st.floats(0.01, 0.99), seed=st.integers(0, 2**63))
def test_the_rate_is_exact_and_only_ordinary_tokens_are_touched(rows, rate, seed) -> None:
    ids, segments = rows
    batch = masked(rows, rate, seed)
    ordinary = is_ordinary(ids).sum()
    assert len(batch.targets) == min(max(1, round(rate * ordinary)), ordinary)
    flat, seen = ids.reshape(-1), batch.ids.reshape(-1).numpy()
    assert is_ordinary(flat[batch.positions]).all()
    np.testing.assert_array_equal(flat[batch.positions], batch.targets)
    untouched = np.ones(flat.size, dtype=bool)
    untouched[batch.positions] = False
    np.testing.assert_array_equal(seen[untouched], flat[untouched])
    put = seen[batch.positions]
    assert (is_ordinary(put) | (put == MASK)).all()
    assert torch.equal(batch.segments, torch.from_numpy(segments))


def test_what_masking_puts_in_place(rows) -> None:
    """80 % masks, 10 % random tokens, 10 % unchanged, within five standard deviations."""
    batches = [masked(rows, 0.3, step=step) for step in range(40)]
    seen = torch.cat([batch.ids.reshape(-1)[batch.positions] for batch in batches])
    targets = torch.cat([batch.targets for batch in batches])
    n = len(seen)
    same_by_chance = 0.1 / len(ORDINARY)
    for count, share in (
        (seen == MASK, 0.8),
        (seen == targets, 0.1 + same_by_chance),
        ((seen != targets) & (seen != MASK), 0.1 - same_by_chance),
    ):
        assert abs(float(count.sum()) - n * share) < 5 * (n * share * (1 - share)) ** 0.5
    drawn = torch.bincount(seen[(seen != targets) & (seen != MASK)], minlength=100)
    share = 1 / len(ORDINARY)
    spread = (float(drawn.sum()) * share) ** 0.5
    assert drawn.sum() == drawn[list(ORDINARY)].sum()
    assert (drawn[list(ORDINARY)] - float(drawn.sum()) * share).abs().max() < 5 * spread


def test_every_token_is_chosen_equally_often(rows) -> None:
    counts = np.zeros(rows[0].size)
    for step in range(400):
        counts[masked(rows, 0.25, step=step).positions] += 1
    counts = counts[is_ordinary(rows[0].reshape(-1))]
    assert abs(counts.mean() - 100) < 0.1
    assert abs(counts.var() / 75 - 1) < 0.15  # 400 * 1/4 * 3/4
    assert counts.min() > 40


@given(rows=streams(), count=st.integers(0, 60))
def test_a_fixed_count_does_not_depend_on_the_rows(rows, count) -> None:
    assert len(masked(rows, 0.5, count=count).targets) == min(count, is_ordinary(rows[0]).sum())


def words(rows) -> np.ndarray:
    """The word of each token, -1 for what is no ordinary one, flattened."""
    ids, segments = rows
    numbers, word = np.full(ids.shape, -1), -1
    for row in range(len(ids)):
        for place in range(ids.shape[1]):
            if not is_ordinary(ids[row, place]):
                continue
            goes_on = (
                place > 0
                and numbers[row, place - 1] >= 0
                and segments[row, place - 1] == segments[row, place]
                and not vocabulary().begins_word[ids[row, place]]
            )
            word += not goes_on
            numbers[row, place] = word
    return numbers.reshape(-1)


@given(rows=streams(), rate=st.floats(0.05, 0.95), seed=st.integers(0, 2**32))
def test_whole_words_are_chosen_whole(rows, rate, seed) -> None:
    batch = masked(rows, rate, seed, whole_words=True)
    numbers = words(rows)
    chosen = np.zeros(len(numbers), dtype=bool)
    chosen[batch.positions] = True
    inside = numbers >= 0
    assert not chosen[~inside].any()
    count, total = np.bincount(numbers[inside]), np.bincount(numbers[inside], chosen[inside])
    assert ((total == 0) | (total == count)).all()
    wanted = max(1, round(rate * inside.sum()))
    missing = wanted - len(batch.targets)
    assert missing >= 0
    left = count[total == 0]
    assert missing == 0 or (left > missing).all(), "short of the rate only if no word is short enough"


def test_whole_words_reach_the_exact_rate_and_are_chosen_about_equally_often() -> None:
    rows = one_document(32, 64, np.random.default_rng(1))
    numbers, counts = words(rows), np.zeros(32 * 64)
    for step in range(300):
        batch = masked(rows, 0.2, step=step, whole_words=True)
        assert len(batch.targets) == round(0.2 * 32 * 64)
        counts[batch.positions] += 1
    lengths = np.bincount(numbers)[numbers]
    for length in (1, 2, 3):
        assert abs(counts[lengths == length].mean() / 60 - 1) < 0.05


def test_a_row_of_specials_alone_has_no_targets() -> None:
    ids = np.zeros((1, 8), dtype=np.int64)
    assert len(masked((ids, ids), 0.5).targets) == 0
    assert len(masked((ids, ids), 0.5, whole_words=True).targets) == 0
