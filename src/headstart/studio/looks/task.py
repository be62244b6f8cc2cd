"""What the Task view sees: a task model's answers to labelled examples as `evaluate` scores them, any part of
them scored anew, one example whole, and what each of its words is worth."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal
from weakref import ref

import numpy as np
import orjson

from headstart.errors import HeadstartError
from headstart.evaluation.answer_influence import influence_on_answer
from headstart.evaluation.error_tables import shown
from headstart.evaluation.label_evaluation import (
    Answered,
    add_model,
    answer_examples,
    check_labels,
    evaluation_examples,
    sliced_by,
)
from headstart.evaluation.report import Evaluation
from headstart.folder import JSONObject
from headstart.interchange.model_folder import LoadedModel
from headstart.studio.frames import Looked
from headstart.studio.looks.task_cells import Cells, cells_of
from headstart.tasks.data.dataset import load_examples
from headstart.tasks.data.rows import read_rows
from headstart.tasks.data.splitting import split
from headstart.tasks.examples import Answer, Choices, Conversation, Examples, WordSequence, normalised
from headstart.tasks.kinds.kind import Scored
from headstart.tasks.metrics.entities import entities, marks_entities
from headstart.tasks.predictor import Predictor

Part = Literal["all", "test", "train"]
MOST_SLICES = 12  # values of a column
FORMAT_COLUMNS = ("text", "tokens", "tags")
"""What formats without names call their columns (see `read_rows`)."""


@dataclass(frozen=True)
class Asked:
    """Which examples."""

    data: Path
    part: Part
    """All of a file; or the part that a fine-tuning on it has set apart for the test, or has learned from."""
    limit: int
    """So many from the beginning."""
    seed: int = 0
    """Of the fine-tuning, by which the part was set apart."""
    tested: int = 0
    """How many examples that part has, by the fine-tuning's own account."""

    @property
    def key(self) -> tuple[object, ...]:
        state = self.data.stat()
        return self, state.st_mtime_ns, state.st_size


@dataclass(frozen=True)
class Held:
    """Examples and answers that were computed last; questions about them come one after another."""

    predictor: Predictor
    answered: Answered
    evaluation: Evaluation
    cells: Cells
    of: int
    """How many examples there are without the limit."""


_last: tuple[Any, tuple[object, ...], Held] | None = None


def answers(loaded: LoadedModel, asked: Mapping[str, Any]) -> Looked:
    """All examples with truth and answer, the scores of `evaluate`, and the table of cells."""
    held = _held(loaded, Asked(**asked))
    answered, cells = held.answered, held.cells
    sliced = {
        name: [str(value) for value in values]
        for name, values in sliced_by(answered).items()
        if 1 < len(set(map(str, values))) <= MOST_SLICES
    }
    fields = {
        "task": held.predictor.task,
        "writes": not isinstance(held.predictor.kind, Scored),
        "labels": held.predictor.labels,
        "of": held.of,
        "scores": held.evaluation.scores,
        "slices": held.evaluation.tables["slices"],
        "notes": held.evaluation.notes,
        "correctable": bool(answered.examples.lines),
        "cells": asdict(cells),
        "sliced": sliced,
        "examples": [
            {
                "line": answered.examples.lines[place] if answered.examples.lines else None,
                "text": shown(given),
                "truth": _said(answered.examples.task, answered.examples.targets[place], given),
                "answer": _said(answered.examples.task, answered.predicted[place], given),
                "probability": answered.answers[place].get("probability"),
            }
            for place, given in enumerate(answered.examples.inputs)
        ],
    }
    return Looked(fields, {})


def selected(
    loaded: LoadedModel, asked: Mapping[str, Any], places: Sequence[int] | None, word: str
) -> Looked:
    """The main score of some examples: those at `places` (None: all) whose text holds `word`."""
    held = _held(loaded, Asked(**asked))
    inputs = held.answered.examples.inputs
    among = range(len(inputs)) if places is None else places
    wanted = " ".join(word.split()).lower()
    found = [place for place in among if place < len(inputs) and wanted in normalised(inputs[place])]
    score = held.answered.measured[0].subset(found).score.as_dict() if found else None
    return Looked({"places": found, "score": score}, {})


