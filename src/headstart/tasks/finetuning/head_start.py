"""Measuring a head start: many small independent fits side by side, each kept when it is done."""

from collections.abc import Mapping, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any, cast

import orjson
import torch

from headstart.errors import HeadstartError
from headstart.folder import JSONObject, write_json
from headstart.interchange.hub import data_address
from headstart.output import output
from headstart.progress import ProgressBar
from headstart.tasks.data.dataset import find_tasks
from headstart.tasks.data.splitting import sample_labels
from headstart.tasks.examples import TaskData
from headstart.tasks.finetuning.finetune_recipe import FinetuneRecipe
from headstart.tasks.finetuning.finetune_run import made_from, read_by
from headstart.tasks.finetuning.head_start_points import (
    ABOUT,
    FITS,
    POINTS,
    About,
    HeadStartPoint,
    pretraining_cost,
    read_points,
)
from headstart.tasks.finetuning.learning_curve import SystemName, known_systems, run_point
from headstart.training.machine import dtype_named
from headstart.training.metrics import read_metrics
from headstart.training.restore import state_in
from headstart.training.run_folder import static_start
from headstart.workers import available_cores, worker_pool

_TASKS: dict[str, TaskData] = {}


@dataclass(frozen=True)
class Asked:
    """Which fits a measurement consists of, and how they are made."""

    model: Path
    """The pre-trained model's folder, in its run."""
    data: Path
    sources: Mapping[str, Any]
    """How the data are read: `find_tasks`' own arguments."""
    labels: Sequence[int | None]
    """Numbers of labelled examples; None: all of them, the last."""
    seeds: Sequence[int]
    systems: Sequence[SystemName]
    recipe: FinetuneRecipe
    precision: str
    test_examples: int
    states: Mapping[int, Path] = field(default_factory=dict)
    """By step: states of the run that are fine-tuned beside its finished model."""
    fits: Path | None = None
    """A folder for the course of every fit."""
    kept: Mapping[str, Path] = field(default_factory=dict)
    """By task: a model folder to write of the fit with all labels and the first seed."""
    kept_system: SystemName = "fine-tuned"
    """Whose fit that is."""


Way = tuple[SystemName, int | None]
"""A system, and of a state of the run its step."""


