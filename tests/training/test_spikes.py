"""The detector: alarms where something happened, none over noise, and no state but a few numbers."""

import json
import math
import re
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.training.monitoring.spikes import NEW_LEVEL, SEEN, SpikeDetector
from headstart.training.run_frame import rebuilt


def sound(steps: int, seed: int = 0) -> list[tuple[float, float]]:
    """Loss and gradient norm of a run that learns, with the noise of small batches."""
    random = np.random.default_rng(seed)
    loss = 3 + 6 * np.exp(-np.arange(steps) / 60) + random.normal(0, 0.08, steps)
    norm = np.exp(random.normal(0, 0.3, steps)) * (0.5 + 3 * np.exp(-np.arange(steps) / 30))
    return list(zip(loss.tolist(), norm.tolist(), strict=True))


@pytest.mark.parametrize("seed", range(5))
def test_a_sound_run_raises_no_alarm(seed) -> None:
    detector = SpikeDetector(8.0)
    assert [detector.judge(*step) for step in sound(1000, seed)] == [None] * 1000


@pytest.mark.parametrize(
    ("step", "words"), [((9.0, 0.5), "loss 9.000"), ((3.0, 50.0), "gradient norm 50: .* standard deviations")]
)
def test_a_spike_is_told_and_does_not_become_ordinary(step, words) -> None:
    detector = SpikeDetector(8.0)
    for one in sound(200):
        detector.judge(*one)
    before = asdict(detector) | {"in_a_row": 1}
    for _ in range(2):
        said = detector.judge(*step)
        assert said is not None
        assert re.search(words, said)
        assert asdict(detector)["loss"] == before["loss"]
        assert asdict(detector)["norm"] == before["norm"]
    assert detector.judge(*sound(201)[-1]) is None
    assert detector.in_a_row == 0


def test_lower_than_ever_is_no_spike() -> None:
    detector = SpikeDetector(8.0)
    for one in sound(200):
        detector.judge(*one)
    assert detector.judge(0.01, 1e-9) is None
    assert detector.judge(0.0, 0.0) is None


@given(
    seen=st.integers(0, 60),
    bad=st.sampled_from(
        [(math.nan, 1.0), (math.inf, 1.0), (2.0, math.nan), (2.0, math.inf), (-math.inf, 1.0)]
    ),
)
def test_what_is_no_number_is_always_told(seen, bad) -> None:
    """From the first step on, however often it comes, and without a trace in the means."""
    detector = SpikeDetector(8.0)
    for one in sound(seen):
        detector.judge(*one)
    mean = detector.loss.mean
    for count in range(1, 4 * NEW_LEVEL):
        assert "no number" in (detector.judge(*bad) or "")
        assert detector.in_a_row == count
    assert detector.loss.mean == mean


def test_the_first_steps_may_do_what_they_like() -> None:
    detector = SpikeDetector(8.0)
    for number in range(SEEN):
        assert detector.judge(3.0 * 50.0 ** (number % 2), 0.1 * 1000.0 ** (number % 2)) is None


def test_a_new_level_is_accepted_after_some_steps() -> None:
    """As after a change of the mixture: the run must not be stuck in leaving steps out."""
    detector = SpikeDetector(8.0)
    for one in sound(200):
        detector.judge(*one)
    said = [detector.judge(7.0 + 0.05 * (number % 3), 0.6) for number in range(60)]
    assert all(said[:NEW_LEVEL])
    assert not any(said[NEW_LEVEL:])
    assert detector.judge(30.0, 0.6) is not None, "it looks out for spikes from the new level"


@given(cut=st.integers(0, 119))
def test_it_goes_on_from_its_state(cut) -> None:
    steps = [*sound(100), (50.0, 1.0), (math.nan, 1.0), *sound(100)[60:78]]
    straight, first = SpikeDetector(6.0), SpikeDetector(6.0)
    said = [straight.judge(*step) for step in steps]
    before = [first.judge(*step) for step in steps[:cut]]
    second = rebuilt(SpikeDetector, json.loads(json.dumps(asdict(first))))
    assert before + [second.judge(*step) for step in steps[cut:]] == said
    assert second == straight
