"""Denoising: the damage is of the kind and size asked for, and the decoder writes the original."""

from collections import Counter
from math import exp

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streams import END, MASK, PAD, START, pieces, stream, streams, vocabulary

from headstart.objectives.batch import Batch, generator
from headstart.objectives.denoising import denoising_batch


def damaged(rows, seed: int = 0, rate: float = 0.3, mean_span: float = 3.0, **options) -> Batch:
    return denoising_batch(*rows, rate, mean_span, vocabulary(), generator(seed, 0), **options)


def sources(batch: Batch) -> list[tuple[int, int, list[int]]]:
    return list(pieces(batch.source.numpy(), batch.source_segments.numpy()))


def is_part(short: list[int], long: list[int]) -> bool:
    """Whether `short` is `long` with some tokens left out."""
    rest = iter(long)
    return all(token in rest for token in short)


@settings(max_examples=200)
@given(
    rows=streams(),
    seed=st.integers(0, 2**32),
    rate=st.sampled_from([0.0, 0.3, 0.6]),
    mean_span=st.sampled_from([1.0, 3.0]),
    permute=st.booleans(),
    delete=st.sampled_from([0.0, 0.3]),
)
def test_the_decoder_writes_the_original_and_the_encoder_reads_parts_of_it(
    rows, seed, rate, mean_span, permute, delete
) -> None:
    ids, segments = rows
    batch = damaged(rows, seed, rate, mean_span, permute_sentences=permute, delete_rate=delete)
    np.testing.assert_array_equal(batch.positions, np.arange(ids.size))
    np.testing.assert_array_equal(batch.targets, ids.reshape(-1))
    np.testing.assert_array_equal(batch.segments, segments)
    originals = list(pieces(*rows))
    for row, number, tokens in originals:
        inside = segments[row] == number
        assert batch.ids[row][inside].tolist() == [END, *tokens[:-1]]
    found = sources(batch)
    assert [piece[:2] for piece in found] == [piece[:2] for piece in originals]
    gone = 0
    for (_, _, source), (_, _, original) in zip(found, originals, strict=True):
        assert source, "something is left to look at"
        seen = [token for token in source if token != MASK]
        missing = Counter(original)
        missing.subtract(seen)
        assert min(missing.values()) >= 0, "nothing is read that is not there"
        assert missing[START] == missing[END] == 0
        if not permute:
            assert is_part(seen, original)
        if original[0] == START:
            assert source[0] == START
        if original[-1] == END:
            assert source[-1] in (END, MASK)  # a mask may be put behind the end of a cut-off document
        gone += sum(missing.values())
    ordinary = vocabulary().ordinary[ids].sum(1)
    wanted = np.rint(rate * ordinary).sum()
    assert gone <= wanted + round(delete * ordinary.sum())
    assert batch.source.shape[1] % 8 == 0
    if not delete and gone == wanted:
        assert ((batch.source_segments >= 0).sum(1) <= ids.shape[1]).all(), "no longer than the rows"
    assert (batch.source[batch.source_segments == -1] == PAD).all()


def test_how_much_is_hidden_and_deleted() -> None:
    rows = stream(32, 128, 100, np.random.default_rng(0))
    ordinary = vocabulary().ordinary[rows[0]]
    wanted = np.rint(0.3 * ordinary.sum(1))
    for seed in range(10):
        batch = damaged(rows, seed)
        seen = vocabulary().ordinary[batch.source].sum(1)
        np.testing.assert_array_equal(ordinary.sum(1) - seen, wanted)
        fewer = vocabulary().ordinary[damaged(rows, seed, delete_rate=0.2).source].sum()
        left = ordinary.sum() - wanted.sum()
        # What stands first in a row's part of a document is never deleted.
        assert 0 <= fewer - (left - round(0.2 * left)) <= 32


def test_lengths_of_spans_follow_poisson() -> None:
    """Read off a document whose tokens are all different: their share, mean and spread."""
    lengths = []
    for seed in range(60):
        ids = np.tile(np.arange(5, 70), 8)[None]
        ids = np.concatenate([[[START]], ids, [[END]]], axis=1)
        source = damaged((ids, np.zeros_like(ids)), seed, permute_sentences=False).source[0].tolist()
        place, masks = 0, 0
        for token in source[1:]:
            if token == PAD:
                break
            if token == MASK:
                masks += 1
                continue
            # Tokens repeat every 65: no span is that long.
            here = place + (((token - 5) - place) % 65 if token != END else 520 - place)
            if masks == 1:
                lengths.append(here - place)
            elif masks == 0:
                assert here == place
            place, masks = here + 1, 0
    n = len(lengths)
    assert n > 2500
    # The last span of a row is cut, one of about fifty.
    assert abs(np.mean(lengths) - 3) < 5 * (3 / n) ** 0.5 + 3 / 50
    for length in range(6):
        share = exp(-3) * 3**length / [1, 1, 2, 6, 24, 120][length]
        found = np.mean(np.array(lengths) == length)
        assert abs(found - share) < 5 * (share * (1 - share) / n) ** 0.5 + 1 / 50, length


def test_sentences_are_permuted_whole() -> None:
    ids, segments = stream(16, 64, 60, np.random.default_rng(1))
    batch = damaged((ids, segments), rate=0.0)
    assert batch.source.shape == ids.shape
    np.testing.assert_array_equal(batch.source_segments, segments)
    moved = 0
    for (_, _, source), (_, _, original) in zip(sources(batch), pieces(ids, segments), strict=True):
        assert Counter(sentences(source)) == Counter(sentences(original)) or not closed(original)
        moved += source != original
    assert moved > 16


def sentences(tokens: list[int]) -> list[tuple[int, ...]]:
    found: list[list[int]] = [[]]
    for token in tokens:
        if token in (START, END):
            continue
        found[-1].append(token)
        if 20 <= token <= 25:
            found.append([])
    return [tuple(sentence) for sentence in found if sentence]


def closed(tokens: list[int]) -> bool:
    """Whether the last sentence ends as one: if not, what it is moved before becomes one with it."""
    text = [token for token in tokens if token not in (START, END)]
    return not text or 20 <= text[-1] <= 25


@pytest.mark.parametrize("count", [2, 3])
def test_every_order_of_sentences_is_as_likely(count) -> None:
    orders = Counter()
    ids = np.array([[START, *(t for n in range(count) for t in (30 + n, 20)), END]]).repeat(3000, 0)
    segments = np.arange(3000)[:, None].repeat(ids.shape[1], 1)
    for source in damaged((ids, segments), rate=0.0).source[:, : ids.shape[1]].tolist():
        orders[tuple(token for token in source if token >= 30)] += 1
    kinds = [1, 2, 6][count - 1]
    assert len(orders) == kinds
    share = 1 / kinds
    assert all(abs(n - 3000 * share) < 5 * (3000 * share * (1 - share)) ** 0.5 for n in orders.values())
