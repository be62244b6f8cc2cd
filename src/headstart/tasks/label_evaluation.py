"""A task model measured on labelled data, beside baselines, with its errors."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from headstart.errors import HeadstartError
from headstart.tasks.baselines import Majority, System, baselines
from headstart.tasks.data import Examples, TaskKind, flatten, load_examples, load_task, normalised
from headstart.tasks.evaluation_report import Evaluation, Table, by_length, excerpt, slices
from headstart.tasks.metrics import measure
from headstart.tasks.metrics.bootstrap import Measurement, Score
from headstart.tasks.metrics.entities import (
    entity_f1,
    entity_kinds,
    entity_precision,
    entity_recall,
    marks_entities,
    of_kind,
)
from headstart.tasks.metrics.labels import brier, calibration_error, confusion, f1, matthews
from headstart.tasks.predictor import Predictor
from headstart.tasks.rows import TOO_LONG, read_rows

CHUNK = 512  # examples answered at once
MOST_ERRORS = 20
MOST_CONFUSED = 30  # labels up to which the whole confusion matrix is shown


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
    _check_labels(predictor, examples)
    return [
        one.score for one in measure(predictor.task, examples.targets, predictor.predict(examples.inputs))
    ]


def _check_labels(predictor: Predictor, examples: Examples) -> None:
    known = set(predictor.labels)
    if examples.labels and not known.intersection(examples.labels):
        raise HeadstartError(
            f"the model knows none of the labels in the data: it gives {', '.join(predictor.labels[:8])}, "
            f"the data has {', '.join(examples.labels[:8])}; check --label-column"
        )


def evaluate_labels(
    predictor: Predictor,
    path: Path,
    train: Path | None = None,
    limit: int | None = None,
    text_column: str | None = None,
    label_column: str | None = None,
) -> Evaluation:
    """Score a task model beside the baselines, on all examples and on parts of them, with its errors.

    Args:
        path: labelled data; of a folder, its test part.
        train: what the baselines learn from; None: of a folder its training part, else nothing, and the
            majority is that of the data themselves.
        limit: so many examples from the beginning; None: all.

    Raises:
        HeadstartError: the model knows none of the labels in the data; see also `load_examples`.
    """
    examples = evaluation_examples(path, predictor.task, text_column, label_column)
    others = _other_columns(path, examples)
    if limit is not None:
        examples = examples.subset(range(min(limit, len(examples))))
        others = {name: values[:limit] for name, values in others.items()}
    _check_labels(predictor, examples)
    result = Evaluation(path.name, predictor.task, "", notes=list(examples.notes))
    predicted = _answer(predictor, examples, result)
    main = measure(predictor.task, examples.targets, predicted)[0]
    learned = None
    if train is not None:
        learned = load_examples(train, predictor.task, text_column, label_column)
    elif path.is_dir():
        learned = load_task(path, predictor.task, text_column=text_column, label_column=label_column).train
    beside: dict[str, System] = {}
    if learned is not None:
        beside = baselines(learned)
    elif predictor.task not in ("regression", "embedding"):
        beside = {"majority": Majority(examples)}
    for name, system in beside.items():
        measured = measure(predictor.task, examples.targets, system.predict(examples.inputs))
        result.add(name, measured)
        result.against(name, main, measured[0])
    result.rule = "The best answer to each example: a label, a tag for each word, a number, a span. " + (
        f"The baselines learned from {len(learned):,} labelled examples."
        if learned is not None
        else "No training data were named (--train), so the majority is that of these examples."
    )
    sizes = [len(normalised(one).split()) for one in examples.inputs]
    result.tables["slices"] = slices(main, others | {"length": by_length(sizes, "words")})
    return result


def _answer(predictor: Predictor, examples: Examples, result: Evaluation) -> list[Any]:
    """The model's answers; its scores, confusion and errors go into `result`."""
    if predictor.task not in ("classification", "tagging"):
        return _plain_answers(predictor, examples, result)
    predicted: list[Any] = []
    confidence: list[float] = []  # of every answer: a text's label, or a word's tag
    distances: list[float] = []
    for first in range(0, len(examples), CHUNK):
        answers = predictor.answers(examples.inputs[first : first + CHUNK])
        for answer, truth in zip(answers, examples.targets[first : first + CHUNK], strict=True):
            if predictor.task == "tagging":
                predicted.append(answer["tags"])
                confidence += answer["probabilities"]
            else:
                predicted.append(answer["label"])
                confidence.append(answer["probability"])
                chances = answer["probabilities"]
                square = sum(chance**2 for chance in chances.values())
                distances.append(square - 2 * chances.get(truth, 0.0) + 1)
    measured = measure(predictor.task, examples.targets, predicted)
    if predictor.task == "tagging":
        _tagging_tables(examples, predicted, confidence, measured, result)
    else:
        _label_tables(examples, predicted, confidence, measured, result)
        measured.append(brier(distances))
    result.add("model", measured)
    return predicted


