"""Scores of what systems answer, each with its n and a bootstrap interval.

`bootstrap` holds what all metrics share: a `Measurement`, its `Score`, and `compare` for two systems.
"""

from collections.abc import Sequence

from headstart.tasks.data import Target, TaskKind
from headstart.tasks.metrics.bootstrap import Measurement, Score
from headstart.tasks.metrics.entities import entity_f1, marks_entities
from headstart.tasks.metrics.labels import accuracy, f1, token_accuracy


def measure(task: TaskKind, truth: Sequence[Target], predicted: Sequence[Target]) -> list[Measurement]:
    """What a task is measured by, the main metric first.

    Classification: accuracy and macro F1. Tagging: accuracy over words; of entities F1 comes before it.
    """
    if task == "tagging":
        words = token_accuracy(truth, predicted)
        return [entity_f1(truth, predicted), words] if marks_entities(truth) else [words]
    return [accuracy(truth, predicted), f1(truth, predicted, "macro")]


def score(task: TaskKind, truth: Sequence[Target], predicted: Sequence[Target]) -> list[Score]:
    """The scores of a task, the main one first; see `measure`."""
    return [measured.score for measured in measure(task, truth, predicted)]
