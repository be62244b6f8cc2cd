"""The run folder of `headstart finetune`: what a fine-tuning, or a comparison of several, reads and
writes."""

import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from headstart.folder import JSONObject, remove, write_json
from headstart.interchange.hub import data_address
from headstart.interchange.model_folder import LoadedModel
from headstart.output import identity, output
from headstart.tasks.baselines.label_noise import doubtful_labels
from headstart.tasks.baselines.word_counts import baselines
from headstart.tasks.finetuning.compare import Compared, compare
from headstart.tasks.finetuning.finetune_recipe import FinetuneRecipe
from headstart.tasks.finetuning.fit import SEEDS, FinetuningData, fit_task, read_finetuning_data
from headstart.tasks.finetuning.head_start_points import FITS
from headstart.tasks.finetuning.seeds import spread
from headstart.tasks.metrics import score
from headstart.training.machine import describe_machine, dtype_named, package_versions
from headstart.training.metrics import FILE as METRICS
from headstart.training.restore import load_any, state_in


def begin_run(
    model: Path, data: Path, *, seed: int = 0, precision: str = "auto", **sources: Any
) -> tuple[LoadedModel, FinetuningData, JSONObject]:
    """Read model and data; the facts are for run.json.

    Args:
        model: the pre-trained model or run folder.
        data, seed, sources: of `read_finetuning_data`.
        precision: "auto", "float32" or "bfloat16".

    Raises:
        HeadstartError: see `find_tasks` and `load_any`.
    """
    found, test = read_finetuning_data(data, seed=seed, **sources), sources.get("test")
    loaded = load_any(model, dtype_named(precision))
    if loaded.unfinished is not None:
        print(f"headstart: {model} is not finished: this is {loaded.unfinished}", file=sys.stderr)
    facts = {
        "model": str(model),
        "unfinished": loaded.unfinished,
        "data": data_address(data) or str(data),
        "test": None if test is None else data_address(test) or str(test),
        "labels": sources.get("labels"),
        "seed": seed,
        "precision": str(loaded.model.dtype).removeprefix("torch."),
        "threads": torch.get_num_threads(),
        "machine": describe_machine(),
        "versions": package_versions(),
    }
    return loaded, found, facts


def made_from(model: Path, data: Path, recipe: FinetuneRecipe, asked: Mapping[str, object]) -> JSONObject:
    """What shapes a fine-tuning: all that was asked for, and what its files hold."""
    files = {name: path for name, path in asked.items() if isinstance(path, Path)}
    return (
        dict(asked)
        | {"recipe": recipe.model_dump(mode="json")}
        | {"model": identity(state_in(model)), "data": identity(data)}
        | {name: identity(path) for name, path in files.items()}
    )


def read_by(model: Path, data: Path, sources: Mapping[str, object]) -> list[Path]:
    """The files and folders that a fine-tuning reads."""
    return [model, state_in(model), data, *(path for path in sources.values() if isinstance(path, Path))]


def finetune_run(
    model: Path,
    data: Path,
    out: Path,
    recipe: FinetuneRecipe,
    *,
    seed: int = 0,
    seeds: int = 1,
    scratch: bool = False,
    replace: bool = False,
    **sources: Any,
) -> JSONObject:
    """Fine-tune, score beside the baselines, and write `out`: recipe.yaml, run.json, metrics.jsonl while it
    learns, model/, scores.json, of LoRA adapter/.

    Args:
        seeds, scratch: of `fit_task`.
        replace: delete what `out` holds.
        sources: of `begin_run`.

    Returns:
        What scores.json holds, also where a call with the same settings has finished it before.

    Raises:
        HeadstartError: `out` belongs to something else; see also `begin_run` and `fit_task`.
    """
    settings = made_from(model, data, recipe, {"seed": seed, "seeds": seeds, "scratch": scratch} | sources)
    read = read_by(model, data, sources)
    with output(out, "fine-tuning", settings=settings, inputs=read, replace=replace) as claimed:
        if not claimed.finished:
            claimed.finish(_finetune_run(model, data, out, recipe, seed, seeds, scratch, sources))
    return claimed.facts


def _finetune_run(
    model: Path,
    data: Path,
    out: Path,
    recipe: FinetuneRecipe,
    seed: int,
    seeds: int,
    scratch: bool,
    sources: Mapping[str, Any],
) -> JSONObject:
    """The same, in a folder that is claimed."""
    loaded, found, facts = begin_run(model, data, seed=seed, **sources)
    for note in found.task.notes:  # before the minutes of training, while a wrong column can still be seen
        print(f"headstart: {note}", file=sys.stderr)
    with _announced(out, recipe, facts):
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
    if seeds > 1:
        figures["seeds"] = spread(fitted.runs, fitted.best, fitted.measured[0].score, task)
    fitted.recipe.save(out / "recipe.yaml")
    write_json(out / "scores.json", figures)
    for left in (out / SEEDS, out / "search.json"):  # what a call that was stopped would have gone on with
        shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)
    return figures


@contextmanager
def _announced(out: Path, recipe: FinetuneRecipe, facts: JSONObject) -> Iterator[None]:
    """Say in `out` what is going on there, while it does. A fit that ends in an error before there is
    anything to go on with leaves nothing of it."""
    recipe.save(out / "recipe.yaml")
    write_json(out / "run.json", facts)
    try:
        yield
    except BaseException:
        if not any((out / kept).exists() for kept in ("model", SEEDS, "search.json")):
            for name in ("recipe.yaml", "run.json", "timing.json", METRICS, FITS):
                remove(out / name)
        raise


def compare_run(
    model: Path,
    data: Path,
    out: Path,
    recipe: FinetuneRecipe,
    ways: Sequence[str],
    *,
    seed: int = 0,
    replace: bool = False,
    **sources: Any,
) -> Compared:
    """Fine-tune in several ways, and write `out`: compare.json, compare.md, a folder with `model` for each.
    After a stop the ways that were finished are not gone again.

    Args:
        ways: see `compare`.
        replace: delete what `out` holds.
        sources: of `begin_run`.
    """
    settings = made_from(model, data, recipe, {"seed": seed, "ways": list(ways)} | sources)
    read = read_by(model, data, sources)
    with output(out, "comparison", settings=settings, inputs=read, replace=replace):
        loaded, found, facts = begin_run(model, data, seed=seed, **sources)
        compared = compare(loaded, found, recipe, ways, seed, out)
        recipe.save(out / "recipe.yaml")
        write_json(out / "run.json", facts)
        compared.write(out)
    return compared
