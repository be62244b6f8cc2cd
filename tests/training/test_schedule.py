"""Schedules of learning rate, batch size and row length: their shapes and their ends."""

import itertools
import math

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from headstart.training.recipe import OptimiserRecipe, PretrainRecipe
from headstart.training.schedule import cuts_at, rate_at, rows_at, rows_before

SHARES = st.tuples(st.floats(0, 0.99), st.floats(0, 1)).filter(lambda shares: sum(shares) <= 1)


@given(steps=st.integers(1, 2000), shares=SHARES, final=st.floats(0, 1))
def test_wsd_rises_stays_and_falls(steps, shares, final) -> None:
    recipe = OptimiserRecipe(warmup_share=shares[0], decay_share=shares[1], final_share=final)
    rates = [rate_at(step, steps, recipe) for step in range(steps)]
    assert rates[0] > 0 or (steps == 1 and final == 0)
    assert all(0 <= rate <= 1 for rate in rates)
    warmup, decay = math.ceil(shares[0] * steps), math.ceil(shares[1] * steps)
    rising, falling = rates[:warmup], rates[max(warmup, steps - decay) :]
    assert all(later > earlier for earlier, later in itertools.pairwise(rising))
    assert all(later <= earlier for earlier, later in itertools.pairwise(falling))
    assert all(rate == 1 for rate in rates[warmup : steps - decay])
    if decay and warmup < steps:
        assert rates[-1] == pytest.approx(final)


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant"])
@given(steps=st.integers(3, 2000), warmup_share=st.floats(0, 0.5), final=st.floats(0, 1))
def test_the_others_begin_at_the_peak_and_end_where_they_should(schedule, steps, warmup_share, final) -> None:
    recipe = OptimiserRecipe(schedule=schedule, warmup_share=warmup_share, final_share=final)
    rates = [rate_at(step, steps, recipe) for step in range(steps)]
    warmup = math.ceil(warmup_share * steps)
    assert rates[0] > 0
    falling = rates[warmup:]
    assume(len(falling) > 1)
    assert all(later > earlier for earlier, later in itertools.pairwise(rates[: warmup + 1]))
    assert falling[0] == 1
    assert falling[-1] == pytest.approx(1 if schedule == "constant" else final)
    assert all(later <= earlier + 1e-12 for earlier, later in itertools.pairwise(falling))


def test_cosine_and_linear_are_those_of_pytorch() -> None:
    """PyTorch anneals over T_max steps after the peak, as here over all steps but the peak's own."""
    steps, peak = 60, 3e-4
    for schedule, make in (
        ("cosine", lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, steps - 1, eta_min=0.1 * peak)),
        ("linear", lambda o: torch.optim.lr_scheduler.LinearLR(o, 1.0, 0.1, steps - 1)),
    ):
        optimiser = torch.optim.SGD([torch.zeros(1)], lr=peak)
        scheduler = make(optimiser)
        recipe = OptimiserRecipe(schedule=schedule, warmup_share=0.0, final_share=0.1)
        for step in range(steps):
            assert peak * rate_at(step, steps, recipe) == pytest.approx(optimiser.param_groups[0]["lr"])
            optimiser.step()
            scheduler.step()


def test_what_is_left_of_the_peak_unless_said_otherwise() -> None:
    assert OptimiserRecipe(schedule="cosine").final_share == 0.1
    assert OptimiserRecipe(schedule="linear").final_share == 0.02
    assert OptimiserRecipe(schedule="cosine", final_share=0.3).final_share == 0.3


def test_shares_must_fit_into_the_run() -> None:
    with pytest.raises(ValidationError, match="more than the whole run"):
        OptimiserRecipe(warmup_share=0.6, decay_share=0.6)
    OptimiserRecipe(warmup_share=0.6, decay_share=0.6, schedule="linear")


@given(rows=st.integers(1, 300), steps=st.integers(1, 500), warmup=st.floats(0, 0.99), cut=st.floats(0, 0.99))
def test_steps_grow_to_their_full_size(rows, steps, warmup, cut) -> None:
    recipe = PretrainRecipe(
        tokens="tokens", rows=rows, steps=steps, rows_warmup=warmup, context_warmup=cut, context=64
    )
    counts = [rows_at(step, recipe) for step in range(steps + 2)]
    assert min(counts) >= max(1, math.ceil(rows / 4))
    assert counts == sorted(counts), "a step never reads fewer rows than the one before"
    assert all(count == rows for count in counts[math.ceil(warmup * steps) :])
    places = [rows_before(step, recipe) for step in range(steps + 3)]
    assert places == [0, *itertools.accumulate(counts)], "each row is read in one step"
    cuts = [cuts_at(step, recipe) for step in range(steps + 2)]
    assert set(cuts) <= {1, 2, 4}
    assert cuts == sorted(cuts, reverse=True)
    assert all(cut == 1 for cut in cuts[math.ceil(cut * steps) :])


def test_warmups_take_the_share_of_the_steps_that_they_are_given() -> None:
    recipe = PretrainRecipe(tokens="tokens", rows=32, steps=100, rows_warmup=0.3, context_warmup=0.2)
    assert [rows_at(step, recipe) for step in (0, 9, 10, 19, 20, 29, 30, 99)] == [
        8,
        8,
        16,
        16,
        24,
        24,
        32,
        32,
    ]
    assert [cuts_at(step, recipe) for step in (0, 9, 10, 19, 20, 99)] == [4, 4, 2, 2, 1, 1]
