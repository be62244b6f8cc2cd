"""Batches: parts of them, randomness, and that all objectives hold to the same promises."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from streams import PAD, assert_same, stream, streams, tiny_model, vocabulary

from headstart.objectives.batch import Batch, generator, join, loss_sum
from headstart.objectives.recipe import OBJECTIVES

ADDED = [{}, {"z_loss": 0.001, "label_smoothing": 0.1}]
KINDS = list(OBJECTIVES)
CHANGES = {"denoising": {"delete_rate": 0.1}, "masked": {"whole_words": True}}


def make(kind: str, rows: tuple[np.ndarray, np.ndarray], seed: int = 0, step: int = 0, **changes) -> Batch:
    objective = OBJECTIVES[kind](**(CHANGES.get(kind, {}) | changes))
    return objective.batch(*rows, vocabulary(), generator(seed, step))


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60)
@given(rows=streams(), seed=st.integers(0, 2**63))
def test_what_holds_for_every_batch(kind, rows, seed) -> None:
    before = rows[0].copy(), rows[1].copy()
    batch = make(kind, rows, seed)
    np.testing.assert_array_equal(rows[0], before[0], "the rows themselves stay as they are")
    np.testing.assert_array_equal(rows[1], before[1])
    assert_same(make(kind, rows, seed), batch)
    assert batch.ids.shape == batch.segments.shape
    assert batch.positions.shape == batch.targets.shape
    assert (batch.positions.diff() > 0).all(), "a place is scored once"
    padding = batch.segments.flatten() == -1
    assert not padding[batch.positions].any(), "padding is not scored"
    assert (batch.ids.flatten()[padding] == PAD).all()
    for tensor in (batch.ids, batch.targets, batch.source):
        assert tensor is None or ((tensor >= 0) & (tensor < 100)).all()
    if batch.source is not None:
        for decoder, encoder in zip(batch.segments.tolist(), batch.source_segments.tolist(), strict=True):
            assert set(decoder) <= set(encoder), "every token of the decoder has something to look at"


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "causal"])
def test_randomness_depends_on_seed_and_step_alone(kind) -> None:
    rows = stream(8, 48, 30, np.random.default_rng(0))
    first = make(kind, rows, 7, 3)
    for other in (make(kind, rows, 7, 4), make(kind, rows, 8, 3)):
        with pytest.raises(AssertionError):
            assert_same(first, other)


def test_neighbouring_steps_draw_unrelated_numbers() -> None:
    """A counter-based generator counts on: step 4 must not begin inside the numbers of step 3."""
    drawn = [generator(0, step).integers(0, 2**63, 4000) for step in range(6)]
    drawn += [generator(seed, 0).integers(0, 2**63, 4000) for seed in range(1, 4)]
    assert len(np.unique(np.concatenate(drawn))) == 9 * 4000


@pytest.mark.parametrize("kind", KINDS)
@given(rows=streams(), size=st.integers(1, 7))
@settings(max_examples=30)
def test_parts_are_a_partition(kind, rows, size) -> None:
    batch = make(kind, rows)
    parts = list(batch.split(size))
    for name in ("ids", "segments", "prefix", "source", "source_segments", "token_types"):
        tensor = getattr(batch, name)
        if tensor is not None:
            assert torch.equal(torch.cat([getattr(part, name) for part in parts]), tensor)
    width = batch.ids.shape[1]
    for places, answers in (("positions", "targets"), ("pair_positions", "pair_targets")):
        if getattr(batch, places) is None:
            continue
        moved = [getattr(part, places) + n * size * width for n, part in enumerate(parts)]
        assert torch.equal(torch.cat(moved), getattr(batch, places))
        assert torch.equal(torch.cat([getattr(part, answers) for part in parts]), getattr(batch, answers))
        for part in parts:
            assert ((getattr(part, places) >= 0) & (getattr(part, places) < part.ids.numel())).all()
    if kind in ("causal", "masked"):
        assert_same(join(parts), batch)


@pytest.mark.parametrize("kind", KINDS)
@given(
    rows=streams(8),
    size=st.integers(1, 5),
    added=st.sampled_from(ADDED),
)
@settings(max_examples=10)
def test_loss_and_gradients_of_parts_add_up(kind, rows, size, added) -> None:
    """However a step is split over micro-batches, it is one batch; `added`: z-loss and label smoothing."""
    batch = make(kind, rows)
    assume(len(batch.targets))
    model = tiny_model(OBJECTIVES[kind].architecture)
    whole = loss_sum(model, batch, **added)
    whole.backward()
    expected = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    total = torch.zeros(())
    for part in batch.split(size):
        loss = loss_sum(model, part, **added)
        loss.backward()
        total += loss.detach()
    torch.testing.assert_close(total, whole.detach(), rtol=1e-5, atol=0)
    largest = max(float(gradient.abs().max()) for gradient in expected.values())
    for name, parameter in model.named_parameters():
        if name in expected:
            torch.testing.assert_close(
                parameter.grad, expected[name], rtol=1e-4, atol=2e-5 * largest, msg=name
            )


@pytest.mark.parametrize("kind", KINDS)
def test_no_document_sees_another(kind) -> None:
    """The loss of one document's targets does not change with any token of the others."""
    batch = make(kind, stream(3, 48, 12, np.random.default_rng(2)))
    model = tiny_model(OBJECTIVES[kind].architecture)
    seen: list[torch.Tensor] = []

    def keep(module, inputs, output) -> None:
        output.retain_grad()
        seen.append(output)

    model.embedding.register_forward_hook(keep)
    segments = batch.segments.flatten()
    scored = segments[batch.positions].unique().tolist()
    assert len(scored) > 4, "several documents have targets"
    for number in scored:
        seen.clear()
        chosen = segments[batch.positions] == number
        some = replace(batch, positions=batch.positions[chosen], targets=batch.targets[chosen])
        if batch.pair_positions is not None:
            pairs = segments[batch.pair_positions] == number
            places, answers = batch.pair_positions[pairs], batch.pair_targets[pairs]
            some = replace(some, pair_positions=places, pair_targets=answers)
        loss_sum(model, some).backward()
        sides = [batch.segments] if batch.source is None else [batch.source_segments, batch.segments]
        for embedded, numbers in zip(seen, sides, strict=True):
            touched = embedded.grad.abs().sum(-1) > 0  # [B, T]
            assert touched[numbers == number].any()
            assert not touched[numbers != number].any()


