"""`headstart finetune` from data to a run folder: recipe, model, scores."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from headstart.errors import HeadstartError
from headstart.folder import read_json, write_json
from headstart.interchange.model_folder import LoadedModel, load_model
from headstart.tasks.baselines.label_noise import doubtful_labels
from headstart.tasks.baselines.word_counts import baselines
from headstart.tasks.card import add_scores
from headstart.tasks.data.dataset import TaskData, load_examples, load_task, pair, sample_labels
from headstart.tasks.examples import Examples
from headstart.tasks.finetuning.compare import Compared, compare
from headstart.tasks.finetuning.finetune_recipe import FinetuneRecipe
from headstart.tasks.finetuning.search import search
from headstart.tasks.finetuning.seeds import finetune_seeds, spread
from headstart.tasks.metrics import score
from headstart.tasks.reload_check import keep
from headstart.training.machine import describe_machine, package_versions
from headstart.training.precision import dtype_named


@dataclass
class Prepared:
    """What a fine-tuning starts from."""

    task: TaskData
    loaded: LoadedModel
    train: Examples
    """What is learned from, of the task's training data."""
    validation: Examples | None


def prepare(
    model: Path,
    data: Path,
    out: Path,
    recipe: FinetuneRecipe,
    *,
    test: Path | None = None,
    validation: Path | None = None,
    kind: str | None = None,
    text_column: str | None = None,
    label_column: str | None = None,
    columns: Mapping[str, str] | None = None,
    labels: int | None = None,
    seed: int = 0,
    precision: str = "auto",
) -> Prepared:
    """Read model and data, and write recipe.yaml and run.json into `out`, where a run that was stopped may
    have left the same.

    Args:
        model: the pre-trained model or run folder.
        data, test, kind, text_column, label_column: see `task_from`.
        validation: data to choose the best weights by; None: see `set_apart`.
        labels: learn from a sample of that many examples.
        precision: "auto", "float32" or "bfloat16".

    Raises:
        HeadstartError: the folder holds a finished run, or another one; see also `find_tasks`.
    """
    if (out / "model").exists() or (out / "compare.json").exists():
        raise HeadstartError(f"{out} holds a fine-tuned model already; choose another folder, or remove it")
    asked = {"model": str(model), "data": str(data), "labels": labels, "seed": seed}
    if any(out.glob("*/model")):  # what a comparison had finished
        before = read_json(out / "run.json")
        other = [key for key, value in asked.items() if before.get(key) != value]
        other += [] if FinetuneRecipe.load(out / "recipe.yaml", []) == recipe else ["settings"]
        if other:
            raise HeadstartError(
                f"{out} was begun with other {other[0]}; choose another folder, or remove it"
            )
    task = task_from(data, test, kind, seed, text_column, label_column, columns)
    loaded = load_model(model, dtype_named(precision))
    judged = None
    if validation is not None:
        named: dict[str, Any] = {"text_column": text_column, "label_column": label_column, "columns": columns}
        judged = load_examples(validation, task.kind, **named)
    recipe.save(out / "recipe.yaml")
    write_json(
        out / "run.json",
        asked
        | {
            "precision": str(loaded.model.dtype).removeprefix("torch."),
            "threads": torch.get_num_threads(),
            "machine": describe_machine(),
            "versions": package_versions(),
        },
    )
    return Prepared(task, loaded, sample_labels(task.train, labels, seed), judged)


def finetune_run(
    model: Path,
    data: Path,
    out: Path,
    recipe: FinetuneRecipe,
    *,
    seed: int = 0,
    seeds: int = 1,
    scratch: bool = False,
    **sources: Any,
) -> dict[str, Any]:
    """Fine-tune, score beside the baselines, and write `out`: recipe.yaml, run.json, model/, scores.json, of
    LoRA adapter/.

    The settings to search are chosen first. Of several seeds the best is kept, without regard to the test
    data. These are answered once by every model, at its end; the one that is kept is first read from its
    folder again, and shown to be the one that was trained.

    Args:
        seeds: fine-tune from that many, counted from `seed`.
        scratch: start from random weights of the same architecture.
        sources: of `prepare`.

    Returns:
        What scores.json holds.

    Raises:
        HeadstartError: see `prepare`, `search` and `finetune`.
    """
    prepared = prepare(model, data, out, recipe, seed=seed, **sources)
    task, loaded, train, validation = prepared.task, prepared.loaded, prepared.train, prepared.validation
    started = time.perf_counter()
    tried: list[dict[str, Any]] = []
    if recipe.search:
        recipe, tried = search(loaded, train, recipe, seed, validation)
    runs = finetune_seeds(
        loaded, train, recipe, range(seed, seed + seeds), scratch, progress=True, validation=validation
    )
    best = max(runs, key=lambda run: run.rank)
    predictor = keep(best.predictor, out)
    scores = score(task.kind, task.test.targets, predictor.predict(task.test.inputs))
    add_scores(out / "model", scores)
    seconds = time.perf_counter() - started
    system = "from-scratch" if scratch else "fine-tuned"
    rows = [{"system": system} | each.as_dict() for each in scores]
    for name, baseline in baselines(train).items():
        answers = baseline.predict(task.test.inputs)
        rows += [{"system": name} | each.as_dict() for each in score(task.kind, task.test.targets, answers)]
    figures = {
        "task": task.name,
        "kind": task.kind,
        "labels": predictor.labels,
        "examples": len(train),
        "test_examples": len(task.test),
        "seed": best.seed,
        "scores": rows,
        "seconds": round(seconds, 3),
        "notes": task.notes + doubtful_labels(train, seed) + predictor.notes,
        "finetuning": predictor.facts,
        "model": str(out / "model"),
    }
    if tried:
        figures["search"] = tried
        recipe.save(out / "recipe.yaml")
    if seeds > 1:
        figures["seeds"] = spread(runs, best, scores[0], task)
    write_json(out / "scores.json", figures)
    return figures


def compare_run(
    model: Path,
    data: Path,
    out: Path,
    recipe: FinetuneRecipe,
    ways: Sequence[str],
    *,
    seed: int = 0,
    **sources: Any,
) -> Compared:
    """Fine-tune in several ways, and write `out`: compare.json, compare.md, a folder with `model` for each.
    After a stop the ways that were finished are not gone again.

    Args:
        ways: see `compare`.
        sources: of `prepare`.
    """
    prepared = prepare(model, data, out, recipe, seed=seed, **sources)
    compared = compare(
        prepared.loaded, prepared.task, prepared.train, recipe, ways, seed, prepared.validation, out
    )
    compared.write(out)
    return compared


def task_from(
    data: Path,
    test: Path | None = None,
    kind: str | None = None,
    seed: int = 0,
    text_column: str | None = None,
    label_column: str | None = None,
    mapped: Mapping[str, str] | None = None,
) -> TaskData:
    """The task in `data`, scored on `test` where that is given.

    Args:
        kind: see `TaskKind`; None to tell it from the columns.
        mapped: role to column, see `load_examples`.
        seed: of the split where no test data is found.
    """
    columns: dict[str, Any] = {"text_column": text_column, "label_column": label_column, "columns": mapped}
    if test is None:
        return load_task(data, kind, seed, **columns)
    train = load_examples(data, kind, **columns)
    return pair(data.name.split(".")[0], train, load_examples(test, train.task, **columns))
