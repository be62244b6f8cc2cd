"""The exponent of the compute-optimal size, N ~ C^a, without a formula for the loss.

Approach 1 of Hoffmann et al. 2022 takes the best run at every compute; approach 2 fits a parabola to the
runs of equal compute and takes its minimum. Approach 3 is `fit`.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from headstart.scaling.laws import FLOPS_PER_PARAMETER_AND_TOKEN, Interval
from headstart.scaling.runs import MeasuredRun

SAME_COMPUTE = 0.08
"""Decades within which runs count as of equal compute."""
FEWEST_IN_PROFILE = 5
FEWEST_POINTS = 3
BINS_PER_DECADE = 4
SAMPLES = 400
LEVEL = 0.9


@dataclass(frozen=True)
class Profile:
    """Runs of equal compute, and the parabola through their losses over log N."""

    compute: float
    runs: list[MeasuredRun]
    parabola: tuple[float, float, float]
    """Of the loss over ln N: square, slope, constant."""

    @property
    def best_size(self) -> float:
        square, slope, _ = self.parabola
        return math.exp(-slope / (2 * square))

    @property
    def best_loss(self) -> float:
        square, slope, constant = self.parabola
        return constant - slope**2 / (4 * square)


@dataclass(frozen=True)
class Frontier:
    """N = coefficient * C^exponent through the best sizes found."""

    approach: str
    exponent: float
    interval: Interval
    """Of the exponent, at 90 %, from a bootstrap over runs."""
    coefficient: float
    points: list[tuple[float, float]]
    """Compute, and the best number of parameters for it."""

    def tokens_per_parameter(self, compute: float) -> float:
        parameters = self.coefficient * compute**self.exponent
        tokens: float = compute / (FLOPS_PER_PARAMETER_AND_TOKEN * parameters**2)
        return tokens


def profiles(runs: Sequence[MeasuredRun]) -> list[Profile]:
    """Groups of runs of equal compute whose parabola has its minimum among their sizes."""
    return [profile for group in _groups(runs) for profile in _profile(group)]


def isoflop_frontier(runs: Sequence[MeasuredRun], seed: int = 0) -> Frontier | None:
    """Approach 2; None where fewer than three computes have enough runs."""
    groups = [profile.runs for profile in profiles(runs)]

    def points(draw: Callable[[list[MeasuredRun]], list[MeasuredRun]]) -> list[tuple[float, float]]:
        drawn = [draw(group) for group in groups]
        return [(profile.compute, profile.best_size) for group in drawn for profile in _profile(group)]

    return _frontier("2: IsoFLOP profiles", points, seed)


def envelope_frontier(runs: Sequence[MeasuredRun], seed: int = 0) -> Frontier | None:
    """Approach 1; `runs` may hold evaluations on the way. None where too few computes have a choice."""

    def points(draw: Callable[[list[MeasuredRun]], list[MeasuredRun]]) -> list[tuple[float, float]]:
        bins = defaultdict(list)
        for run in draw(list(runs)):
            bins[round(BINS_PER_DECADE * math.log10(run.compute))].append(run)
        chosen = [group for _, group in sorted(bins.items()) if len({run.parameters for run in group}) > 1]
        best = [min(group, key=lambda run: run.loss) for group in chosen]
        return [(run.compute, run.parameters) for run in best]

    return _frontier("1: best run at each compute", points, seed)


def _frontier(
    approach: str,
    points: Callable[[Callable[[list[MeasuredRun]], list[MeasuredRun]]], list[tuple[float, float]]],
    seed: int,
) -> Frontier | None:
    """A line through log N over log C, and its slope again for every bootstrap sample."""
    found = points(lambda group: group)
    if len({size for _, size in found}) < FEWEST_POINTS:
        return None
    random = np.random.default_rng(seed)

    def draw(group: list[MeasuredRun]) -> list[MeasuredRun]:
        return [group[index] for index in random.integers(0, len(group), len(group))]

    slopes = []
    for _ in range(SAMPLES):
        sample = points(draw)
        if len({compute for compute, _ in sample}) >= FEWEST_POINTS:
            slopes.append(_line(sample)[0])
    exponent, intercept = _line(found)
    low, high = np.quantile(slopes or [-math.inf, math.inf], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Frontier(approach, exponent, (float(low), float(high)), math.exp(intercept), found)


def _line(points: list[tuple[float, float]]) -> tuple[float, float]:
    logs = np.log(points)
    slope, intercept = np.polyfit(logs[:, 0], logs[:, 1], 1)
    return float(slope), float(intercept)


def _groups(runs: Sequence[MeasuredRun]) -> list[list[MeasuredRun]]:
    """The runs of equal compute, the largest group first; no run is in two."""
    left = sorted(runs, key=lambda run: run.compute)
    groups = []
    while left:
        logs = np.log10([run.compute for run in left])
        ends = np.searchsorted(logs, logs + SAME_COMPUTE, side="right")
        counts = [len({run.parameters for run in left[start:end]}) for start, end in enumerate(ends)]
        start = int(np.argmax(counts))
        if counts[start] < FEWEST_IN_PROFILE:
            break
        groups.append(left[start : ends[start]])
        left = left[:start] + left[ends[start] :]
    return sorted(groups, key=lambda group: group[0].compute)


def _profile(group: list[MeasuredRun]) -> list[Profile]:
    parabola = _parabola(group)
    if parabola is None:
        return []
    return [Profile(math.exp(float(np.mean([math.log(run.compute) for run in group]))), group, parabola)]


def _parabola(group: list[MeasuredRun]) -> tuple[float, float, float] | None:
    """Through the losses over ln N; None unless it opens upwards with its lowest point among the sizes."""
    sizes = np.log([run.parameters for run in group])
    if len(set(sizes)) < 3:
        return None
    square, slope, constant = np.polyfit(sizes, [run.loss for run in group], 2)
    if square <= 0 or not sizes.min() < -slope / (2 * square) < sizes.max():
        return None
    return float(square), float(slope), float(constant)