def example(loaded: LoadedModel, asked: Mapping[str, Any], place: int) -> Looked:
    """One example whole: its texts, what is right, what was answered, all probabilities."""
    held = _held(loaded, Asked(**asked))
    examples, predictor = held.answered.examples, held.predictor
    _check(examples, place)
    given, target = examples.inputs[place], examples.targets[place]
    answer = held.answered.answers[place]
    fields = {
        "texts": _texts(given),
        "words": list(given) if isinstance(given, list) else [],
        "options": list(given.options) if isinstance(given, Choices) else [],
        "chances": _chances(answer, given),
        "sure": answer.get("probabilities") if examples.task == "tagging" else None,
        "answer": {name: value for name, value in answer.items() if name != "probabilities"},
        "target": _plain(target),
        "predicted": _plain(held.answered.predicted[place]) if examples.task != "embedding" else None,
        "columns": {name: values[place] for name, values in held.answered.columns.items()},
    }
    if examples.task == "tagging" and marks_entities([["O", *predictor.labels]]):
        fields["spans"] = [
            [[label, first, last] for label, first, last in entities(tags)]
            for tags in (target, held.answered.predicted[place])
        ]
    return Looked(fields, {})


def word_influence(loaded: LoadedModel, asked: Mapping[str, Any], place: int) -> Looked:
    """What each word of one example is worth to the answer; see `answer_influence`."""
    held = _held(loaded, Asked(**asked))
    examples = held.answered.examples
    _check(examples, place)
    found = influence_on_answer(held.predictor, examples.inputs[place])
    given = examples.inputs[place]
    fields = {
        "words": [[word.part, word.start, word.end] for word in found.words],
        "names": found.names,
        "unit": found.unit,
        "without": [_said(examples.task, one, given) for one in found.without],
    }
    return Looked(fields, {"influence": found.values.astype(np.float32)})


def correction(loaded: LoadedModel, asked: Mapping[str, Any], place: int, value: Any) -> Looked:
    """A label that a person gives to an example, as the kind of task reads it.

    Raises:
        HeadstartError: it is none that the task could have.
    """
    held = _held(loaded, Asked(**asked))
    examples = held.answered.examples
    _check(examples, place)
    if not examples.lines:
        raise HeadstartError(
            f"{asked['data'].name} is several files; open the one that holds the example, and correct it "
            "there"
        )
    given = examples.inputs[place]
    target = _target(examples, given, value)
    fields = {
        "line": examples.lines[place],
        "input": fingerprint(given),
        "was": _said(examples.task, examples.targets[place], given),
        "becomes": _said(examples.task, target, given),
        "value": value,
    }
    return Looked(fields, {})


def corrected(loaded: LoadedModel, data: Path, corrections: Sequence[Mapping[str, Any]]) -> Looked:
    """All examples of a file as JSON lines, with labels as they were corrected; other columns stay.

    Returns:
        Fields `rows`, `changed`, `stale` (corrections of lines that hold something else now), and `notes` on
        what the file had beside; tensor `content` uint8, the bytes of the new file.
    """
    predictor = Predictor.of(loaded)
    kind, like = predictor.kind, predictor.facts.reading
    examples = load_examples(data, predictor.task, like=like)
    if not examples.lines:
        raise HeadstartError(f"{data.name} is several files; correct and export them one by one")
    columns = examples.reading.columns
    given = {one["line"]: one for one in corrections}
    beside = _beside(data, examples)
    content, changed = [], 0
    for line, its, target in zip(examples.lines, examples.inputs, examples.targets, strict=True):
        its_correction = given.get(line)
        if its_correction is not None and its_correction["input"] == fingerprint(its):
            target = _target(examples, its, its_correction["value"])
            changed += 1
        row = kind.row(its, target, columns)
        content.append(orjson.dumps(beside.get(line, {}) | row, option=orjson.OPT_APPEND_NEWLINE))
    fields = {
        "rows": len(content),
        "changed": changed,
        "stale": len(given) - changed,
        "notes": examples.notes[1:],
    }
    return Looked(fields, {"content": np.frombuffer(b"".join(content), dtype=np.uint8)})


def fingerprint(given: Any) -> str:
    """Tells an input from another one: a correction holds for what it was made of."""
    return hashlib.sha256(normalised(given).encode("utf-8", errors="replace")).hexdigest()[:16]


def _held(loaded: LoadedModel, asked: Asked) -> Held:
    global _last
    if _last is not None and _last[0]() is loaded and _last[1] == asked.key:
        return _last[2]
    predictor = Predictor.of(loaded)
    examples = _examples(predictor, asked)
    count = len(examples)
    examples = examples.subset(range(min(asked.limit, count)))
    check_labels(predictor, examples)
    evaluation = Evaluation(asked.data.name, predictor.task, "", notes=list(examples.notes))
    answered = answer_examples(predictor, asked.data, examples, probabilities=True)
    add_model(evaluation, answered)
    held = Held(predictor, answered, evaluation, cells_of(answered, predictor.labels), count)
    _last = ref(loaded), asked.key, held
    return held


