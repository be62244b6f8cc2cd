"""A task model measured on labelled data, beside baselines and other models, with its errors."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headstart.errors import HeadstartError
from headstart.evaluation.error_tables import MeasuredAnswer, show_errors, words_in
from headstart.evaluation.report import Evaluation, by_length, slices
from headstart.tasks.baselines.word_counts import Majority, System, baselines
from headstart.tasks.baselines.word_vectors import VectorClassifier, read_baseline
from headstart.tasks.data.data_checks import shared
from headstart.tasks.data.dataset import load_examples, load_task
from headstart.tasks.data.lines import TOO_LONG
from headstart.tasks.data.rows import is_class_folder, read_rows
from headstart.tasks.examples import Examples, Reading, TaskKind
from headstart.tasks.learned_inputs import learned_among
from headstart.tasks.metrics import measure
from headstart.tasks.metrics.bootstrap import Measurement, Score
from headstart.tasks.predictor import Predictor
from headstart.training.restore import load_any

CHUNK = 512  # examples answered at once


def evaluation_examples(path: Path, kind: TaskKind, like: Reading | None = None, **columns: Any) -> Examples:
    """Every example of a file, or those of the test part of a folder.

    Args:
        like: how the data were read that the model has learned from; these are read alike.
        columns: see `load_examples`.
    """
    if path.is_dir():
        return load_task(path, kind, like=like, **columns).test
    return load_examples(path, kind, like=like, **columns)


def evaluate_predictor(predictor: Predictor, examples: Examples) -> list[Score]:
    """The scores of the task, the main one first.

    Raises:
        HeadstartError: the model knows none of the labels in the data.
    """
    check_labels(predictor, examples)
    return [
        one.score for one in measure(predictor.task, examples.targets, predictor.predict(examples.inputs))
    ]


def check_labels(predictor: Predictor, examples: Examples) -> None:
    """Refuse data of which the model knows no label, with a `HeadstartError`."""
    if examples.labels and not set(predictor.labels).intersection(examples.labels):
        raise HeadstartError(
            f"the model knows none of the labels in the data: it gives {', '.join(predictor.labels[:8])}, "
            f"the data has {', '.join(examples.labels[:8])}; check --label-column"
        )


@dataclass(frozen=True)
class Answered:
    """What a model answered to labelled examples."""

    examples: Examples
    columns: dict[str, list[Any]]
    """Of the file's columns that hold no lists, the value of each example."""
    predicted: list[Any]
    """The answers as targets."""
    answers: list[MeasuredAnswer]
    """With all that is known of them."""
    measured: list[Measurement]
    """What the task is measured by, the main figure first."""


def evaluate_labels(
    predictor: Predictor,
    path: Path,
    train: Path | None = None,
    beside: Sequence[Path] = (),
    limit: int | None = None,
    **columns: Any,
) -> Evaluation:
    """Score a task model beside the baselines, on all examples and on parts of them, with its errors.

    Args:
        path: labelled data; of a folder, its test part.
        train: what the baselines learn from; None: of a folder its training part, else nothing, and the
            majority is that of the data themselves.
        beside: other models of the same task; and word vectors or ELMo, which learn from `train`.
        limit: so many examples from the beginning; None: all.
        columns: see `load_examples`.

    Raises:
        HeadstartError: the model knows none of the labels in the data; see also `load_examples`.
    """
    task, like = predictor.task, predictor.facts.reading
    examples = evaluation_examples(path, task, like, **columns)
    if limit is not None:
        examples = examples.subset(range(min(limit, len(examples))))
    check_labels(predictor, examples)
    learned = None
    if train is not None:
        learned = load_examples(train, task, like=like, **columns)
    elif path.is_dir() and not is_class_folder(path):
        learned = load_task(path, task, like=like, **columns).train
    systems = _beside(task, examples, learned, beside)
    result = Evaluation(path.name, task, _rule(learned), notes=list(examples.notes))
    if learned is not None:
        result.notes += shared(examples, learned, "examples also occur in the training data of the baselines")
    result.notes += learned_among(examples.inputs, predictor.learned_inputs)
    answered = answer_examples(predictor, path, examples)
    add_model(result, answered)
    for name, system in systems.items():
        if isinstance(system, Predictor):
            among = learned_among(examples.inputs, system.learned_inputs)
            result.notes += [f"{name}: {sentence}" for sentence in among]
        its = measure(task, examples.targets, system.predict(examples.inputs))
        result.add(name, its)
        result.against(name, answered.measured[0], its[0])
    return result


