"""Scores of a task model on labelled data."""

from pathlib import Path

from headstart.errors import HeadstartError
from headstart.tasks.data import Examples, TaskKind, load_examples, load_task
from headstart.tasks.metrics import Score, score
from headstart.tasks.predictor import Predictor


def evaluation_examples(
    path: Path, kind: TaskKind, text_column: str | None = None, label_column: str | None = None
) -> Examples:
    """Every example of a file, or those of the test part of a folder."""
    if path.is_dir():
        return load_task(path, kind, text_column=text_column, label_column=label_column).test
    return load_examples(path, kind, text_column, label_column)


def evaluate_predictor(predictor: Predictor, examples: Examples) -> list[Score]:
    """The scores of the task, the main one first.

    Raises:
        HeadstartError: the model knows none of the labels in the data.
    """
    known = set(predictor.labels)
    if not known.intersection(examples.labels):
        raise HeadstartError(
            f"the model knows none of the labels in the data: it gives {', '.join(predictor.labels[:8])}, "
            f"the data has {', '.join(examples.labels[:8])}; check --label-column"
        )
    return score(predictor.task, examples.targets, predictor.predict(examples.inputs))