def _examples(predictor: Predictor, asked: Asked) -> Examples:
    like = predictor.facts.reading
    if asked.part == "all":
        return evaluation_examples(asked.data, predictor.task, like)
    train, test = split(load_examples(asked.data, predictor.task, like=like), asked.seed)
    if len(test) != asked.tested:
        raise HeadstartError(
            f"this fine-tuning was scored on {asked.tested:,} other examples, not on a part of "
            f"{asked.data.name}; look at all of the file, and know that the model may have learned from it"
        )
    return test if asked.part == "test" else train


def _check(examples: Examples, place: int) -> None:
    if place >= len(examples):
        raise HeadstartError(f"there are {len(examples)} examples, and no number {place + 1}; choose another")


def _target(examples: Examples, given: Any, value: Any) -> Any:
    """A label as people give it, as a target.

    Raises:
        HeadstartError: it is none that the task could have.
    """
    task = examples.task
    if task == "classification" and isinstance(value, str) and value.strip():
        return value.strip()
    if task == "multi-label" and _are_texts(value):
        return tuple(sorted({one.strip() for one in value} - {""}))
    if task in ("regression", "embedding") and _is_number(value):
        return float(value)
    if task == "tagging" and _are_texts(value) and len(value) == len(given) and all(value):
        return list(value)
    if task == "question-answering" and isinstance(value, str):
        start = given[1].find(value.strip())
        if start < 0:
            raise HeadstartError(
                f"{value.strip()[:60]!r} does not stand in the context; an answer is cut out of it, letter "
                "by letter, and an empty one says that there is none"
            )
        return (Answer(value.strip(), start),) if value.strip() else ()
    if task == "multiple-choice" and isinstance(value, int) and 0 <= value < len(given.options):
        return value
    if task in ("text-to-text", "chat") and isinstance(value, str) and value.strip():
        return (value.strip(),)
    raise HeadstartError(f"{str(value)[:60]!r} is no answer that {task} has; give one as the data write it")


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _said(task: str, target: Any, given: Any) -> str:
    """A target for people."""
    match task:
        case "multi-label":
            return ", ".join(target) or "(none)"
        case "regression":
            return f"{target:.4g}"
        case "tagging":
            if marks_entities([["O", *target]]):
                spans = [
                    f"{' '.join(given[first : last + 1])} ({kind})" for kind, first, last in entities(target)
                ]
                return ", ".join(spans) or "(no span)"
            return " ".join(target)
        case "question-answering":
            texts = [target] if isinstance(target, str) else [one.text for one in target]
            return texts[0] if texts and texts[0] else "(no answer)"
        case "multiple-choice":
            return str(given.options[target])
        case "embedding":
            if isinstance(target, np.ndarray):
                return f"{float(target[0] @ target[-1]):.3f}"
            return "(belong together)" if target is None else f"{target:.4g}"
        case "text-to-text" | "chat":
            return target if isinstance(target, str) else str(target[0])
    return str(target)


def _plain(target: Any) -> Any:
    """A target as JSON has it."""
    return list(target) if isinstance(target, tuple) else target


def _texts(given: Any) -> list[str]:
    """The texts of an input, as the words of `word_influence` are counted in them."""
    if isinstance(given, WordSequence):
        return [given.text]
    if isinstance(given, list):
        return [" ".join(given)]
    if isinstance(given, Choices | Conversation):
        return [given.text]
    return [given] if isinstance(given, str) else list(given)


def _chances(answer: Mapping[str, Any], given: Any) -> list[dict[str, Any]]:
    """Names with their probabilities, the likeliest first; none where an answer has no such."""
    found = answer.get("probabilities")
    if isinstance(given, Choices) and isinstance(found, list):
        found = dict(zip(given.options, found, strict=True))
    if not isinstance(found, dict):
        return []
    return [{"label": label, "probability": p} for label, p in sorted(found.items(), key=lambda one: -one[1])]


def _beside(data: Path, examples: Examples) -> dict[int, JSONObject]:
    """By line, the columns of a file's rows that are no part of the examples."""
    text_as = "conll" if examples.task == "tagging" else "text"
    read = {*examples.reading.columns.values(), *FORMAT_COLUMNS}
    wanted = set(examples.lines)
    return {
        line: {name: value for name, value in row.items() if name not in read}
        for line, row in read_rows(data, text_as=text_as)
        if line in wanted and isinstance(row, dict)
    }
