"""The fits of a quickstart: the points of its head-start plot, and the task models that it keeps."""

from collections.abc import Sequence
from pathlib import Path

import torch

from headstart.interchange.model_folder import load_model
from headstart.quickstart.budget import Precision
from headstart.quickstart.finetune_budget import FinetunePlan
from headstart.tasks.examples import TaskData
from headstart.tasks.finetuning.finetune import finetune
from headstart.tasks.finetuning.head_start import Asked, fit_points
from headstart.tasks.finetuning.learning_curve import known_systems


def measure_points(
    labels: Path,
    tasks: Sequence[TaskData],
    plan: FinetunePlan,
    encoder: Path,
    precision: Precision,
    path: Path,
    seed: int,
) -> None:
    """Fit every system at every number of labels and seed of the plan; finished points are kept in `path`."""
    asked = Asked(
        encoder, labels, {"seed": seed}, plan.labels, plan.seeds, known_systems(), plan.finetune,
        precision, plan.test_examples,
    )  # fmt: skip
    fit_points(asked, tasks, path)


def keep_model(task: TaskData, plan: FinetunePlan, encoder: Path, precision: Precision, folder: Path) -> None:
    """Fine-tune once with all labels and keep the model folder, for the user to try."""
    if (folder / "config.json").exists():
        return
    loaded = load_model(encoder, getattr(torch, precision))
    made = finetune(loaded, task.train, plan.finetune, plan.seeds[0])
    made.save(
        folder,
        f"# {task.name}\n\n{task.kind} with the labels {', '.join(made.labels)}, fine-tuned by headstart on "
        f"{len(task.train):,} examples. Its scores, beside other systems', are in the report of the run.",
    )
