"""A task from labelled data to a model that is measured: search, seeds, the proof of what was saved, test
scores."""

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from headstart.errors import HeadstartError
from headstart.folder import atomic, write_json
from headstart.interchange.model_folder import LoadedModel
from headstart.tasks.card import add_scores
from headstart.tasks.data.data_checks import shared
from headstart.tasks.data.dataset import load_examples, load_task, pair
from headstart.tasks.data.splitting import sample_labels
from headstart.tasks.examples import Examples, TaskData
from headstart.tasks.finetuning.finetune_recipe import FinetuneRecipe
from headstart.tasks.finetuning.search import Tried, search
from headstart.tasks.finetuning.seeds import SeedRun, finetune_seeds
from headstart.tasks.kinds.chat_answers import ends_answers
from headstart.tasks.metrics import Measurement, measure
from headstart.tasks.predictor import Predictor
from headstart.tasks.reload_check import keep, kept_before

SEEDS = "seeds"
"""The folder in which the models of several seeds are kept until all have been scored."""


@dataclass(frozen=True)
class FinetuningData:
    """Labelled data as a fine-tuning uses them."""

    task: TaskData
    """All training data, and the test data."""
    train: Examples
    """What is learned from: the task's training data, or a sample of them."""
    validation: Examples | None
    """What the best weights are chosen by: the part named for it, or that beside the data; None: see
    `set_apart`."""


def read_finetuning_data(
    data: Path,
    *,
    test: Path | None = None,
    validation: Path | None = None,
    kind: str | None = None,
    text_column: str | None = None,
    label_column: str | None = None,
    columns: Mapping[str, str] | None = None,
    labels: int | None = None,
    seed: int = 0,
) -> FinetuningData:
    """The task in `data`, scored on `test` where that is given.

    Args:
        test: data to score on; None: the file beside `data`, or a part of it that is set apart.
        validation: data to choose the best weights by; None: the file beside `data`, or see `set_apart`.
        kind: see `TaskKind`; None to tell it from the columns.
        text_column, label_column, columns: where what is, see `load_examples`.
        labels: learn from a sample of that many examples.
        seed: of the sample, and of the split where no test data is found.
    """
    named: dict[str, Any] = {"text_column": text_column, "label_column": label_column, "columns": columns}
    if test is None:
        task = load_task(data, kind, seed, **named)
    else:
        train = load_examples(data, kind, **named)
        task = pair(
            data.name.split(".")[0], train, load_examples(test, train.task, like=train.reading, **named)
        )
    judged = task.validation
    if validation is not None:
        judged = load_examples(validation, task.kind, like=task.train.reading, **named)
        task.notes.extend(shared(judged, task.train, "validation examples also occur in the training data"))
        task.notes.extend(shared(task.test, judged, "test examples also occur in the validation data"))
    return FinetuningData(task, sample_labels(task.train, labels, seed), judged)


@dataclass(frozen=True)
class Fitted:
    """A task model, and how it came to be."""

    predictor: Predictor
    measured: list[Measurement]
    """On the test data, the main figure first."""
    recipe: FinetuneRecipe
    """The settings of the model, after the search."""
    runs: list[SeedRun]
    """One a seed."""
    best: SeedRun
    """The one that was kept."""
    tried: list[Tried]
    """What the search tried, see `search`."""
    seconds: float
    notes: list[str]
    """What was found in the data, and on the way."""


def fit_task(
    loaded: LoadedModel,
    data: FinetuningData,
    recipe: FinetuneRecipe,
    *,
    seed: int = 0,
    seeds: int = 1,
    scratch: bool = False,
    out: Path | None = None,
) -> Fitted:
    """Fine-tune a model on a task and measure it: what `hs.finetune`, `headstart finetune` and every way of a
    comparison do.

    The settings to search are chosen first. Of several seeds the best is kept, without regard to the test
    data, which are answered once, at the end.

    Args:
        seeds: fine-tune from that many, counted from `seed`.
        scratch: start from random weights of the same architecture.
        out: keep the model in `out/model`, of LoRA in `out/adapter` too, and answer with what was read from
            there; write the course of learning (`FitRecord`); and show a bar. Where a call with the same
            settings was stopped, what it has learned is taken: the model, the models of the first seeds, what
            the search has tried.

    Raises:
        HeadstartError: see `search` and `finetune`.
    """
    started = time.perf_counter()
    tried: list[Tried] = []
    if recipe.search:
        file = None if out is None else out / "search.json"
        recipe, tried = search(loaded, data.train, recipe, seed, data.validation, file=file)
    chosen = range(seed, seed + seeds)
    kept = kept_before(out, loaded.model.dtype) if out is not None and seeds == 1 else None
    if kept is not None:  # by a call that was stopped while it scored
        runs = [SeedRun(seed, kept, collapsed=False)]
    else:
        folder = None if out is None or seeds == 1 else out / SEEDS
        shown = out is not None
        runs = finetune_seeds(
            loaded, data.train, recipe, chosen, scratch, shown, data.validation, folder, courses=out
        )
    best = max(runs, key=lambda run: run.rank)
    predictor = best.predictor
    if out is not None and seeds > 1:
        predictor = _taken(out / SEEDS / f"seed-{best.seed}", out, loaded.model.dtype)
    elif out is not None and kept is None:
        write_json(out / "timing.json", {"seconds": best.predictor.training.seconds})
        predictor = keep(best.predictor, out)
    test = data.task.test
    measured = measure(data.task.kind, test.targets, predictor.predict(test.inputs))
    if out is not None:
        add_scores(out / "model", [one.score for one in measured])
    seconds = round(time.perf_counter() - started, 3)
    notes = data.task.notes + predictor.notes
    template = loaded.tokenizer.config.get("chat_template")
    if template is not None and template != predictor.tokenizer.config.get("chat_template"):
        notes.append(
            "the chat template did not write how an answer begins where one is asked for; now it does"
        )
    if data.task.kind == "chat" and not ends_answers(predictor.tokenizer):
        notes.append(
            "the chat template writes no special token behind an answer: the model does not learn to stop"
        )
    return Fitted(predictor, measured, recipe, runs, best, tried, seconds, notes)


def _taken(source: Path, out: Path, dtype: torch.dtype) -> Predictor:
    """The model, of LoRA the adapter too, that was kept in `source`, now in `out`."""
    for part in ("model", "adapter"):
        if (source / part).exists():
            with atomic(out / part) as temporary:
                shutil.copytree(source / part, temporary)
    predictor = kept_before(out, dtype)
    if predictor is None:
        raise HeadstartError(f"{out / 'model'} is not what was kept in {source}; start the command again")
    return predictor
