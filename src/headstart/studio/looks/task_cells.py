"""Labelled examples counted into a table of what is right against what was answered, whatever the task is."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from headstart.evaluation.label_evaluation import Answered
from headstart.tasks.examples import in_order
from headstart.tasks.metrics.answers import answer_f1, exact_match
from headstart.tasks.metrics.ranking import similarities

MOST = 12  # rows and columns; of more labels those that are confused most
OTHERS = "other labels"
FIFTHS = 5


@dataclass(frozen=True)
class Cells:
    """The table, and where each example is counted."""

    rows: list[str]
    columns: list[str]
    right: list[tuple[int, int]]
    """The cells of right answers."""
    counts: str
    """What a cell counts: texts, labels, words."""
    places: list[list[tuple[int, int, int]]]
    """Of each example the rows, columns and how often it is counted there."""
    good: list[bool]
    """Whether all of an example is right."""
    wrongness: list[float]
    """What sorts examples, the worst largest."""


def cells_of(answered: Answered, labels: Sequence[str]) -> Cells:
    """Count every example.

    Args:
        labels: those of the model, in its order.
    """
    makers: dict[str, Callable[[Answered, Sequence[str]], Cells]] = {
        "classification": _classes,
        "multi-label": _several,
        "tagging": _tags,
        "regression": _numbers,
        "question-answering": _questions,
        "multiple-choice": _options,
        "embedding": _pairs,
    }
    return makers.get(answered.examples.task, _texts)(answered, labels)


def _classes(answered: Answered, labels: Sequence[str]) -> Cells:
    truth, called = answered.examples.targets, answered.predicted
    names, number = _kept(labels, list(zip(truth, called, strict=True)))
    good = [t == p for t, p in zip(truth, called, strict=True)]
    sure = [answer.get("probability", 0.5) for answer in answered.answers]
    return Cells(
        names, names, [(n, n) for n in range(len(names))], "texts",
        [[(number[t], number[p], 1)] for t, p in zip(truth, called, strict=True)],
        good, [-p if right else p for right, p in zip(good, sure, strict=True)],
    )  # fmt: skip


def _tags(answered: Answered, labels: Sequence[str]) -> Cells:
    truth, called = answered.examples.targets, answered.predicted
    pairs = [pair for t, p in zip(truth, called, strict=True) for pair in zip(t, p, strict=True)]
    names, number = _kept(labels, pairs)
    places = []
    for its, answer in zip(truth, called, strict=True):
        counted = Counter((number[t], number[p]) for t, p in zip(its, answer, strict=True))
        places.append([(row, column, count) for (row, column), count in sorted(counted.items())])
    wrong = [
        sum(t != p for t, p in zip(its, answer, strict=True))
        for its, answer in zip(truth, called, strict=True)
    ]
    return Cells(
        names, names, [(n, n) for n in range(len(names))], "words", places,
        [not count for count in wrong], [float(count) for count in wrong],
    )  # fmt: skip


def _several(answered: Answered, labels: Sequence[str]) -> Cells:
    truth = [set(its) for its in answered.examples.targets]
    called = [set(its) for its in answered.predicted]
    missed = [(label, "missed") for t, p in zip(truth, called, strict=True) for label in t ^ p]
    names, number = _kept([*labels, *in_order(set().union(*truth) - set(labels))], missed)
    places = [
        [*((number[one], 0, 1) for one in sorted(t & p)), *((number[one], 1, 1) for one in sorted(t - p)),
         *((number[one], 2, 1) for one in sorted(p - t))]
        for t, p in zip(truth, called, strict=True)
    ]  # fmt: skip
    wrong = [len(t ^ p) for t, p in zip(truth, called, strict=True)]
    return Cells(
        names, ["found", "missed", "too many"], [(n, 0) for n in range(len(names))], "labels", places,
        [not count for count in wrong], [float(count) for count in wrong],
    )  # fmt: skip


def _numbers(answered: Answered, labels: Sequence[str]) -> Cells:
    truth = np.array(answered.examples.targets, dtype=np.float64)
    called = np.array(answered.predicted, dtype=np.float64)
    borders = np.linspace(truth.min(), truth.max(), FIFTHS + 1)
    names = [f"{low:.3g} to {high:.3g}" for low, high in pairwise(borders)]
    return _fifths(names, _fifth(truth, borders), _fifth(called, borders), np.abs(truth - called))


def _pairs(answered: Answered, labels: Sequence[str]) -> Cells:
    truth = answered.examples.targets
    if truth[0] is None:
        vectors = np.stack(answered.predicted)  # [N, 2, D]
        scores = vectors[:, 0] @ vectors[:, 1].T
        nearer = (scores > scores.diagonal()[:, None]).sum(1)
        return Cells(
            ["pairs"], ["nearest of all", "another is nearer"], [(0, 0)], "pairs",
            [[(0, int(count > 0), 1)] for count in nearer], [not count for count in nearer], nearer.tolist(),
        )  # fmt: skip
    cosines = np.array(similarities(answered.predicted))
    ranks = [np.argsort(np.argsort(values)) for values in (np.array(truth), cosines)]
    borders = np.linspace(0, max(len(truth) - 1, 1), FIFTHS + 1)
    names = ["least alike", "second fifth", "third fifth", "fourth fifth", "most alike"]
    first, second = (_fifth(rank, borders) for rank in ranks)
    return _fifths(names, first, second, np.abs(ranks[0] - ranks[1]).astype(np.float64))


def _fifths(names: list[str], truth: np.ndarray, called: np.ndarray, far: np.ndarray) -> Cells:
    return Cells(
        names, names, [(n, n) for n in range(FIFTHS)], "texts",
        [[(int(t), int(p), 1)] for t, p in zip(truth, called, strict=True)],
        (truth == called).tolist(), far.tolist(),
    )  # fmt: skip


def _fifth(values: np.ndarray, borders: np.ndarray) -> np.ndarray:
    return np.clip(np.searchsorted(borders, values, side="right") - 1, 0, FIFTHS - 1)


def _questions(answered: Answered, labels: Sequence[str]) -> Cells:
    truth = [[one.text for one in its] for its in answered.examples.targets]
    shared = answer_f1(truth, answered.predicted).under(np.eye(len(truth)))
    exact = exact_match(truth, answered.predicted).under(np.eye(len(truth)))
    places = []
    for its, said, f1, same in zip(truth, answered.predicted, shared, exact, strict=True):
        column = 3 if not said else 0 if same else 1 if f1 > 0 else 2
        places.append([(int(not its), column, 1)])
    return Cells(
        ["has an answer", "has none"], ["as wanted", "in part", "wrong", "says none"], [(0, 0), (1, 3)],
        "questions", places, exact.astype(bool).tolist(), (1 - shared).tolist(),
    )  # fmt: skip


def _options(answered: Answered, labels: Sequence[str]) -> Cells:
    truth, called = answered.examples.targets, answered.predicted
    count = max(len(one.options) for one in answered.examples.inputs)
    names = [f"option {number + 1}" for number in range(count)]
    good = [t == p for t, p in zip(truth, called, strict=True)]
    sure = [answer.get("probability", 0.5) for answer in answered.answers]
    return Cells(
        names, names, [(n, n) for n in range(count)], "texts",
        [[(t, p, 1)] for t, p in zip(truth, called, strict=True)],
        good, [-p if right else p for right, p in zip(good, sure, strict=True)],
    )  # fmt: skip


def _texts(answered: Answered, labels: Sequence[str]) -> Cells:
    truth, called = answered.examples.targets, answered.predicted
    shared = answer_f1(truth, called).under(np.eye(len(truth)))
    exact = exact_match(truth, called).under(np.eye(len(truth)))
    column = [
        0 if same else 1 if f1 >= 0.5 else 2 if f1 > 0 else 3 for f1, same in zip(shared, exact, strict=True)
    ]
    return Cells(
        ["answers"], ["as wanted", "half of the words or more", "some words", "no word"], [(0, 0)], "answers",
        [[(0, one, 1)] for one in column], exact.astype(bool).tolist(), (1 - shared).tolist(),
    )  # fmt: skip


def _kept(labels: Sequence[str], pairs: Sequence[tuple[str, str]]) -> tuple[list[str], dict[str, int]]:
    """The labels of rows and columns, and the number of each label: those of the model, then others that
    occur; of many those that are confused most, and one for all others."""
    occurring = {label for pair in pairs for label in pair}
    known = [label for label in labels if label in occurring or len(labels) <= MOST]
    names = known + in_order(occurring - set(known) - {"missed"})
    if len(names) <= MOST:
        return names, {label: number for number, label in enumerate(names)}
    confused = Counter(label for t, p in pairs if t != p for label in (t, p))
    chosen = {label for label, _ in confused.most_common(MOST - 1)}
    shown = [label for label in names if label in chosen]
    number = {label: place for place, label in enumerate(shown)}
    return [*shown, OTHERS], dict.fromkeys(names, len(shown)) | number
