"""The points of the head-start plot: many small independent fits, side by side, each kept when it is done."""

from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from typing import cast

import orjson
import torch

from headstart.errors import HeadstartError
from headstart.interchange.model_folder import load_model
from headstart.progress import ProgressBar
from headstart.quickstart.budget import Plan
from headstart.quickstart.facts import HeadStartPoint
from headstart.tasks.data.dataset import find_tasks
from headstart.tasks.data.splitting import sample_labels
from headstart.tasks.examples import TaskData
from headstart.tasks.finetuning.finetune import finetune
from headstart.tasks.finetuning.learning_curve import SystemName, known_systems, run_point
from headstart.workers import available_cores, worker_pool

POINTS = "head_start.jsonl"

_TASKS: dict[str, TaskData] = {}


def _prepare_worker(labels: Path, seed: int, test_examples: int) -> None:
    """Read the labelled data once in every worker process."""
    torch.set_num_threads(1)
    for task in find_tasks(labels, seed=seed):
        _TASKS[task.name] = shorten_test(task, test_examples)


def shorten_test(task: TaskData, most: int) -> TaskData:
    """The task with at most `most` test examples, drawn once, the same for every system."""
    return replace(task, test=sample_labels(task.test, most, 0)) if len(task.test) > most else task


def _fit_systems(
    task: str, labels: int | None, seed: int, systems: list[SystemName], encoder: Path, plan: Plan
) -> list[HeadStartPoint]:
    """The points of several systems on the same examples: counted words are fitted once for all of them."""
    found = []
    for system in systems:
        recipe = plan.finetune
        if system == "foundation":  # the plan's rate is for its own narrow encoder
            recipe = recipe.model_copy(update={"learning_rate": None})
        point = run_point(encoder, _TASKS[task], labels, system, seed, recipe, plan.encoder.precision)
        found.append(cast(HeadStartPoint, point | {"asked": labels}))
    return found


def fit_points(labels: Path, tasks: list[TaskData], plan: Plan, encoder: Path, path: Path, seed: int) -> None:
    """Fit every system at every number of labels and seed; finished points are kept in `path`."""
    done = {(p["task"], p["asked"], p["system"], p["seed"]) for p in read_points(path)}
    wanted = []
    for task in tasks:
        for count in _counts(task, plan):
            for one in plan.seeds:
                left = [name for name in known_systems() if (task.name, count, name, one) not in done]
                wanted += [(task.name, count, one, left)] if left else []
    wanted.sort(key=lambda job: -(job[1] or 10**9))  # long ones first, so that no core idles at the end
    if not wanted:
        return
    workers = min(available_cores(), len(wanted))
    setup = (labels, seed, plan.test_examples)
    with (
        worker_pool(workers, __name__, _prepare_worker, setup) as pool,
        path.open("ab") as file,
        ProgressBar("fine-tune", sum(len(job[3]) for job in wanted), "fits") as bar,
    ):
        try:
            for future in as_completed([pool.submit(_fit_systems, *job, encoder, plan) for job in wanted]):
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


def _counts(task: TaskData, plan: Plan) -> list[int | None]:
    """The numbers of labels that the task has; all of them last."""
    return [count for count in plan.labels if count is None or count < len(task.train)]


def read_points(path: Path) -> list[HeadStartPoint]:
    """The finished points; a line that a kill left unfinished is no point."""
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")
    points = []
    for line in lines:
        try:
            points.append(orjson.loads(line))
        except orjson.JSONDecodeError:
            continue
    return points


def keep_model(task: TaskData, plan: Plan, encoder: Path, folder: Path) -> None:
    """Fine-tune once with all labels and keep the model folder, for the user to try."""
    if (folder / "config.json").exists():
        return
    loaded = load_model(encoder, getattr(torch, plan.encoder.precision))
    made = finetune(loaded, task.train, plan.finetune, plan.seeds[0])
    made.save(
        folder,
        f"# {task.name}\n\n{task.kind} with the labels {', '.join(made.labels)}, fine-tuned by headstart on "
        f"{len(task.train):,} examples. Its scores, beside other systems', are in the report of the run.",
    )