def _plain_answers(predictor: Predictor, examples: Examples, result: Evaluation) -> list[Any]:
    """The same where an answer is no single label: numbers, spans, choices, several labels, vectors."""
    chunks = range(0, len(examples), CHUNK)
    predicted = [one for n in chunks for one in predictor.predict(examples.inputs[n : n + CHUNK])]
    result.add("model", measure(predictor.task, examples.targets, predicted))
    if predictor.task == "question-answering":
        right = [[answer.text for answer in answers] or [""] for answers in examples.targets]
        result.tables["wrong answers"] = [
            {"question": excerpt(question), "right": ways[0], "predicted": excerpt(said)}
            for (question, _), ways, said in zip(examples.inputs, right, predicted, strict=True)
            if said not in ways
        ][:MOST_ERRORS]
    return predicted


def _label_tables(
    examples: Examples, predicted: list[str], confidence: list[float], measured: list[Measurement],
    result: Evaluation,
) -> None:  # fmt: skip
    truth = flatten(examples.targets)
    right = [t == p for t, p in zip(truth, predicted, strict=True)]
    measured += [matthews(truth, predicted), calibration_error(np.array(confidence), np.array(right))]
    result.tables["labels"] = [
        {"label": label, "examples": truth.count(label)} | _precision_recall(truth, predicted, label)
        for label in sorted({*truth, *predicted})
    ]
    result.tables["confusion (true labels down, predicted across)"] = _matrix(truth, predicted)
    wrong = sorted((i for i, good in enumerate(right) if not good), key=lambda i: -confidence[i])
    result.tables["most confident errors"] = [
        {
            "true": truth[i],
            "predicted": predicted[i],
            "probability": confidence[i],
            "text": excerpt(str(examples.inputs[i])),
        }
        for i in wrong[:MOST_ERRORS]
    ]


def _tagging_tables(
    examples: Examples, predicted: list[list[str]], confidence: list[float], measured: list[Measurement],
    result: Evaluation,
) -> None:  # fmt: skip
    truth = examples.targets
    places = [(sentence, word) for sentence, tags in enumerate(truth) for word in range(len(tags))]
    true = [truth[sentence][word] for sentence, word in places]
    called = [predicted[sentence][word] for sentence, word in places]
    right = [t == p for t, p in zip(true, called, strict=True)]
    if marks_entities(truth):
        measured += [entity_precision(truth, predicted), entity_recall(truth, predicted)]
        table: Table = []
        for kind in entity_kinds(truth, predicted):
            both = [[of_kind(tags, kind) for tags in side] for side in (truth, predicted)]
            found = entity_f1(*both)
            table.append(
                {"kind": kind, "entities": found.n, "precision": entity_precision(*both).value,
                 "recall": entity_recall(*both).value, "F1": found.value}
            )  # fmt: skip
        result.tables["kinds of entities"] = table
    else:
        measured.append(f1(true, called))
        result.tables["tags"] = [
            {"tag": tag, "words": true.count(tag)} | _precision_recall(true, called, tag)
            for tag in sorted({*true, *called})
        ]
    measured.append(calibration_error(np.array(confidence), np.array(right)))
    result.tables["confusion (true tags down, predicted across)"] = _matrix(true, called)
    wrong = sorted((i for i, good in enumerate(right) if not good), key=lambda i: -confidence[i])
    result.tables["most confident errors"] = [
        {
            "true": true[i],
            "predicted": called[i],
            "probability": confidence[i],
            "word": examples.inputs[places[i][0]][places[i][1]],
            "sentence": excerpt(" ".join(examples.inputs[places[i][0]])),
        }
        for i in wrong[:MOST_ERRORS]
    ]


def _precision_recall(truth: Sequence[str], predicted: Sequence[str], label: str) -> dict[str, float]:
    right = sum(t == p == label for t, p in zip(truth, predicted, strict=True))
    true, called = truth.count(label), predicted.count(label)
    return {
        "precision": right / called if called else 0.0,
        "recall": right / true if true else 0.0,
        "F1": 2 * right / (true + called),
    }


def _matrix(truth: Sequence[str], predicted: Sequence[str]) -> Table:
    """The confusion matrix; of many labels the pairs that are confused most."""
    cells = confusion(truth, predicted)
    labels = sorted({*truth, *predicted})
    if len(labels) <= MOST_CONFUSED:
        return [
            {"true": label} | {other: cells.get(label, {}).get(other, 0) for other in labels}
            for label in labels
            if label in cells
        ]
    pairs = [(count, t, p) for t, its in cells.items() for p, count in its.items() if t != p]
    return [
        {"true": t, "predicted": p, "times": count}
        for count, t, p in sorted(pairs, reverse=True)[:MOST_CONFUSED]
    ]


def _other_columns(path: Path, examples: Examples) -> dict[str, list[Any]]:
    """The columns of a file that stand beside inputs and answers; none where rows were left out."""
    if path.is_dir():
        return {}
    rows = [row for _, row in read_rows(path)]
    if len(rows) != len(examples) or TOO_LONG in rows:
        return {}
    names = [name for name, value in rows[0].items() if not isinstance(value, list | dict | None)]
    return {name: [row.get(name) for row in rows] for name in names}
