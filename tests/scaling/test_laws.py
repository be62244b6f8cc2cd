"""Laws say what their papers print, and their answers agree with brute force."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.errors import HeadstartError
from headstart.scaling.laws import LossLaw
from headstart.scaling.published import ALLOCATIONS, LOSS_LAWS, POWER_LAWS, REFIT, loss_law, models, repeated
from headstart.scaling.questions import opinions, standing

# Hoffmann et al. 2022, tables 3 and A3: size, FLOPs, tokens.
TABLE_3 = [
    (400e6, 1.92e19, 8.0e9),
    (10e9, 1.23e22, 205.1e9),
    (67e9, 5.76e23, 1.5e12),
    (10e12, 1.30e28, 216.2e12),
]
TABLE_A3_2 = [(400e6, 1.84e19, 7.7e9), (10e9, 1.32e22, 219.5e9), (10e12, 1.75e28, 292e12)]
TABLE_A3_3 = [
    (400e6, 2.21e19, 9.2e9),
    (10e9, 2.46e22, 410.1e9),
    (67e9, 1.71e24, 4.1e12),
    (1e12, 5.65e26, 94.1e12),
]


@pytest.mark.parametrize(
    ("law", "table"),
    [
        (ALLOCATIONS["hoffmann-2022-1"], TABLE_3),
        (ALLOCATIONS["hoffmann-2022-2"], TABLE_A3_2),
        (LOSS_LAWS["hoffmann-2022-3"], TABLE_A3_3),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_optimal_sizes_are_those_of_the_papers_tables(law, table) -> None:
    for parameters, compute, tokens in table:
        optimum = law.optimum(compute)
        assert optimum.parameters == pytest.approx(parameters, rel=0.08)
        assert optimum.tokens == pytest.approx(tokens, rel=0.08)


def test_llama_3_was_sized_by_its_own_law() -> None:
    optimum = ALLOCATIONS["llama-3-2024"].optimum(3.8e25)
    assert optimum.parameters == pytest.approx(402e9, rel=0.04)
    assert optimum.tokens == pytest.approx(16.55e12, rel=0.03)


def test_ten_times_the_compute_lowers_the_loss_by_an_eighth() -> None:
    assert POWER_LAWS["kaplan-2020-compute"].lower(10) == pytest.approx(0.123, abs=0.001)
    assert POWER_LAWS["kaplan-2020-least-compute"].lower(10) == pytest.approx(0.109, abs=0.001)


@pytest.mark.parametrize("law", [*LOSS_LAWS.values(), repeated(5e9)], ids=lambda law: law.name)
def test_the_optimum_beats_every_other_split(law: LossLaw) -> None:
    for compute in (1e18, 1e21, 1e24):
        optimum = law.optimum(compute)
        assert 6 * optimum.parameters * optimum.tokens == pytest.approx(compute)
        others = [
            law.loss(parameters, compute / (6 * parameters))
            for parameters in np.geomspace(1e4, compute / 1e5, 4000)
        ]
        assert optimum.loss is not None
        assert optimum.loss <= min(others) + 1e-9


@given(st.floats(1.9, 4.0), st.sampled_from(sorted(LOSS_LAWS)))
def test_the_cheapest_way_to_a_loss_comes_to_that_loss(loss: float, name: str) -> None:
    law = LOSS_LAWS[name]
    if loss > law.floor() + 0.05:
        cheapest = law.cheapest(loss)
        assert cheapest.loss == pytest.approx(loss, abs=1e-6)
        assert law.tokens_for(cheapest.parameters, loss) == pytest.approx(cheapest.tokens, rel=1e-3)


def test_no_compute_gets_below_the_floor() -> None:
    with pytest.raises(HeadstartError, match="no way to a loss of"):
        REFIT.cheapest(1.5)


def test_repetition() -> None:
    law = repeated(100e9)
    assert law.effective_tokens(50e9) == 50e9
    # "up to 4 epochs is almost as good as new data": within a tenth; and it saturates at U (1 + R*).
    assert 0.9 * 400e9 < law.effective_tokens(400e9) < 400e9
    assert law.effective_tokens(1e18) == pytest.approx(100e9 * (1 + 15.387756))
    plenty = repeated(1e15)
    assert plenty.loss(1e9, 20e9) == pytest.approx(law.loss(1e9, 20e9))
    assert law.optimum(1e24).loss > plenty.optimum(1e24).loss


def test_the_more_a_model_is_used_the_smaller_and_longer_trained_it_should_be() -> None:
    training_only = REFIT.cheapest(2.1)
    sizes = [training_only.parameters]
    for demand in (1e9, 1e11, 1e12, 1e13):
        best = REFIT.lifetime_optimum(2.1, demand)
        assert best.loss == pytest.approx(REFIT.loss(best.parameters, best.tokens))
        cost = 6 * best.parameters * best.tokens + 2 * best.parameters * demand
        assert cost <= training_only.compute + 2 * training_only.parameters * demand
        sizes.append(best.parameters)
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[1] == pytest.approx(sizes[0], rel=0.05)


def test_where_the_published_models_stand() -> None:
    """The lesson's table: tokens a parameter, and which side of the optimum a model lies on."""
    stands = {model.name: standing(REFIT, model.name, model.parameters, model.tokens) for model in models()}
    assert stands["gpt3-175b"].tokens_per_parameter == pytest.approx(1.7, abs=0.05)
    assert stands["chinchilla-70b"].tokens_per_parameter == pytest.approx(20, abs=0.1)
    assert stands["llama-1-65b"].tokens_per_parameter == pytest.approx(21.5, abs=0.1)
    assert stands["llama-3-70b"].tokens_per_parameter == pytest.approx(214, rel=0.01)
    assert stands["gpt3-175b"].verdict == "too large for its data"
    assert stands["chinchilla-70b"].verdict == "near the optimum of training compute"
    assert stands["llama-3-8b"].verdict.startswith("small on purpose")
    assert stands["llama-3-8b"].inference_saved > 0.7
    assert 0 < stands["llama-3-8b"].pays_off_after < 1e14
    assert stands["gpt3-175b"].inference_saved < 0
    assert math.isinf(stands["gpt3-175b"].pays_off_after)
    for stand in stands.values():
        assert stand.loss_lost >= 0
        assert stand.extra_compute >= -1e-6
        assert stand.equal.loss == pytest.approx(stand.loss, abs=1e-6)


