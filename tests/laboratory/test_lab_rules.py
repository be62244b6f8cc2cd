"""Rules: what they say of numbers, whatever the numbers are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_1samp

from headstart.errors import HeadstartError
from headstart.lab.rules import (
    Beyond,
    Every,
    Exact,
    Gain,
    Most,
    OnOwnData,
    Same,
    Trend,
    Within,
    effect_values,
    estimate,
)

numbers = st.floats(-1e3, 1e3, allow_nan=False)
several = st.lists(numbers, min_size=3, max_size=8)


@given(several)
def test_the_interval_is_that_of_the_t_test(values) -> None:
    found = estimate(values)
    if np.ptp(values) > 1e-6:
        low, high = ttest_1samp(values, 0).confidence_interval(0.95)
        assert found.interval == pytest.approx((low, high), rel=1e-6, abs=1e-9)
    assert found.mean == pytest.approx(np.mean(values))


@pytest.mark.parametrize(("seeds", "deviations"), [(3, 3.1), (5, 1.7), (8, 1.15)])
def test_the_smallest_visible_effect_is_seen_four_times_in_five(seeds, deviations) -> None:
    visible = estimate(list(np.linspace(-1, 1, seeds))).visible / np.std(np.linspace(-1, 1, seeds), ddof=1)
    assert visible == pytest.approx(deviations, abs=0.06)
    random = np.random.default_rng(0)
    drawn = random.normal(visible, 1, (4000, seeds))
    seen = np.mean([estimate(list(row)).above(0) for row in drawn])
    assert 0.74 < seen < 0.9


@given(several, st.floats(0.01, 10))
def test_gain_and_its_mirror_are_opposites(values, margin) -> None:
    rule = Gain("x", margin)
    here, mirrored = rule.judge({"x": values}), rule.judge({"x": [-value for value in values]})
    opposite = {"supported": "contradicted", "contradicted": "supported"}
    assert (here.verdict in opposite) == (mirrored.verdict in opposite and here.verdict != mirrored.verdict)
    if here.verdict in opposite:
        assert mirrored.verdict == opposite[here.verdict]
    else:
        assert here.reason in ("no effect", "too noisy")


@given(several, st.floats(0.01, 10))
def test_a_gain_cannot_be_supported_and_the_same(values, margin) -> None:
    gain, same = Gain("x", margin).judge({"x": values}), Same("x", margin).judge({"x": values})
    assert not (gain.verdict == "supported" and same.verdict == "supported") or np.mean(values) <= margin
    assert not (gain.verdict == "contradicted" and same.verdict == "contradicted")


def test_every_reason_has_its_case() -> None:
    judged = {
        name: Gain("x", 1.0).judge({"x": values})
        for name, values in {
            "more": [2.0, 2.1, 1.9], "less": [-2.0, -2.1, -1.9], "none": [0.1, 0.0, 0.05], "noise": [5.0,
            -4.0, 1.0], }.items()
    }  # fmt: skip
    assert [judged[name].verdict for name in ("more", "less")] == ["supported", "contradicted"]
    assert [judged[name].reason for name in ("none", "noise")] == ["no effect", "too noisy"]


def test_one_seed_shows_no_gain() -> None:
    assert Gain("x", 1.0).judge({"x": [5.0]}).reason == "too noisy"


def test_units_have_to_agree_with_seeds() -> None:
    random = np.random.default_rng(0)
    units = random.normal(0.0, 30.0, 40)
    units += 1.0 - units.mean()
    seeds = [(units + shift).tolist() for shift in (-0.01, 0.0, 0.01)]
    assert estimate([float(np.mean(one)) for one in seeds]).above(0)
    assert not estimate(seeds).above(0), "few documents make the whole difference"
    with pytest.raises(HeadstartError, match="different numbers of test units"):
        estimate([[1.0, 2.0], [1.0]])


def test_effects_are_paired_by_seed_and_unit() -> None:
    evidence = {"a": [[1.0, 2.0], [11.0, 12.0]], "b": [[0.0, 1.0], [10.0, 11.0]], "a - b": [3.0]}
    found = Gain("a - b", 1.0).judge({name: evidence[name] for name in "ab"})
    assert found.parts[0].estimate.deviation == 0
    assert found.verdict == "supported"
    assert Exact("a - b", against=3.0).judge(evidence).verdict == "supported", "a measured name comes first"
    with pytest.raises(HeadstartError, match="'c', which was not measured; known: a, b"):
        Gain("a - c", 1.0).judge({name: evidence[name] for name in "ab"})


def test_units_with_names_are_paired_by_name() -> None:
    evidence = {"a": [{"x": 3.0, "y": 5.0}, {"y": 6.0, "x": 3.5}], "b": [{"y": 4.0, "x": 2.0}] * 2}
    assert effect_values("a - b", evidence) == [[1.0, 1.0], [1.5, 2.0]]
    assert effect_values("b", evidence) == [[4.0, 2.0]] * 2
    for other in ({"x": 1.0, "z": 2.0}, {"x": 1.0}, [1.0, 2.0]):
        with pytest.raises(HeadstartError, match="same units"):
            effect_values("a", {"a": [evidence["a"][0], other]})


@given(several, st.floats(0, 5), numbers)
def test_exact_looks_at_the_largest_distance(values, tolerance, against) -> None:
    found = Exact("x", tolerance, against).judge({"x": values})
    assert (found.verdict == "supported") == (max(abs(v - against) for v in values) <= tolerance)


def test_within_and_trend() -> None:
    assert Within("x", 0, 1).judge({"x": [0.5]}).verdict == "supported", "a count has no interval"
    assert Within("x", 0, 1).judge({"x": [2.0, 2.1, 2.2]}).verdict == "contradicted"
    assert Within("x", 0, 1).judge({"x": [0.9, 1.0, 1.1]}).reason == "too noisy"
    rising = {"x": [[0.0, 1.0, 2.1], [0.1, 1.0, 2.0], [0.0, 1.1, 2.0]]}
    assert Trend("x", 0.9, (0, 1, 2)).judge(rising).verdict == "supported"
    assert Trend("x", 0.9, (2, 1, 0)).judge(rising).verdict == "contradicted"


def test_parts_make_a_whole() -> None:
    evidence = {"good": [2.0, 2.1, 1.9], "bad": [-2.0, -2.1, -1.9], "open": [5.0, -4.0, 1.0]}
    good, bad, unsure = (Gain(name, 1.0) for name in evidence)
    assert Every(good, good).judge(evidence).verdict == "supported"
    assert Every(good, bad, unsure).judge(evidence).verdict == "contradicted"
    partly = Every(good, unsure).judge(evidence)
    assert (partly.verdict, partly.reason) == ("not-supported", "in part")
    assert "1 of 2 parts hold (good)" in partly.because
    assert Every(good, Beyond("large models", "seen at 1e8 parameters")).judge(evidence).reason == "in part"
    assert Every(unsure).judge(evidence).reason == "too noisy"
    assert Most(good, good, bad).judge(evidence).verdict == "supported"
    assert Most(good, bad).judge(evidence).verdict == "not-supported"
    own = OnOwnData(good, "a random crawl decides")
    assert own.judge(evidence, own_data=True).verdict == "supported"
    assert own.judge(evidence, own_data=False).reason == "beyond this scale"


def test_a_margin_is_needed() -> None:
    for rule in (Gain, Same):
        with pytest.raises(HeadstartError, match="needs a margin above 0"):
            rule("x", 0.0)


def test_what_is_hashed_of_a_rule_holds_all_of_it() -> None:
    rules = [Gain("x", 1.0), Gain("x", 2.0), Gain("y", 1.0), Same("x", 1.0), Gain("x", 1.0, "nats")]
    rules += [Every(Gain("x", 1.0)), Most(Gain("x", 1.0)), Trend("x", 1.0, (0, 1)), Trend("x", 1.0, (0, 2))]
    seen = [str(rule.canonical()) for rule in rules]
    assert len(set(seen)) == len(rules)
