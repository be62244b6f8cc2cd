"""The schedule of the rates, and that the optimiser's state can be put away."""

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from headstart.training.optimiser import Optimiser, rate_at
from headstart.training.recipe import OptimiserRecipe

SHARES = st.tuples(st.floats(0, 0.99), st.floats(0, 1)).filter(lambda shares: sum(shares) <= 1)


@given(steps=st.integers(1, 2000), shares=SHARES, final=st.floats(0, 1))
def test_rates_rise_stay_and_fall(steps, shares, final) -> None:
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


def test_shares_must_fit_into_the_run() -> None:
    with pytest.raises(ValidationError, match="more than the whole run"):
        OptimiserRecipe(warmup_share=0.6, decay_share=0.6)


def trained(model, optimiser: Optimiser, steps: int) -> None:
    ids = torch.randint(4, 600, (2, 16), generator=torch.Generator().manual_seed(0))
    for _ in range(steps):
        model.logits(model(ids)).logsumexp(-1).mean().backward()
        assert optimiser.step(0.5) > 0


@pytest.mark.parametrize("family", ["headstart-encoder", "headstart-decoder"])
def test_state_goes_on_exactly(tiny, family) -> None:
    straight, first, second = tiny(family), tiny(family), tiny(family, seed=5)
    trained(straight, Optimiser(straight, OptimiserRecipe()), 5)
    optimiser = Optimiser(first, OptimiserRecipe())
    trained(first, optimiser, 2)
    second.load_state_dict(first.state_dict())
    continued = Optimiser(second, OptimiserRecipe())
    continued.load_state({name: tensor.clone() for name, tensor in optimiser.state().items()})
    trained(second, continued, 3)
    for name, tensor in straight.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name]), name


def test_every_weight_has_one_optimiser_and_moves(tiny) -> None:
    model = tiny("headstart-encoder")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    optimiser = Optimiser(model, OptimiserRecipe())
    groups = [group for part in (optimiser.muon, optimiser.adam) for group in part.param_groups]
    held = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(held) == sorted(id(parameter) for parameter in model.parameters())
    trained(model, optimiser, 1)
    assert all(parameter.grad is None for parameter in model.parameters())
    for name, tensor in model.state_dict().items():
        assert not torch.equal(tensor, before[name]), name


def test_gradients_are_clipped_and_a_rate_of_zero_moves_nothing(tiny) -> None:
    model = tiny("headstart-decoder")
    optimiser = Optimiser(model, OptimiserRecipe(clip=0.5))
    (model.logits(model(torch.arange(20)[None])).logsumexp(-1).sum() * 1000).backward()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert optimiser.step(0.0) > 0.5, "the norm before clipping is told"
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
