"""Pairs of texts: what they are made of, that they are balanced, that only their content tells."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from streams import END, MASK, PAD, START, one_document, pieces, stream, streams, vocabulary

from headstart.objectives.batch import Batch, generator
from headstart.objectives.next_sentence import ROOM, next_sentence_batch


def paired(rows, seed: int = 0, rate: float = 0.15) -> Batch:
    return next_sentence_batch(*rows, rate, vocabulary(), generator(seed, 0))


def restored(batch: Batch) -> np.ndarray:
    """The rows before masking."""
    ids = batch.ids.flatten().clone()
    ids[batch.positions] = batch.targets
    return ids.view(batch.ids.shape).numpy()


def read(batch: Batch) -> list[tuple[int, list[int], list[int], int]]:
    """Row, first text, second text and label of each pair, after checking how it is written."""
    types, found = batch.token_types.numpy(), []
    labels, places = batch.pair_targets.tolist(), batch.pair_positions.tolist()
    written = list(pieces(restored(batch), batch.segments.numpy()))
    assert len(written) == len(labels)
    for (row, number, tokens), label, place in zip(written, labels, places, strict=True):
        inside = batch.segments[row].numpy() == number
        assert place == row * batch.ids.shape[1] + np.flatnonzero(inside)[0]
        middle = tokens.index(END)
        assert tokens[0] == START
        assert tokens[-1] == END
        assert types[row][inside].tolist() == [0] * (middle + 1) + [1] * (len(tokens) - middle - 1)
        found.append((row, tokens[1:middle], tokens[middle + 1 : -1], label))
    return found


@given(rows=streams(), seed=st.integers(0, 2**32))
def test_pairs_come_from_the_documents(rows, seed) -> None:
    batch = paired(rows, seed)
    texts = [
        (row, number, [token for token in tokens if token not in (START, END)])
        for row, number, tokens in pieces(*rows)
    ]
    texts = [(row, number, text) for row, number, text in texts if len(text) >= 2]
    found = read(batch)
    assert len(found) == len(texts), "every document of two tokens becomes a pair"
    for (row, first, second, label), (own_row, number, text) in zip(found, texts, strict=True):
        assert row == own_row
        assert first
        assert second
        assert len(first) + len(second) == len(text), "whatever the label"
        assert first == text[: len(first)]
        if label == 0:
            assert second == text[len(first) :]
        else:
            others = [other for _, unlike, other in texts if unlike != number]
            assert any(other[-len(second) :] == second for other in others)
    numbers = [number for _, number, _ in texts]
    most = max((numbers.count(number) for number in numbers), default=0)
    if most <= len(texts) // 2:
        assert sum(label for *_, label in found) == len(texts) // 2, "balanced exactly"
    assert (batch.ids[batch.segments == -1] == PAD).all()
    frame = np.isin(restored(batch), [START, END, PAD])
    np.testing.assert_array_equal(batch.ids.numpy()[frame], restored(batch)[frame])


def test_rows_of_one_document_each_are_balanced_and_of_static_shape() -> None:
    rows = one_document(33, 40, np.random.default_rng(0))
    for seed in range(20):
        batch = paired(rows, seed)
        assert batch.ids.shape == (33, 40 + ROOM)
        assert int(batch.pair_targets.sum()) == 16
        assert len(batch.targets) == round(0.15 * 33 * 40)


def test_no_second_text_comes_from_the_same_document() -> None:
    """Rows of one document cannot exchange anything: all second texts follow."""
    ids, _ = one_document(8, 20, np.random.default_rng(0))
    batch = paired((ids, np.ones_like(ids)))
    assert not batch.pair_targets.any()


def test_lengths_tell_nothing_and_every_document_is_as_likely_to_be_exchanged() -> None:
    """Labels have a share of one half for each document and each length, within five standard deviations."""
    rows = stream(16, 64, 40, np.random.default_rng(1))
    runs = [read(paired(rows, seed)) for seed in range(400)]
    labels = np.array([[label for *_, label in run] for run in runs])
    count = labels.shape[1]
    spread = (0.25 / 400) ** 0.5
    assert abs(labels.mean() - (count // 2) / count) < 1e-12
    # One text too many is left over by itself in each batch of an odd number.
    assert abs(labels.mean(0) - 0.5).max() < 5 * spread + 1 / count
    long = np.array([[len(second) > len(first) for _, first, second, _ in run] for run in runs])
    n = long.sum()
    assert abs(labels[long].mean() - 0.5) < 5 * (0.25 / n) ** 0.5 + 1 / count


@pytest.mark.parametrize("rate", [0.15, 0.5])
def test_pairs_are_masked(rate) -> None:
    batch = paired(stream(16, 64, 40, np.random.default_rng(2)), rate=rate)
    text = np.isin(restored(batch), [START, END, PAD, *range(4, 5)], invert=True).sum()
    assert len(batch.targets) == round(rate * text)
    masks = (batch.ids.flatten()[batch.positions] == MASK).sum()
    assert abs(float(masks) - 0.8 * len(batch.targets)) < 5 * (0.16 * len(batch.targets)) ** 0.5
    weight = float(batch.pair_weight)
    assert weight == pytest.approx(len(batch.targets) / len(batch.pair_targets))
    assert torch.equal(batch.pair_targets, batch.pair_targets.clamp(0, 1))
