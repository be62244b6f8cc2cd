"""Batches: what is predicted, from what, and that parts add up to the whole."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from headstart.objectives.batch import Batch, generator, loss_sum
from headstart.objectives.causal import causal_batch
from headstart.objectives.masked import masked_batch
from headstart.tokenizer.bpe import MASK_ID, SPECIAL
from headstart.tokenizer.shards import TokenRows

VOCABULARY = 600


@pytest.fixture(scope="module")
def rows(tokens) -> tuple[np.ndarray, np.ndarray]:
    """Real rows, `[64, 65]`, with document borders inside."""
    return TokenRows(tokens, "train", 65).read(np.arange(64))


def masked(rows, rate: float, seed: int = 0, step: int = 0) -> Batch:
    return masked_batch(*rows, rate, VOCABULARY, generator(seed, step))


def test_causal_targets_are_the_next_tokens_of_the_same_document(rows) -> None:
    ids, segments = rows
    batch = causal_batch(ids, segments)
    expected = [
        (row * 64 + place, ids[row, place + 1])
        for row in range(64)
        for place in range(64)
        if segments[row, place] == segments[row, place + 1]
    ]
    assert list(zip(batch.positions.tolist(), batch.targets.tolist(), strict=True)) == expected
    assert len(expected) < 64 * 64, "the rows have document borders"
    assert torch.equal(batch.ids, torch.from_numpy(ids[:, :-1]))
    assert torch.equal(batch.segments, torch.from_numpy(segments[:, :-1]))


@given(rate=st.floats(0.01, 0.99), seed=st.integers(0, 2**63))
def test_masking_rate_is_exact_and_specials_are_left_alone(rows, rate, seed) -> None:
    ids, segments = rows
    batch = masked(rows, rate, seed)
    ordinary = (ids >= len(SPECIAL)).sum()
    assert len(batch.targets) == max(1, round(rate * ordinary))
    assert len(set(batch.positions.tolist())) == len(batch.positions)
    flat = ids.reshape(-1)
    assert (flat[batch.positions] >= len(SPECIAL)).all()
    np.testing.assert_array_equal(flat[batch.positions], batch.targets)
    untouched = np.ones(flat.size, dtype=bool)
    untouched[batch.positions] = False
    np.testing.assert_array_equal(batch.ids.reshape(-1)[untouched], flat[untouched])
    assert torch.equal(batch.segments, torch.from_numpy(segments))


def test_what_masking_puts_in_place(rows) -> None:
    """80 % masks, 10 % random tokens, 10 % unchanged, within five standard deviations."""
    batches = [masked(rows, 0.3, step=step) for step in range(40)]
    seen = torch.cat([batch.ids.reshape(-1)[batch.positions] for batch in batches])
    targets = torch.cat([batch.targets for batch in batches])
    n = len(seen)
    same_by_chance = 0.1 / (VOCABULARY - len(SPECIAL))
    for count, share in (
        (seen == MASK_ID, 0.8),
        (seen == targets, 0.1 + same_by_chance),
        ((seen != targets) & (seen != MASK_ID), 0.1 - same_by_chance),
    ):
        assert abs(float(count.sum()) - n * share) < 5 * (n * share * (1 - share)) ** 0.5
    drawn = seen[(seen != targets) & (seen != MASK_ID)]
    assert int(drawn.min()) >= len(SPECIAL)
    assert int(drawn.max()) < VOCABULARY
    assert len(drawn.unique()) > 0.9 * VOCABULARY


def test_masking_depends_on_seed_and_step_alone(rows) -> None:
    first, again = masked(rows, 0.3, 7, 3), masked(rows, 0.3, 7, 3)
    assert torch.equal(first.ids, again.ids)
    assert torch.equal(first.positions, again.positions)
    for other in (masked(rows, 0.3, 7, 4), masked(rows, 0.3, 8, 3)):
        assert not torch.equal(first.positions, other.positions)


def test_neighbouring_steps_draw_unrelated_numbers() -> None:
    """A counter-based generator counts on: step 4 must not begin inside the numbers of step 3."""
    streams = [generator(0, step).integers(0, 2**63, 4000) for step in range(6)]
    streams += [generator(seed, 0).integers(0, 2**63, 4000) for seed in range(1, 4)]
    assert len(np.unique(np.concatenate(streams))) == 9 * 4000


def test_every_token_is_chosen_equally_often(rows) -> None:
    counts = np.zeros(rows[0].size)
    for step in range(400):
        counts[masked(rows, 0.25, step=step).positions] += 1
    counts = counts[rows[0].reshape(-1) >= len(SPECIAL)]
    assert abs(counts.mean() - 100) < 0.1
    assert abs(counts.var() / 75 - 1) < 0.15  # 400 * 1/4 * 3/4
    assert counts.min() > 40


def test_a_row_of_specials_alone_has_no_targets() -> None:
    ids = np.zeros((1, 8), dtype=np.int64)
    assert len(masked_batch(ids, ids, 0.5, VOCABULARY, generator(0, 0)).targets) == 0


@given(size=st.integers(1, 70), kind=st.sampled_from(["causal", "masked"]))
def test_parts_are_a_partition(rows, size, kind) -> None:
    batch = causal_batch(*rows) if kind == "causal" else masked(rows, 0.3)
    parts = list(batch.split(size))
    assert torch.equal(torch.cat([part.ids for part in parts]), batch.ids)
    assert torch.equal(torch.cat([part.segments for part in parts]), batch.segments)
    assert torch.equal(torch.cat([part.targets for part in parts]), batch.targets)
    width = batch.ids.shape[1]
    starts = [index * size * width for index in range(len(parts))]
    moved = torch.cat([part.positions + start for part, start in zip(parts, starts, strict=True)])
    assert torch.equal(moved, batch.positions)
    for part in parts:
        assert len(part.ids) <= size
        assert ((part.positions >= 0) & (part.positions < part.ids.numel())).all()


@pytest.mark.parametrize("family", ["headstart-encoder", "headstart-decoder"])
@pytest.mark.parametrize("size", [1, 3, 5, 16])
def test_loss_and_gradients_of_parts_add_up(rows, tiny, family, size) -> None:
    few = rows[0][:16], rows[1][:16]
    batch = causal_batch(*few) if family.endswith("decoder") else masked(few, 0.3)
    model = tiny(family)
    whole = loss_sum(model, batch)
    whole.backward()
    expected = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    model.zero_grad()
    total = torch.zeros(())
    for part in batch.split(size):
        loss = loss_sum(model, part)
        loss.backward()
        total += loss.detach()
    torch.testing.assert_close(total, whole.detach(), rtol=1e-5, atol=0)
    for name, parameter in model.named_parameters():
        largest = float(expected[name].abs().max())
        torch.testing.assert_close(parameter.grad, expected[name], rtol=1e-4, atol=2e-5 * largest, msg=name)


def test_loss_is_cross_entropy_in_nats(rows, tiny) -> None:
    model = tiny("headstart-decoder")
    batch = causal_batch(rows[0][:2], rows[1][:2])
    logits = model.logits(model(batch.ids, batch.segments)).reshape(-1, VOCABULARY)
    chances = logits.double().softmax(-1)[batch.positions, batch.targets]
    assert float(loss_sum(model, batch).detach()) == pytest.approx(
        float(-chances.detach().log().sum()), rel=1e-6
    )