def test_intervals_hold_the_published_value_and_are_not_absurd() -> None:
    low, high = REFIT.interval(lambda law: law.parameter_exponent)
    assert low < REFIT.parameter_exponent < high
    assert 0.03 < high - low < 0.12  # standard error about 0.02
    low, high = REFIT.interval(lambda law: law.loss(1e9, 20e9))
    assert low < REFIT.loss(1e9, 20e9) < high
    assert high - low < 0.05  # inside the runs the loss is known well, though the constants are not
    assert LOSS_LAWS["hoffmann-2022-3"].interval(lambda law: law.alpha) is None


def test_laws_say_how_far_they_extrapolate() -> None:
    assert REFIT.optimum(1e20).beyond == 1
    assert REFIT.optimum(3.8e25).beyond > 10


def test_opinions_differ_most_between_kaplan_and_the_rest() -> None:
    by_name = {optimum.law: optimum for optimum in opinions(1e24)}
    assert by_name["kaplan-2020-split"].parameters > 5 * by_name["besiroglu-2024"].parameters
    assert len(by_name) == len(LOSS_LAWS) + len(ALLOCATIONS)


def test_an_unknown_law_names_the_nearest() -> None:
    with pytest.raises(HeadstartError, match="besiroglu-2024"):
        loss_law("besiroglu")
