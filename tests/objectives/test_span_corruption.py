"""Span corruption: source and target together are the text, and counts are T5's."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streams import END, PAD, SENTINELS, one_document, pieces, stream, streams, vocabulary

from headstart.objectives.batch import Batch, generator
from headstart.objectives.span_corruption import (
    noise_counts,
    row_length,
    source_width,
    span_corruption_batch,
)


def corrupted(rows, rate: float = 0.15, mean_span: float = 3.0, seed: int = 0) -> Batch:
    as_in_t5 = replace(vocabulary(), decoder_start="pad")
    return span_corruption_batch(*rows, rate, mean_span, as_in_t5, generator(seed, 0))


def spans_of(target: list[int]) -> list[list[int]]:
    """The spans that a document's target writes, after checking sentinels and end."""
    assert target[-1] == END
    spans: list[list[int]] = []
    for token in target[:-1]:
        if token in SENTINELS:
            assert token == SENTINELS[len(spans)], "sentinels in their order, from the first"
            spans.append([])
        else:
            spans[-1].append(token)
    assert all(spans), "no span is empty"
    return spans


@settings(max_examples=200)
@given(
    rows=streams(),
    rate=st.sampled_from([0.05, 0.15, 0.3, 0.5]),
    mean_span=st.sampled_from([1.5, 3.0, 8.0]),
    seed=st.integers(0, 2**32),
)
def test_source_and_target_are_the_documents(rows, rate, mean_span, seed) -> None:
    batch = corrupted(rows, rate, mean_span, seed)
    targets = np.full(batch.ids.numel(), -1)
    targets[batch.positions] = batch.targets
    targets = targets.reshape(batch.ids.shape)
    written = {(row, number): tokens for row, number, tokens in pieces(targets, batch.segments.numpy())}
    inputs = {
        (row, number): tokens for row, number, tokens in pieces(batch.ids.numpy(), batch.segments.numpy())
    }
    sources = list(pieces(batch.source.numpy(), batch.source_segments.numpy()))
    originals = list(pieces(*rows))
    assert len(sources) == len(originals), "no document vanishes"
    for (row, number, source), (own_row, own_number, original) in zip(sources, originals, strict=True):
        assert (row, number) == (own_row, own_number)
        target = written.pop((row, number), None)
        if target is None:
            assert source == original
            continue
        assert inputs[row, number] == [PAD, *target[:-1]], "shifted to the right behind padding"
        spans = spans_of(target)
        restored = []
        for place, token in enumerate(source):
            restored += spans.pop(0) if token in SENTINELS else [token]
            assert token not in SENTINELS or place == 0 or source[place - 1] not in SENTINELS
        assert restored == original
        assert not spans
    assert not written, "every target belongs to a document"


@pytest.mark.parametrize(("length", "tokens", "spans"), [(568, 85, 28), (512, 77, 26), (30, 4, 1), (2, 1, 1)])
def test_counts_are_those_of_t5(length, tokens, spans) -> None:
    """85 and 28: the numbers in T5's code for inputs of 512 tokens (targets of 114 with the end)."""
    assert noise_counts(length, 0.15, 3.0) == (tokens, spans)


def test_rows_fill_the_context() -> None:
    assert row_length(512, 0.15, 3.0) == 568
    for context in range(8, 600, 7):
        for rate, mean_span in ((0.15, 3.0), (0.5, 1.0), (0.3, 10.0)):
            length = row_length(context, rate, mean_span)
            assert (
                source_width(length, rate, mean_span) <= context < source_width(length + 2, rate, mean_span)
            )


def test_rows_of_one_document_have_exactly_t5s_numbers() -> None:
    batch = corrupted(one_document(64, 180, np.random.default_rng(0)))
    tokens, spans = noise_counts(180, 0.15, 3.0)
    assert batch.source.shape == (64, 180 - tokens + spans + 1)
    assert batch.ids.shape == (64, tokens + 2 * spans)
    assert (np.isin(batch.source, SENTINELS).sum(1) == spans).all()
    assert ((batch.segments >= 0).sum(1) == tokens + spans + 1).all()
    assert ((batch.source_segments == -1).sum(1) == 1).all(), "one column of padding"


def test_shapes_are_static_and_counts_exact_for_rows_of_several_documents() -> None:
    shapes = set()
    for seed in range(30):
        rows = stream(8, 180, 60, np.random.default_rng(seed))
        batch = corrupted(rows, seed=seed)
        shapes.add((*batch.source.shape, *batch.ids.shape))
        sentinels = np.isin(batch.targets, SENTINELS).sum()
        ends = (batch.targets == END).sum()
        assert sentinels == 8 * noise_counts(180, 0.15, 3.0)[1]
        assert len(batch.targets) - sentinels - ends == 8 * noise_counts(180, 0.15, 3.0)[0]
    assert len(shapes) == 1


def test_spans_have_the_mean_length_and_lie_anywhere() -> None:
    """Inside a row each place is hidden as often as the others, within five standard deviations."""
    rows = 6000
    batch = corrupted(one_document(rows, 100, np.random.default_rng(0)))
    tokens, spans = noise_counts(100, 0.15, 3.0)
    assert tokens / spans == 3.0
    hidden = np.zeros((rows, 100), dtype=bool)
    targets = iter(batch.targets.tolist())
    lengths = []
    for row, source in enumerate(batch.source.tolist()):
        held = spans_of([next(targets) for _ in range(tokens + spans + 1)])
        lengths += [len(span) for span in held]
        place = 0
        for token in source[:-1]:
            length = len(held.pop(0)) if token in SENTINELS else 1
            hidden[row, place : place + length] = token in SENTINELS
            place += length
    assert np.mean(lengths) == 3.0
    # Of C(14, 4) ways to cut 15 tokens into 5 spans, C(13, 3) begin with a span of one.
    single = 286 / 1001
    assert abs(np.mean(np.array(lengths) == 1) - single) < 5 * (single / len(lengths)) ** 0.5
    inner = hidden[:, 15:85].mean(0)
    assert abs(inner - inner.mean()).max() < 5 * (0.16 * 0.84 / rows) ** 0.5
    assert hidden[:, [0, -1]].any(0).all(), "first and last token too"


def test_the_example_of_the_docstring() -> None:
    """Eight tokens of which "b" and "e f" are hidden; other draws hide others."""
    a, b, c, d, e, f, g, h = range(10, 18)
    rows = np.array([[a, b, c, d, e, f, g, h]]), np.zeros((1, 8), np.int64)
    first, second = SENTINELS[:2]
    for seed in range(1000):
        batch = corrupted(rows, 0.375, 1.5, seed)
        if batch.source.tolist() == [[a, first, c, d, second, g, h, PAD]]:
            break
    assert batch.source.tolist() == [[a, first, c, d, second, g, h, PAD]]
    assert batch.ids.tolist() == [[PAD, first, b, second, e, f, PAD]]
    assert batch.targets.tolist() == [first, b, second, e, f, END]
    assert batch.positions.tolist() == list(range(6))
