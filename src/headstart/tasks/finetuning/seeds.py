"""The same fine-tuning from several seeds: from some, few examples are not learned at all."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np
from typing_extensions import TypedDict  # typing's own is not checked before Python 3.12

from headstart.interchange.model_folder import LoadedModel
from headstart.tasks.baselines.word_counts import Majority
from headstart.tasks.examples import Examples, TaskData, flatten
from headstart.tasks.finetuning.finetune import finetune
from headstart.tasks.finetuning.finetune_recipe import FinetuneRecipe
from headstart.tasks.finetuning.fit_record import FitRecord
from headstart.tasks.finetuning.head_start_points import FITS
from headstart.tasks.finetuning.learn import best_line, comparable
from headstart.tasks.metrics import Score, measure
from headstart.tasks.predictor import Predictor
from headstart.tasks.reload_check import keep, kept_before

SAMPLE = 200
"""Training examples that a model answers, to see whether it has learned at all."""


@dataclass
class SeedRun:
    """One of them."""

    seed: int
    predictor: Predictor
    collapsed: bool
    """It answers its own training examples no better than one answer to all does (Mosbach et al. 2020)."""

    @property
    def rank(self) -> tuple[bool, float, float]:
        """Higher is better: not collapsed, the validation score where there is one, a lower training loss."""
        curve = self.predictor.training.validation
        judged = comparable(self.judged) if curve else 0.0
        return not self.collapsed, judged, -self.predictor.training.last_loss

    @property
    def judged(self) -> float | None:
        """The best score on the validation data; None: there were none."""
        curve = self.predictor.training.validation
        return best_line(curve)["score"] if curve else None


def finetune_seeds(
    loaded: LoadedModel,
    train: Examples,
    recipe: FinetuneRecipe,
    seeds: range,
    scratch: bool = False,
    progress: bool = False,
    validation: Examples | None = None,
    folder: Path | None = None,
    courses: Path | None = None,
) -> list[SeedRun]:
    """Fine-tune from every seed; the arguments are those of `finetune`.

    Args:
        folder: keeps the model of every seed, so that a call that was stopped goes on with the next.
        courses: gets the course of the fit (`FitRecord`), of several in `fits/seed-N`.
    """
    runs = []
    for seed in seeds:
        place = None if folder is None else folder / f"seed-{seed}"
        predictor = None if place is None else kept_before(place, loaded.model.dtype)
        if predictor is None:
            with _recorded(courses, seed, len(seeds)) as record:
                predictor = finetune(loaded, train, recipe, seed, scratch, progress, validation, record)
                if record is not None:
                    record.end(predictor.training.steps, predictor.training.seconds)
            predictor = predictor if place is None else keep(predictor, place)
        runs.append(SeedRun(seed, predictor, collapsed(predictor, train)))
    return runs


def _recorded(courses: Path | None, seed: int, seeds: int) -> AbstractContextManager[FitRecord | None]:
    if courses is None:
        return nullcontext()
    return FitRecord(courses if seeds == 1 else courses / FITS / f"seed-{seed}", None)


def collapsed(predictor: Predictor, train: Examples) -> bool:
    """Whether a model answers training examples no better than the commonest answer to all of them does."""
    sample = train.subset(range(min(SAMPLE, len(train))))
    if train.task == "embedding":
        return False
    answered = measure(train.task, sample.targets, predictor.predict(sample.inputs))[0].value
    constant = measure(train.task, sample.targets, _one_answer(sample))[0].value
    return isnan(answered) or answered <= (0.0 if isnan(constant) else constant)


def _one_answer(examples: Examples) -> list[Any]:
    """The commonest answer for each example; of tags, the commonest for every word."""
    if examples.task != "tagging":
        return Majority(examples).predict(examples.inputs)
    tags, counts = np.unique(flatten(examples.targets), return_counts=True)
    return [[str(tags[counts.argmax()])] * len(words) for words in examples.inputs]


class SeedRow(TypedDict):
    """What the model of one seed does."""

    seed: int
    score: float
    """On the test data."""
    validation: float | None
    collapsed: bool


class SeedSpread(TypedDict):
    """What the models of several seeds do."""

    mean: float
    deviation: float
    kept: int
    """The seed of the model that was kept."""
    runs: list[SeedRow]


def spread(runs: Sequence[SeedRun], best: SeedRun, kept: Score, task: TaskData) -> SeedSpread:
    """What the seeds score on the test data, with their mean and deviation, and which of them was kept.

    Args:
        kept: the score of the best one, which has answered the test data already.
    """
    rows: list[SeedRow] = []
    for run in runs:
        value = (
            kept.value
            if run is best
            else measure(task.kind, task.test.targets, run.predictor.predict(task.test.inputs))[0].value
        )
        rows.append({"seed": run.seed, "score": value, "validation": run.judged, "collapsed": run.collapsed})
    values = [row["score"] for row in rows]
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return {"mean": float(np.mean(values)), "deviation": deviation, "kept": best.seed, "runs": rows}
