"""What a score costs by ways that pay differently: pre-training is paid once, labels and fits for every task.

All of it is read off measured points: labels that a score takes lie between two measured numbers of labels,
at equal ratios for equal steps of the score. Nothing is told beyond the points.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

HOUR = 3600.0


@dataclass(frozen=True)
class Prices:
    """What is paid, in one currency."""

    label: float
    core_hour: float


@dataclass(frozen=True)
class Way:
    """A way to a task model, as it was measured."""

    points: Sequence[tuple[float, float, float]]
    """Labels, from few to many, with the mean score and the mean core-seconds of a fit."""
    once: float = 0.0
    """Core-seconds that all tasks share."""


def labels_for(way: Way, score: float) -> float | None:
    """Labels with which a way first comes to a score; with the fewest that were measured where these are
    enough; None: with none that were measured."""
    if not way.points:
        return None
    first, *_ = way.points
    if first[1] >= score:
        return first[0]
    for (few, below, _), (many, above, _) in pairwise(way.points):
        if below < score <= above:
            share = (score - below) / (above - below)
            return math.exp(math.log(few) + share * (math.log(many) - math.log(few)))
    return None


def core_seconds_with(way: Way, labels: float) -> float:
    """Of a fit on so many labels: between those that were measured, and beyond them as at the ends."""
    first, last = way.points[0], way.points[-1]
    if labels <= first[0]:
        return first[2]
    for (few, _, short), (many, _, long) in pairwise(way.points):
        if labels <= many:
            share = (math.log(labels) - math.log(few)) / (math.log(many) - math.log(few))
            return short + share * (long - short)
    return last[2]


def price_once(way: Way, prices: Prices) -> float:
    """What all tasks share."""
    return way.once / HOUR * prices.core_hour


def price_each(way: Way, score: float, prices: Prices) -> float | None:
    """What every task costs that is to come to a score, its labels and its fit; None: it does not."""
    labels = labels_for(way, score)
    if labels is None:
        return None
    return labels * prices.label + core_seconds_with(way, labels) / HOUR * prices.core_hour


def break_even(shared: Way, other: Way, score: float, prices: Prices) -> float | None:
    """The number of tasks from which `shared` is no dearer than `other`, as a real number; None: it never is,
    or does not come to the score. 0 where the other does not, at any price."""
    own, others = price_each(shared, score, prices), price_each(other, score, prices)
    if own is None:
        return None
    if others is None:
        return 0.0
    extra = price_once(shared, prices) - price_once(other, prices)
    if others > own:
        return max(0.0, extra / (others - own))
    return 0.0 if extra <= 0 and others == own else None
