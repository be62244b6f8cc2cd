"""A language model measured on labelled data by prompting, with one or several numbers of solved examples."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from headstart.errors import HeadstartError
from headstart.evaluation.error_tables import MOST_ERRORS, shown
from headstart.evaluation.prompting import Prompted
from headstart.evaluation.report import Evaluation, Table
from headstart.interchange.model_folder import LoadedModel
from headstart.tasks.baselines.word_counts import System, baselines
from headstart.tasks.data.data_checks import shared
from headstart.tasks.data.dataset import load_examples, load_task
from headstart.tasks.data.rows import is_class_folder
from headstart.tasks.examples import Examples, in_order
from headstart.tasks.metrics import measure

ALSO = "test examples also occur among those that solved examples come from"


def evaluate_prompted(
    loaded: LoadedModel,
    path: Path,
    shots: Sequence[int] = (0,),
    train: Path | None = None,
    seed: int = 0,
    normalise: str = "none",
    limit: int | None = None,
    columns: Mapping[str, str] | None = None,
) -> Evaluation:
    """Score what a prompted language model answers, beside the majority and TF-IDF.

    Args:
        path: labelled data; of a folder, its test part.
        shots: numbers of solved examples; each is measured.
        train: where those come from, and what the baselines learn from; None: of a folder its training part,
            else the first half of the file, and the second is answered.
        seed: chooses the solved examples.
        normalise: see `prompting`.
        limit: so many examples from the beginning; None: all.
        columns: role to column.

    Raises:
        HeadstartError: a model that foresees nothing, too few examples, or a task without words.
    """
    learned, examples, notes = _data(path, train, columns)
    examples = examples.subset(range(min(limit or len(examples), len(examples))))
    labels = sorted({*learned.labels, *examples.labels})
    result = Evaluation(path.name, f"{examples.task}, prompted", "", notes=notes)
    systems = {
        name: measure(examples.task, examples.targets, system.predict(examples.inputs))
        for name, system in _beside(learned).items()
    }
    by_shots: Table = []
    for count in shots:
        prompted = Prompted(loaded, learned, count, seed, normalise, labels)
        predicted = prompted.predict(examples.inputs)
        measured = measure(examples.task, examples.targets, predicted)
        name = f"{count} shot{'' if count == 1 else 's'}"
        result.rule = f"{prompted.rule()} Examples are chosen by seed {seed}, of each class as many."
        result.add(name, measured)
        result.notes += prompted.notes()
        by_shots.append({"solved examples": count, **measured[0].score.as_dict()})
        result.tables[f"errors with {name}"] = _errors(examples, predicted)
    result.tables = {"score against solved examples": by_shots} | result.tables
    for name, its in systems.items():
        result.add(name, its)
        result.against(name, measured[0], its[0])
    return result


def _data(
    path: Path, train: Path | None, columns: Mapping[str, str] | None
) -> tuple[Examples, Examples, list[str]]:
    """What the solved examples come from, what is asked, and what there is to say."""
    if train is not None:
        learned = load_examples(train, columns=columns)
        examples = load_examples(path, learned.task, columns=columns, like=learned.reading)
        return learned, examples, [*examples.notes, *shared(examples, learned, ALSO)]
    if path.is_dir() and not is_class_folder(path):
        task = load_task(path, columns=columns)
        return task.train, task.test, task.notes
    examples = load_examples(path, columns=columns)
    half = len(examples) // 2
    if not half:
        raise HeadstartError(f"{path} has one example alone; name a file with solved ones (--train)")
    note = f"no --train: solved examples come from the first {half:,} rows, and the others are asked"
    learned, asked = examples.subset(range(half)), examples.subset(range(half, len(examples)))
    notes = [*examples.notes, note, *shared(asked, learned, ALSO)]
    unseen = in_order(set(asked.occurring) - set(learned.occurring))
    if unseen:
        notes.append(f"the first half has no {', '.join(unseen[:8])}: is the file sorted by labels?")
    return learned, asked, notes


def _beside(learned: Examples) -> dict[str, System]:
    """The baselines, where the examples are enough for them."""
    single = learned.task == "classification" and len(learned.labels) < 2
    return {} if single else baselines(learned)


def _errors(examples: Examples, predicted: Sequence[Any]) -> Table:
    return [
        {"right": str(truth)[:80], "answered": str(answer)[:80], "read": shown(given)}
        for truth, answer, given in zip(examples.targets, predicted, examples.inputs, strict=True)
        if truth != answer
    ][:MOST_ERRORS]
