"""The measured points of a head start, as `head_start.jsonl` of a quickstart or of `headstart head-start` has
them: one line a fit. Read without torch."""

from dataclasses import dataclass
from pathlib import Path

import orjson
from typing_extensions import TypedDict  # typing's own is not checked before Python 3.12

from headstart.training.metrics import read_metrics

POINTS, ABOUT, FITS = "head_start.jsonl", "head_start.json", "fits"
"""Lines of points, what was asked for, and a folder for each fit whose course was kept."""


class FitFacts(TypedDict, total=False):
    """What is read of a fine-tuning's own facts."""

    passes: int
    seconds: float
    tokens: int


class HeadStartPoint(TypedDict, total=False):
    """A system's score on a task, with so many labels and one seed."""

    task: str
    metric: str
    labels: int
    asked: int | None
    """Labels that were asked for; None: all."""
    system: str
    seed: int
    score: float
    interval: list[float]
    n: int
    seconds: float
    """Of fitting and answering, on one core."""
    test_examples: int
    facts: FitFacts
    step: int | None
    """The state of the pre-training run that was fine-tuned; None, or missing: the finished model."""


class Pretraining(TypedDict):
    """What a pre-training run has cost so far."""

    seconds: float
    core_seconds: float
    tokens: int
    steps: int


class MeasuredTask(TypedDict):
    """A task whose points are measured."""

    task: str
    kind: str
    train_examples: int
    test_examples: int


class About(TypedDict):
    """What a measurement of a head start was asked for: `head_start.json`."""

    model: str
    data: str
    tasks: list[MeasuredTask]
    systems: list[str]
    fits: int
    """As many points there are in the end."""
    pretraining: Pretraining | None
    """Of the model; None: its folder does not say."""
    tokens_at: dict[str, int]
    """By state of the run that is fine-tuned, the tokens that it had read."""


@dataclass(frozen=True)
class PointsFile:
    """What a file of points holds."""

    points: list[HeadStartPoint]
    damaged: int
    """Lines that are no point and are left out. A last line without an end is not one of them: it is being
    written, or a kill left it."""


def read_points(path: Path) -> PointsFile:
    """The finished points; of a file that is not there, none."""
    if not path.exists():
        return PointsFile([], 0)
    whole, _, _ = path.read_bytes().rpartition(b"\n")
    points, damaged = [], 0
    for line in filter(None, whole.split(b"\n")):
        try:
            point = orjson.loads(line)
        except orjson.JSONDecodeError:
            point = None
        if isinstance(point, dict) and _complete(point):
            points.append(point)
        else:
            damaged += 1
    return PointsFile(points, damaged)  # type: ignore[arg-type]


def _complete(point: dict[str, object]) -> bool:
    """Whether a line says what was fitted, and what came of it."""
    return (
        all(isinstance(point.get(name), str) for name in ("task", "system", "metric"))
        and all(isinstance(point.get(name), int) for name in ("labels", "seed"))
        and all(isinstance(point.get(name), int | float) for name in ("score", "seconds"))
    )


def pretraining_cost(run: Path) -> Pretraining | None:
    """What the run that made a model has cost, as its metrics say; None: they do not.

    Args:
        run: a run folder, or the model folder in it.
    """
    for folder in (run, run.parent):
        if not (folder / "metrics.jsonl").exists():
            continue
        steps = [event for event in read_metrics(folder) if event["kind"] == "step"]
        if steps and "tokens" in steps[-1]:
            last = steps[-1]
            seconds = float(last["seconds"])
            return {
                "seconds": seconds, "core_seconds": float(last.get("core_seconds", seconds)),
                "tokens": int(last["tokens"]), "steps": int(last["step"]),
            }  # fmt: skip
    return None