@pytest.mark.parametrize("kind", ["causal", "prefix", "span-corruption", "denoising"])
def test_a_decoder_never_sees_what_it_predicts(kind) -> None:
    """The loss at a place depends on no later token, but for a prefix."""
    batch = make(kind, stream(2, 32, 40, np.random.default_rng(3)))
    model = tiny_model(OBJECTIVES[kind].architecture)
    seen: list[torch.Tensor] = []

    def keep(module, inputs, output) -> None:
        output.retain_grad()
        seen.append(output)

    model.embedding.register_forward_hook(keep)
    for index in range(0, len(batch.positions), 5):
        seen.clear()
        chosen = slice(index, index + 1)
        loss_sum(
            model, replace(batch, positions=batch.positions[chosen], targets=batch.targets[chosen])
        ).backward()
        touched = (seen[-1].grad.abs().sum(-1) > 0).flatten()
        allowed = torch.arange(len(touched)) <= batch.positions[index]
        if batch.prefix is not None:
            allowed |= batch.prefix.flatten()
        assert not touched[~allowed].any()


def test_the_loss_is_cross_entropy_in_nats_and_pairs_count_as_much_as_targets() -> None:
    batch = make("next-sentence", stream(8, 40, 20, np.random.default_rng(4)))
    model = tiny_model("encoder")
    hidden = model(batch.ids, batch.segments, token_types=batch.token_types).flatten(0, 1)
    logits = model.logits(hidden[batch.positions]).double()
    chances = logits.softmax(-1).gather(1, batch.targets[:, None])
    pairs = model.next_sentence(model.pooled(hidden[batch.pair_positions])).double()
    answers = pairs.softmax(-1).gather(1, batch.pair_targets[:, None])
    expected = -chances.log().mean() - answers.log().mean()
    found = loss_sum(model, batch) / len(batch.targets)
    torch.testing.assert_close(found.double(), expected, rtol=1e-6, atol=0)
