"""`headstart finetune` from data to a run folder: recipe, model, scores."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from headstart.errors import HeadstartError
from headstart.folder import write_json
from headstart.interchange.model_folder import load_model
from headstart.tasks.baselines import baselines
from headstart.tasks.card import task_card
from headstart.tasks.data import Task, load_examples, load_task, pair, sample_labels
from headstart.tasks.finetune import finetune
from headstart.tasks.finetune_recipe import FinetuneRecipe
from headstart.tasks.metrics import score
from headstart.tasks.precision import dtype_named
from headstart.training.machine import describe_machine, package_versions


def finetune_run(
    model: Path,
    data: Path,
    out: Path,
    recipe: FinetuneRecipe,
    *,
    test: Path | None = None,
    kind: str | None = None,
    text_column: str | None = None,
    label_column: str | None = None,
    columns: Mapping[str, str] | None = None,
    labels: int | None = None,
    seed: int = 0,
    scratch: bool = False,
    precision: str = "auto",
) -> dict[str, Any]:
    """Fine-tune, score beside the baselines, and write `out`: recipe.yaml, run.json, model/, scores.json.

    Args:
        model: the pre-trained model or run folder.
        data, test, kind, text_column, label_column: see `task_from`.
        labels: learn from a sample of that many examples.
        scratch: start from random weights of the same architecture.
        precision: "auto", "float32" or "bfloat16".

    Returns:
        What scores.json holds.

    Raises:
        HeadstartError: the folder holds a model already; see also `find_tasks` and `finetune`.
    """
    if (out / "model").exists():
        raise HeadstartError(f"{out} holds a fine-tuned model already; choose another folder, or remove it")
    task = task_from(data, test, kind, seed, text_column, label_column, columns)
    loaded = load_model(model, dtype_named(precision))
    train = sample_labels(task.train, labels, seed)
    recipe.save(out / "recipe.yaml")
    write_json(
        out / "run.json",
        {
            "model": str(model),
            "data": str(data),
            "seed": seed,
            "precision": str(loaded.model.dtype).removeprefix("torch."),
            "threads": torch.get_num_threads(),
            "machine": describe_machine(),
            "versions": package_versions(),
        },
    )
    started = time.perf_counter()
    predictor = finetune(loaded, train, recipe, seed, scratch, progress=True)
    system = "from-scratch" if scratch else "fine-tuned"
    scores = score(task.kind, task.test.targets, predictor.predict(task.test.inputs))
    seconds = time.perf_counter() - started
    rows = [{"system": system} | each.as_dict() for each in scores]
    for name, baseline in baselines(train).items():
        answers = baseline.predict(task.test.inputs)
        rows += [{"system": name} | each.as_dict() for each in score(task.kind, task.test.targets, answers)]
    predictor.save(out / "model", task_card(predictor, scores))
    figures = {
        "task": task.name,
        "kind": task.kind,
        "labels": predictor.labels,
        "examples": len(train),
        "test_examples": len(task.test),
        "seed": seed,
        "scores": rows,
        "seconds": round(seconds, 3),
        "notes": task.notes + predictor.notes,
        "finetuning": predictor.facts,
        "model": str(out / "model"),
    }
    write_json(out / "scores.json", figures)
    return figures


def task_from(
    data: Path,
    test: Path | None = None,
    kind: str | None = None,
    seed: int = 0,
    text_column: str | None = None,
    label_column: str | None = None,
    mapped: Mapping[str, str] | None = None,
) -> Task:
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
