"""The next token of the same document, behind a prefix or from the first on."""

import numpy as np
import torch
from hypothesis import given
from streams import one_document, streams

from headstart.objectives.batch import generator
from headstart.objectives.causal import causal_batch
from headstart.objectives.prefix import prefix_batch


def next_tokens(ids: np.ndarray, segments: np.ndarray) -> list[tuple[int, int]]:
    width = ids.shape[1] - 1
    return [
        (row * width + place, ids[row, place + 1])
        for row in range(len(ids))
        for place in range(width)
        if segments[row, place] == segments[row, place + 1]
    ]


@given(rows=streams())
def test_causal_targets_are_the_next_tokens_of_the_same_document(rows) -> None:
    ids, segments = rows
    batch = causal_batch(ids, segments)
    found = list(zip(batch.positions.tolist(), batch.targets.tolist(), strict=True))
    assert found == next_tokens(ids, segments)
    assert torch.equal(batch.ids, torch.from_numpy(ids[:, :-1].copy()))
    assert torch.equal(batch.segments, torch.from_numpy(segments[:, :-1].copy()))


@given(rows=streams())
def test_a_prefix_is_the_beginning_of_a_document_and_what_follows_is_scored(rows) -> None:
    ids, segments = rows
    batch = prefix_batch(ids, segments, generator(0, 0))
    assert torch.equal(batch.ids, torch.from_numpy(ids[:, :-1].copy()))
    scored = dict(zip(batch.positions.tolist(), batch.targets.tolist(), strict=True))
    expected = {}
    for row in range(len(ids)):
        for number in np.unique(segments[row]):
            places = np.flatnonzero(segments[row] == number)
            inputs = places[places < ids.shape[1] - 1]
            prefix = batch.prefix[row, inputs].numpy()
            held = int(prefix.sum())
            assert prefix[:held].all(), "a prefix has no gaps"
            assert len(inputs) == 0 or 1 <= held <= max(len(places) - 1, 1)
            for place in places[held:]:
                if place > 0 and held:
                    expected[row * (ids.shape[1] - 1) + place - 1] = ids[row, place]
    assert scored == expected


def test_every_length_of_prefix_is_as_likely() -> None:
    """From 1 to 10 of 11 tokens, each within five standard deviations."""
    rows = one_document(20_000, 11, np.random.default_rng(0))
    held = prefix_batch(*rows, generator(0, 0)).prefix.sum(1)
    counts = torch.bincount(held, minlength=11)
    assert counts[0] == 0
    assert len(counts) == 11
    assert (counts[1:] - 2000).abs().max() < 5 * (20_000 * 0.1 * 0.9) ** 0.5
