"""The fits of a quickstart: the points of its head-start plot, and the task models that it keeps."""

from collections.abc import Sequence
from pathlib import Path

from headstart.quickstart.budget import Precision
from headstart.quickstart.finetune_budget import FinetunePlan
from headstart.tasks.examples import TaskData
from headstart.tasks.finetuning.head_start import Asked, fit_points
from headstart.tasks.finetuning.learning_curve import SystemName, known_systems, run_point


def measure_points(
    labels: Path,
    tasks: Sequence[TaskData],
    plan: FinetunePlan,
    encoder: Path,
    precision: Precision,
    path: Path,
    models: Path,
    kept: SystemName,
    seed: int,
) -> None:
    """Fit every system at every number of labels and seed of the plan; finished points are kept in `path`,
    and in `models` the model of each task that one of the systems learned from all labels, for the user to
    try."""
    folders = {task.name: models / task.name for task in tasks}
    asked = Asked(
        encoder, labels, {"seed": seed}, plan.labels, plan.seeds, known_systems(), plan.finetune, precision,
        plan.test_examples, kept=folders, kept_system=kept,
    )  # fmt: skip
    fit_points(asked, tasks, path)
    for task in tasks:
        if not (folders[task.name] / "config.json").exists():  # deleted since its point was measured
            run_point(
                encoder, task, None, kept, plan.seeds[0], plan.finetune, precision, keep=folders[task.name]
            )
