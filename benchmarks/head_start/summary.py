"""What the measured cells say: whether more pre-training pays, and what it pays beside."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from statistics import mean, stdev
from typing import Any

from benchmarks.head_start.cells import COUNTED, FOUNDATION, MINILM, MINILM_FROZEN, RANDOM, STATIC, own

TOLERANCE = 1.0
"""Points that one score may lie below another before it counts as lower."""

Place = tuple[str, int]
"""Task and number of labels."""
Scores = Mapping[Place, Mapping[str, Mapping[int, float]]]
"""In percent, by place, system and sample."""


def by_place(cells: Iterable[Mapping[str, Any]]) -> Scores:
    found: dict[Place, dict[str, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    for cell in cells:
        found[cell["task"], cell["labels"]][cell["system"]][cell["sample"]] = 100 * cell["score"]
    return found


def differences(scores: Scores, place: Place, one: str, other: str) -> list[float]:
    """How many points a system is ahead of another, on each sample that both were measured on."""
    mine, others = scores[place].get(one, {}), scores[place].get(other, {})
    return [mine[sample] - others[sample] for sample in sorted(set(mine) & set(others))]


def difference(scores: Scores, place: Place, one: str, other: str) -> float | None:
    """The mean of `differences`; None: not measured."""
    each = differences(scores, place, one, other)
    return mean(each) if each else None


def standard_error(each: Sequence[float]) -> float | None:
    """Of the mean of paired differences; None: one sample alone has none."""
    return stdev(each) / math.sqrt(len(each)) if len(each) > 1 else None


def lower(scores: Scores, one: str, other: str) -> list[dict[str, Any]]:
    """The places at which a system is more than `TOLERANCE` below another; whether that is more than chance,
    the standard error over the samples says."""
    found = []
    for place in sorted(scores):
        each = differences(scores, place, one, other)
        if each and mean(each) < -TOLERANCE:
            found.append(
                {
                    "task": place[0],
                    "labels": place[1],
                    "system": one,
                    "below": other,
                    "points": round(-mean(each), 2),
                    "standard_error": _rounded(standard_error(each)),
                    "samples": len(each),
                }
            )
    return found


def summary(cells: Iterable[Mapping[str, Any]], budgets: list[int]) -> dict[str, Any]:
    """The verdicts and the table behind them."""
    scores = by_place(cells)
    measured = [b for b in sorted(budgets) if any(own(b) in found for found in scores.values())]
    broken = [row for less, more in pairwise(measured) for row in lower(scores, own(more), own(less))]
    falls = []
    for less, more in pairwise(measured):
        steps = [difference(scores, place, own(more), own(less)) for place in scores]
        known = [step for step in steps if step is not None]
        if known and mean(known) < 0:
            falls.append({"from": less, "to": more, "mean_points": round(mean(known), 2)})
    largest = own(measured[-1]) if measured else ""
    return {
        "monotone": True if not broken and not falls else {"cells": broken, "mean": falls},
        "below_random": [row for b in measured for row in lower(scores, own(b), RANDOM)],
        "below_static": [row for b in measured for row in lower(scores, own(b), STATIC)],
        "ahead_of_counts": _share_ahead(scores, largest, COUNTED),
        "gap_to_minilm": _gap(scores, largest),
        "foundation": _foundation(scores),
        "table": table(scores),
    }


def _share_ahead(scores: Scores, one: str, other: str) -> dict[str, Any] | None:
    """Of the places at which both were measured, at how many the first is ahead; and by how much each."""
    each = {
        f"{task} {labels}": round(ahead, 2)
        for task, labels in sorted(scores)
        if (ahead := difference(scores, (task, labels), one, other)) is not None
    }
    if not each:
        return None
    return {"system": one, "share": round(mean(ahead > 0 for ahead in each.values()), 3), "points": each}


def _gap(scores: Scores, one: str) -> dict[str, Any] | None:
    """Points behind the better of MiniLM fine-tuned and frozen: mean over the tasks, by number of labels."""
    found: dict[int, dict[str, float]] = defaultdict(dict)
    for task, labels in sorted(scores):
        behind = [
            -ahead
            for other in (MINILM, MINILM_FROZEN)
            if (ahead := difference(scores, (task, labels), one, other)) is not None
        ]
        if behind:
            found[labels][task] = round(max(behind), 2)
    return {
        str(labels): {"mean": round(mean(tasks.values()), 2), "tasks": tasks}
        for labels, tasks in found.items()
    } or None


def _foundation(scores: Scores) -> dict[str, Any] | None:
    found = {
        f"{task} {labels}": {
            "score": round(mean(values.values()), 2),
            "ahead_of_counts": _rounded(difference(scores, (task, labels), FOUNDATION, COUNTED)),
        }
        for task, labels in sorted(scores)
        if (values := scores[task, labels].get(FOUNDATION))
    }
    return found or None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def table(scores: Scores) -> list[dict[str, Any]]:
    """Every system at every place: mean, deviation over the samples, and how many these are."""
    return [
        {
            "task": task,
            "labels": labels,
            "system": system,
            "score": round(mean(values.values()), 2),
            "deviation": round(stdev(values.values()), 2) if len(values) > 1 else None,
            "samples": sorted(values),
        }
        for task, labels in sorted(scores)
        for system, values in sorted(scores[task, labels].items())
    ]