def fit_points(asked: Asked, tasks: Sequence[TaskData], path: Path) -> None:
    """Fit every system at every number of labels and seed; finished points are kept in `path`.

    Raises:
        HeadstartError: a process was ended from outside.
    """
    wanted = _jobs(asked, tasks, path)
    if not wanted:
        return
    _cut_half_a_line(path)
    workers = min(available_cores(), len(wanted))
    reading = (asked.data, asked.test_examples, asked.sources)
    with (
        worker_pool(workers, __name__, _prepare_worker, reading) as pool,
        path.open("ab") as file,
        ProgressBar("fine-tune", sum(len(job[3]) for job in wanted), "fits") as bar,
    ):
        try:
            for future in as_completed([pool.submit(_fit_ways, *job, asked) for job in wanted]):
                points = future.result()
                file.write(b"".join(orjson.dumps(point) + b"\n" for point in points))
                file.flush()
                best = max(points, key=lambda point: point["score"])
                said = f"{best['task']} {best['labels']} labels: {best['system']} {best['score']:.3f}"
                bar.advance(len(points), said)
        except BrokenProcessPool:
            raise HeadstartError(
                "a fine-tuning process was ended from outside, perhaps for lack of memory; start the same "
                "command again to go on"
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


def _jobs(
    asked: Asked, tasks: Sequence[TaskData], path: Path
) -> list[tuple[str, int | None, int, list[Way]]]:
    """What is left to fit. The ways of one job see the same examples, and count words once; where courses are
    kept each way is a job, so that they run beside one another."""
    done = {(p["task"], p["asked"], p["system"], p.get("step"), p["seed"]) for p in read_points(path).points}
    ways: list[Way] = [(name, None) for name in asked.systems]
    ways += [("fine-tuned", step) for step in asked.states]
    wanted: list[tuple[str, int | None, int, list[Way]]] = []
    for task in tasks:
        for count in counts(task, asked.labels):
            for seed in asked.seeds:
                left = [way for way in ways if (task.name, count, *way, seed) not in done]
                groups = [left] if asked.fits is None else [[way] for way in left]
                wanted += [(task.name, count, seed, group) for group in groups if group]
    return sorted(wanted, key=lambda job: -(job[1] or 10**9))  # long ones first: no core idles at the end


def counts(task: TaskData, labels: Sequence[int | None]) -> list[int | None]:
    """The numbers of labels that the task has; all of them last."""
    return [count for count in labels if count is None or count < len(task.train)]


def _prepare_worker(data: Path, test_examples: int, sources: Mapping[str, Any]) -> None:
    """Read the labelled data once in every worker process."""
    torch.set_num_threads(1)
    for task in find_tasks(data, **sources):
        _TASKS[task.name] = shorten_test(task, test_examples)


def shorten_test(task: TaskData, most: int) -> TaskData:
    """The task with at most `most` test examples, drawn once, the same for every system."""
    return replace(task, test=sample_labels(task.test, most, 0)) if len(task.test) > most else task


def _fit_ways(
    task: str, labels: int | None, seed: int, ways: Sequence[Way], asked: Asked
) -> list[HeadStartPoint]:
    found = []
    for system, step in ways:
        recipe = asked.recipe
        if system == "foundation":  # a rate that was asked for is for the model that is measured
            recipe = recipe.model_copy(update={"learning_rate": None})
        model = asked.model if step is None else asked.states[step]
        name = "-".join(str(part) for part in (task, labels or "all", seed, system, step) if part is not None)
        course = None if asked.fits is None else asked.fits / name
        whole = labels is None and seed == asked.seeds[0] and (system, step) == (asked.kept_system, None)
        point = run_point(
            model, _TASKS[task], labels, system, seed, recipe, asked.precision, course=course,
            keep=asked.kept.get(task) if whole else None,
        ) | {"asked": labels}  # fmt: skip
        found.append(cast(HeadStartPoint, point if step is None else point | {"step": step}))
    return found


def _cut_half_a_line(path: Path) -> None:
    """Cut off what a kill left behind the last whole line: the next one would be damaged with it."""
    if path.exists():
        with path.open("r+b") as file:
            whole = file.read().rpartition(b"\n")
            file.truncate(len(whole[0]) + len(whole[1]))


def head_start_run(
    model: Path,
    data: Path,
    out: Path,
    recipe: FinetuneRecipe,
    *,
    labels: Sequence[int | None],
    seeds: int,
    systems: Sequence[SystemName] | None = None,
    states: int = 0,
    test_examples: int,
    precision: str = "auto",
    replace: bool = False,
    **sources: Any,
) -> JSONObject:
    """Measure what pre-training is worth, by number of labels, and write `out`: head_start.json (what is
    measured), head_start.jsonl (a line a fit) and fits/ (the course of each).

    Args:
        labels: numbers of labelled examples; None: all.
        seeds: so many, from 0 on: each draws its examples.
        systems: None: all that can be measured here.
        states: so many snapshots of the model's run are fine-tuned beside it, evenly among those it kept.
        sources: of `find_tasks`.

    Returns:
        The rows of the table: mean and deviation by task, labels, system, state.

    Raises:
        HeadstartError: see `find_tasks`, `run_point`; there are no such snapshots.
    """
    given: JSONObject = {
        "labels": list(labels), "seeds": seeds, "systems": None if systems is None else list(systems),
        "states": states, "test_examples": test_examples, "precision": precision,
    }  # fmt: skip
    settings = made_from(model, data, recipe, given | sources)
    with output(out, "head start", settings=settings, inputs=read_by(model, data, {}), replace=replace) as to:
        if not to.finished:
            tasks = find_tasks(data, **sources)
            asked = Asked(
                state_in(model), data, sources, labels, range(seeds), _measurable(model, systems), recipe,
                str(dtype_named(precision)).removeprefix("torch."), test_examples, _states(model, states),
                out / FITS,
            )  # fmt: skip
            write_json(out / ABOUT, _about(model, asked, tasks))
            fit_points(asked, tasks, out / POINTS)
            to.finish({"rows": table(read_points(out / POINTS).points)})
    return to.facts


def _measurable(model: Path, systems: Sequence[SystemName] | None) -> list[SystemName]:
    """The systems that are asked for; all that there are: without a static start where the run kept none."""
    if systems is not None:
        return list(systems)
    found = known_systems()
    try:
        static_start(state_in(model))
    except HeadstartError:
        found.remove("static-start")
    return found


def _states(model: Path, count: int) -> dict[int, Path]:
    """Snapshots of a run, by step: `count` of them, evenly among those before its last."""
    if not count:
        return {}
    kept = {int(path.name[5:]): path for path in model.glob("snapshots/step-*") if path.name[5:].isdigit()}
    steps = sorted(kept)[:-1]
    if not steps:
        raise HeadstartError(
            f"{model} keeps no snapshots of its way; pre-train with snapshots=8, or leave --states out"
        )
    many = min(count, len(steps))
    chosen = {steps[round(place * (len(steps) - 1) / max(many - 1, 1))] for place in range(many)}
    return {step: kept[step] for step in sorted(chosen)}


def _about(model: Path, asked: Asked, tasks: Sequence[TaskData]) -> About:
    ways = len(asked.systems) + len(asked.states)
    fits = sum(len(counts(task, asked.labels)) for task in tasks) * len(asked.seeds) * ways
    read = {}
    if asked.states:
        found = [event for event in read_metrics(model) if event["kind"] == "step"]
        read = {event["step"]: event.get("tokens", 0) for event in found} | {0: 0}
    return {
        "model": str(model.resolve()),
        "data": data_address(asked.data) or str(asked.data.resolve()),
        "tasks": [
            {
                "task": task.name, "kind": task.kind, "train_examples": len(task.train),
                "test_examples": min(len(task.test), asked.test_examples),
            }
            for task in tasks
        ],
        "systems": list(asked.systems),
        "fits": fits,
        "pretraining": pretraining_cost(model),
        "tokens_at": {str(step): read[step] for step in asked.states if step in read},
    }  # fmt: skip


def table(points: Sequence[HeadStartPoint]) -> list[JSONObject]:
    """Mean and sample standard deviation over the seeds, by task, labels, system and state."""
    groups: dict[tuple[str, int, str, int], list[HeadStartPoint]] = {}
    for point in points:
        step = point.get("step")
        key = point["task"], point["labels"], point["system"], -1 if step is None else step
        groups.setdefault(key, []).append(point)
    rows: list[JSONObject] = []
    for (task, labels, system, step), group in sorted(groups.items()):
        values = [point["score"] for point in group]
        rows.append({
            "task": task, "labels": labels, "system": system, "step": None if step < 0 else step,
            "metric": group[0]["metric"], "score": mean(values),
            "deviation": stdev(values) if len(values) > 1 else None, "seeds": len(values),
            "seconds": mean(point["seconds"] for point in group),
        })  # fmt: skip
    return rows
