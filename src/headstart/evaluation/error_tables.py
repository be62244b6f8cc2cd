"""Where a task model fails: what each kind of task has to show beside its main scores."""

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np

from headstart.evaluation.report import Evaluation, Table, excerpt
from headstart.tasks.examples import Choices, Conversation, Examples
from headstart.tasks.kinds.kind import AnswerRow
from headstart.tasks.metrics.answers import answer_f1, exact_match
from headstart.tasks.metrics.bootstrap import Measurement, mean
from headstart.tasks.metrics.entities import (
    entity_f1,
    entity_kinds,
    entity_precision,
    entity_recall,
    marks_entities,
    of_kind,
)
from headstart.tasks.metrics.labels import brier, calibration_error, confusion, f1, matthews

MOST_ERRORS = 20
MOST_CONFUSED = 30  # labels up to which the whole confusion matrix is shown


class MeasuredAnswer(AnswerRow, total=False):
    """An answer, and how far its probabilities are from the truth."""

    distance: float
    """Sum of the squared differences; it stands in place of the probabilities of labels."""


Answers = Sequence[MeasuredAnswer]
"""What `Predictor.answers` gives, without the probabilities of all labels, and with `distance`, the squared
distance of those from the truth."""


def show_errors(
    examples: Examples, predicted: Sequence[Any], answers: Answers, result: Evaluation
) -> list[Measurement]:
    """Put the tables of the task into `result`; returns what else it is measured by."""
    makers: dict[str, Callable[..., list[Measurement]]] = {
        "classification": _classes,
        "multi-label": _several_labels,
        "regression": _numbers,
        "tagging": _tags,
        "question-answering": _questions,
        "multiple-choice": _options,
        "text-to-text": _texts,
        "chat": _texts,
    }
    make = makers.get(examples.task)
    return make(examples, predicted, answers, result.tables) if make is not None else []


def _classes(
    examples: Examples, predicted: Sequence[str], answers: Answers, tables: dict[str, Table]
) -> list[Measurement]:
    truth = examples.targets
    right = [t == p for t, p in zip(truth, predicted, strict=True)]
    confidence = [answer.get("probability", 0.0) for answer in answers]
    tables["labels"] = [
        {"label": label, "texts": truth.count(label)} | _precision_recall(truth, predicted, label)
        for label in sorted({*truth, *predicted})
    ]
    tables["confusion (true labels down, predicted across)"] = _matrix(truth, predicted)
    tables["most confident errors"] = [
        {"true": truth[i], "predicted": predicted[i], "probability": confidence[i],
         "text": shown(examples.inputs[i])}
        for i in _worst(right, confidence)
    ]  # fmt: skip
    sure = [calibration_error(np.array(confidence), np.array(right))]
    if all("distance" in answer for answer in answers):
        sure.append(brier([answer["distance"] for answer in answers]))
    return [matthews(truth, predicted), *sure]


def _several_labels(
    examples: Examples, predicted: Sequence[Sequence[str]], answers: Answers, tables: dict[str, Table]
) -> list[Measurement]:
    truth = [set(its) for its in examples.targets]
    called = [set(its) for its in predicted]
    tables["labels"] = [
        {"label": label, "texts": sum(label in its for its in truth)}
        | _precision_recall([label in its for its in truth], [label in its for its in called], True)
        for label in sorted(set().union(*truth, *called))
    ]
    missed = [len(t ^ c) for t, c in zip(truth, called, strict=True)]
    tables["most labels wrong"] = [
        {"missing": ", ".join(sorted(truth[i] - called[i])),
         "too many": ", ".join(sorted(called[i] - truth[i])), "text": shown(examples.inputs[i])}
        for i in _worst([not count for count in missed], missed)
    ]  # fmt: skip
    return [brier([answer["distance"] for answer in answers])] if "distance" in answers[0] else []


def _numbers(
    examples: Examples, predicted: Sequence[float], answers: Answers, tables: dict[str, Table]
) -> list[Measurement]:
    far = [abs(t - p) for t, p in zip(examples.targets, predicted, strict=True)]
    tables["largest errors"] = [
        {"true": examples.targets[i], "predicted": predicted[i], "text": shown(examples.inputs[i])}
        for i in _worst([not error for error in far], far)
    ]
    return []


def _tags(
    examples: Examples, predicted: Sequence[Sequence[str]], answers: Answers, tables: dict[str, Table]
) -> list[Measurement]:
    truth = examples.targets
    places = [(sentence, word) for sentence, tags in enumerate(truth) for word in range(len(tags))]
    true = [truth[sentence][word] for sentence, word in places]
    called = [predicted[sentence][word] for sentence, word in places]
    right = [t == p for t, p in zip(true, called, strict=True)]
    # What a model wrote has one probability for all of its tags.
    confidence = [
        one
        for answer, tags in zip(answers, truth, strict=True)
        for one in cast(
            list[float], answer.get("probabilities", [answer.get("probability", 0.0)] * len(tags))
        )
    ]
    if marks_entities(truth):
        measured = [entity_precision(truth, predicted), entity_recall(truth, predicted)]
        tables["kinds of entities"] = [
            {"kind": kind}
            | _entities([[of_kind(tags, kind) for tags in side] for side in (truth, predicted)])
            for kind in entity_kinds(truth, predicted)
        ]
    else:
        measured = [f1(true, called)]
        tables["tags"] = [
            {"tag": tag, "words": true.count(tag)} | _precision_recall(true, called, tag)
            for tag in sorted({*true, *called})
        ]
    tables["confusion (true tags down, predicted across)"] = _matrix(true, called)
    tables["most confident errors"] = [
        {"true": true[i], "predicted": called[i], "probability": confidence[i],
         "word": examples.inputs[sentence][word], "sentence": shown(examples.inputs[sentence])}
        for i in _worst(right, confidence)
        for sentence, word in [places[i]]
    ]  # fmt: skip
    return [*measured, calibration_error(np.array(confidence), np.array(right))]