def answer_examples(
    predictor: Predictor, path: Path, examples: Examples, probabilities: bool = False
) -> Answered:
    """The model's answers to examples of a file.

    Args:
        probabilities: keep those of all labels too, for they are many numbers.
    """
    predicted, answers = _answers(predictor, examples, probabilities)
    measured = measure(predictor.task, examples.targets, predicted)
    return Answered(examples, _other_columns(path, examples), predicted, answers, measured)


def add_model(result: Evaluation, answered: Answered) -> None:
    """Take up the model's scores, slices and errors."""
    examples, measured = answered.examples, answered.measured
    result.add("model", measured + show_errors(examples, answered.predicted, answered.answers, result))
    table = slices(measured[0], sliced_by(answered))
    result.tables = {"slices": table} | result.tables


def sliced_by(answered: Answered) -> dict[str, list[Any]]:
    """By name, what makes slices: the value of each example."""
    lengths = by_length([words_in(one) for one in answered.examples.inputs], "words")
    return answered.columns | {"length": lengths}


def _rule(learned: Examples | None) -> str:
    if learned is None:
        return "No training data were named (--train), so the majority is that of these examples."
    return f"The baselines learned from {len(learned):,} labelled examples."


def _beside(
    task: TaskKind, examples: Examples, learned: Examples | None, paths: Sequence[Path]
) -> dict[str, System]:
    """The systems that answer the same, by name."""
    if learned is not None:
        systems = baselines(learned)
    else:
        systems = {"majority": Majority(examples)} if task not in ("regression", "embedding") else {}
    for path in paths:
        if (path / "config.json").exists() or (path / "model" / "config.json").exists():
            other = Predictor.of(load_any(path))
            if other.task != task:
                raise HeadstartError(
                    f"{path} is a model for {other.task}, and cannot stand beside one for {task}"
                )
            systems[str(path)] = other
            continue
        name, vectors = read_baseline(path)
        if learned is None:
            raise HeadstartError(
                f"{path} knows no task before it has learned from labelled data; name --train"
            )
        systems[name] = VectorClassifier(vectors, learned)
    return systems


def _answers(
    predictor: Predictor, examples: Examples, probabilities: bool
) -> tuple[list[Any], list[MeasuredAnswer]]:
    """The model's answers, as targets and with what is known of them; see `error_tables.Answers`."""
    predicted: list[Any] = []
    answers: list[MeasuredAnswer] = []
    for first in range(0, len(examples), CHUNK):
        given = examples.inputs[first : first + CHUNK]
        results = predictor.results(given)
        for one, result, truth in zip(given, results, examples.targets[first : first + CHUNK], strict=True):
            predicted.append(predictor.kind.predicted(result, one, predictor.labels))
            answer: MeasuredAnswer = {**predictor.kind.answer(result, one, predictor.labels)}
            of_labels = answer.get("probabilities")
            if isinstance(of_labels, dict):
                if not probabilities:
                    del answer["probabilities"]
                true = {truth} if isinstance(truth, str) else set(truth)
                chances = dict.fromkeys(true, 0.0) | of_labels
                answer["distance"] = sum((p - (label in true)) ** 2 for label, p in chances.items())
            answers.append(answer)
    return predicted, answers


def _other_columns(path: Path, examples: Examples) -> dict[str, list[Any]]:
    """The columns of a file that hold no lists, by example; none of several files."""
    if not examples.lines or not path.is_file():
        return {}
    text_as = "conll" if examples.task == "tagging" else "text"
    wanted = set(examples.lines)
    rows = {line: row for line, row in read_rows(path, text_as=text_as) if line in wanted}
    if len(rows) != len(examples) or TOO_LONG in rows.values():
        return {}
    first = rows[examples.lines[0]]
    names = [name for name, value in first.items() if not isinstance(value, list | dict | None)]
    return {name: [rows[line].get(name) for line in examples.lines] for name in names}
