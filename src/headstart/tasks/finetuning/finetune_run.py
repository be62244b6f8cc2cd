"""The run folder of `headstart finetune`: what a fine-tuning, or a comparison of several, reads and
writes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from headstart.errors import HeadstartError
from headstart.folder import read_json, write_json
from headstart.interchange.model_folder import LoadedModel, load_model
from headstart.tasks.baselines.label_noise import doubtful_labels
from headstart.tasks.baselines.word_counts import baselines
from headstart.tasks.finetuning.compare import Compared, compare
from headstart.tasks.finetuning.finetune_recipe import FinetuneRecipe
from headstart.tasks.finetuning.fit import FinetuningData, fit_task, read_finetuning_data
from headstart.tasks.finetuning.seeds import spread
from headstart.tasks.metrics import score
from headstart.training.machine import describe_machine, package_versions
from headstart.training.precision import dtype_named


def begin_run(
    model: Path,
    data: Path,
    out: Path,
    recipe: FinetuneRecipe,
    *,
    seed: int = 0,
    precision: str = "auto",
    **sources: Any,
) -> tuple[LoadedModel, FinetuningData]:
    """Read model and data, and write recipe.yaml and run.json into `out`, where a run that was stopped may
    have left the same.

    Args:
        model: the pre-trained model or run folder.
        data, seed, sources: of `read_finetuning_data`.
        precision: "auto", "float32" or "bfloat16".

    Raises:
        HeadstartError: the folder holds a finished run, or another one; see also `find_tasks`.
    """
    if (out / "model").exists() or (out / "compare.json").exists():
        raise HeadstartError(f"{out} holds a fine-tuned model already; choose another folder, or remove it")
    asked = {"model": str(model), "data": str(data), "labels": sources.get("labels"), "seed": seed}
    if any(out.glob("*/model")):  # what a comparison had finished
        before = read_json(out / "run.json")
        other = [key for key, value in asked.items() if before.get(key) != value]
        other += [] if FinetuneRecipe.load(out / "recipe.yaml", []) == recipe else ["settings"]
        if other:
            raise HeadstartError(
                f"{out} was begun with other {other[0]}; choose another folder, or remove it"
            )
    found = read_finetuning_data(data, seed=seed, **sources)
    loaded = load_model(model, dtype_named(precision))
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
    return loaded, found


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

    Args:
        seeds, scratch: of `fit_task`.
        sources: of `begin_run`.

    Returns:
        What scores.json holds.

    Raises:
        HeadstartError: see `begin_run` and `fit_task`.
    """
    loaded, found = begin_run(model, data, out, recipe, seed=seed, **sources)
    fitted = fit_task(loaded, found, recipe, seed=seed, seeds=seeds, scratch=scratch, out=out)
    task, test = found.task, found.task.test
    system = "from-scratch" if scratch else "fine-tuned"
    rows = [{"system": system, **one.score.as_dict()} for one in fitted.measured]
    for name, baseline in baselines(found.train).items():
        scores = score(task.kind, test.targets, baseline.predict(test.inputs))
        rows += [{"system": name, **each.as_dict()} for each in scores]
    figures = {
        "task": task.name,
        "kind": task.kind,
        "labels": fitted.predictor.labels,
        "examples": len(found.train),
        "test_examples": len(test),
        "seed": fitted.best.seed,
        "scores": rows,
        "seconds": fitted.seconds,
        "notes": fitted.notes + doubtful_labels(found.train, seed),
        "finetuning": fitted.predictor.facts.as_dict(),
        "model": str(out / "model"),
    }
    if fitted.tried:
        figures["search"] = fitted.tried
        fitted.recipe.save(out / "recipe.yaml")
    if seeds > 1:
        figures["seeds"] = spread(fitted.runs, fitted.best, fitted.measured[0].score, task)
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
        sources: of `begin_run`.
    """
    loaded, found = begin_run(model, data, out, recipe, seed=seed, **sources)
    compared = compare(loaded, found, recipe, ways, seed, out)
    compared.write(out)
    return compared