def _questions(
    examples: Examples, predicted: Sequence[str], answers: Answers, tables: dict[str, Table]
) -> list[Measurement]:
    truth = [[answer.text for answer in its] for its in examples.targets]
    parts = {
        "answerable": [i for i, its in enumerate(truth) if its],
        "without answer": [i for i, its in enumerate(truth) if not its],
    }
    measured = [answer_f1(truth, predicted), exact_match(truth, predicted)]
    tables["answerable or not"] = [
        {"questions": name, **one.subset(places).score.as_dict()}
        for name, places in parts.items() if places and len(places) < len(truth)
        for one in measured
    ]  # fmt: skip
    said = np.array([bool(answer) for answer in predicted])
    exists = np.array([bool(its) for its in truth])
    shared = [answer_f1([its], [answer]).value for its, answer in zip(truth, predicted, strict=True)]
    confidence = [answer.get("probability", 0.0) for answer in answers]
    tables["most confident errors"] = [
        {"right": truth[i][0] if truth[i] else "(no answer)", "given": predicted[i] or "(no answer)",
         "probability": confidence[i], "question": excerpt(examples.inputs[i][0])}
        for i in _worst([one > 0 for one in shared], confidence)
    ]  # fmt: skip
    return [] if exists.all() else [mean("answerable or not", said == exists)]


def _options(
    examples: Examples, predicted: Sequence[int], answers: Answers, tables: dict[str, Table]
) -> list[Measurement]:
    right = [t == p for t, p in zip(examples.targets, predicted, strict=True)]
    confidence = [answer.get("probability", 0.0) for answer in answers]
    tables["most confident errors"] = [
        {"right": excerpt(examples.inputs[i].options[examples.targets[i]]),
         "chosen": excerpt(examples.inputs[i].options[predicted[i]]),
         "probability": confidence[i], "text": excerpt(examples.inputs[i].text)}
        for i in _worst(right, confidence)
    ]  # fmt: skip
    return [calibration_error(np.array(confidence), np.array(right))]


def _texts(
    examples: Examples, predicted: Sequence[str], answers: Answers, tables: dict[str, Table]
) -> list[Measurement]:
    shared = [answer_f1([ways], [text]).value for ways, text in zip(examples.targets, predicted, strict=True)]
    unread = [answer["error"] for answer in answers if "error" in answer]
    endless = sum(answer.get("finish") == "length" for answer in answers)
    if unread:
        tables["without an answer"] = [{"reason": unread[0], "texts": len(unread)}]
    tables["most confident errors"] = [
        {"right": excerpt(examples.targets[i][0]), "written": excerpt(predicted[i]),
         "probability": answers[i].get("probability", 0.0), "read": shown(examples.inputs[i])}
        for i in _worst([one > 0.5 for one in shared], [a.get("probability", 0.0) for a in answers])
    ]  # fmt: skip
    return (
        [mean("ended by the model", [answer.get("finish") != "length" for answer in answers])]
        if endless
        else []
    )


def shown(given: Any) -> str:
    """The beginning of an input, for people."""
    if isinstance(given, tuple):
        return " / ".join(excerpt(one) for one in given)
    if isinstance(given, Choices | Conversation):
        return excerpt(given.text)
    return excerpt(given if isinstance(given, str) else " ".join(given))


def words_in(given: Any) -> int:
    """How long an input is."""
    if isinstance(given, Choices | Conversation):
        return len(given.text.split())
    if isinstance(given, list):
        return len(given)
    return len((given if isinstance(given, str) else " ".join(given)).split())


def _worst(right: Sequence[bool], weight: Sequence[float]) -> list[int]:
    """The places of what is wrong, the weightiest first."""
    return sorted((i for i, good in enumerate(right) if not good), key=lambda i: -weight[i])[:MOST_ERRORS]


def _precision_recall(truth: Sequence[Any], predicted: Sequence[Any], label: Any) -> dict[str, float]:
    right = sum(t == p == label for t, p in zip(truth, predicted, strict=True))
    true, called = truth.count(label), predicted.count(label)
    return {
        "precision": right / called if called else 0.0,
        "recall": right / true if true else 0.0,
        "F1": 2 * right / (true + called),
    }


def _entities(both: list[list[list[str]]]) -> dict[str, float]:
    found = entity_f1(*both)
    precision, recall = entity_precision(*both).value, entity_recall(*both).value
    return {"entities": found.n, "precision": precision, "recall": recall, "F1": found.value}


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
