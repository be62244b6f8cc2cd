"""Labelled examples out of files: read, settled, checked, and put together to tasks.

Which columns a task reads and what it makes of them is its kind's (`kinds`); which files are one task's is
found in `parts`; what is wrong with the data as a whole in `data_checks`.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

from headstart.errors import HeadstartError
from headstart.folder import JSONObject
from headstart.tasks.data.annotation_tools import (
    CANCELLED,
    chooses_several,
    has_decisions,
    indicated,
    indicator_columns,
    prodigy_choice,
    with_categories,
)
from headstart.tasks.data.columns import (
    choose_columns,
    listed,
    named_task,
    refuse_half,
    remembered,
    typical_row,
    unread,
)
from headstart.tasks.data.data_checks import faults, shared, unlearnable
from headstart.tasks.data.features import class_names
from headstart.tasks.data.lines import HEAD_ROWS, TOO_LONG
from headstart.tasks.data.parts import described, find_parts, left_out, names_parts
from headstart.tasks.data.rows import (
    UNLABELLED,
    is_class_folder,
    names_columns,
    read_class_folder,
    read_rows,
)
from headstart.tasks.data.splitting import split
from headstart.tasks.examples import Examples, Reading, TaskData, flatten, in_order
from headstart.tasks.kinds.kind import Kind, Unusable
from headstart.tasks.kinds.labels import are_scores, are_single
from headstart.tasks.kinds.registry import KINDS
from headstart.tasks.kinds.spans import as_bio, scheme_of, usual_tags
from headstart.tasks.metrics.entities import marks_entities

_CONLL = ("tagging", "text-to-text:tagging")


class Unlabelled(HeadstartError):
    """No example of a file has a label: the test part of a contest, for one."""


def load_examples(
    path: Path | Sequence[Path],
    task: str | None = None,
    text_column: str | None = None,
    label_column: str | None = None,
    columns: Mapping[str, str] | None = None,
    like: Reading | None = None,
) -> Examples:
    """Read labelled examples out of one file, the pieces of one, or a folder of texts by class.

    Args:
        path: CSV, TSV, JSONL, JSON (SQuAD's too), Parquet, Arrow or CoNLL, gzipped or not; or a folder with a
            folder of `.txt` files for every class.
        task: None to tell it from the columns. Where it is "text-to-text" and the data are labelled for
            another task, that one's answers are to be written in words; "text-to-text:tagging" names it.
        text_column: the column with the text (or words); None to guess by its name.
        label_column: the column with the label (or tags); None to guess by its name.
        columns: role to column for any of the task's roles, such as "pair", "question" or "options", and
            "group", whose rows stay on one side of a split.
        like: how the data were read that a model has learned from; other columns than those need their name.

    Raises:
        HeadstartError: see `read_rows`; also missing columns, no usable example, or a row that is wrong.
        Unlabelled: no row has an answer.
    """
    files = [path] if isinstance(path, Path) else list(path)
    name = str(files[0]) if len(files) == 1 else f"{files[0].parent}: {described(files)}"
    named = dict(columns or {})
    named |= {role: name for role, name in (("text", text_column), ("label", label_column)) if name}
    group = named.pop("group", None)
    notes: list[str] = []
    rows = _rows(files, task, notes)
    head = list(islice(rows, HEAD_ROWS))
    usable = [row for _, _, row in head if row is not TOO_LONG]
    if not usable and not head:
        raise HeadstartError(f"{name} holds no usable example")
    tool = _Preparation(usable, named, task)
    usable = [row for row in map(tool.prepared, usable) if row is not None] or usable
    typical = typical_row(usable)
    mapped = remembered(name, typical, named, like if names_columns(files[0]) else None)
    asked, in_words = named_task(task, typical, mapped)
    try:
        kind, chosen = choose_columns(name, typical, asked, mapped, group, in_words)
    except HeadstartError as error:
        lacking = [column for column in (like.columns.values() if like else ()) if column not in typical]
        raise (Unlabelled(f"{name} has no column {lacking[0]!r}") if lacking else error) from None
    left_out = [column for column in unread(usable, kind, chosen) if column != group]
    if not set(named) - set(kind.answers) - {"label"} and like is None:
        refuse_half(name, usable, kind, chosen, left_out)
    notes += [
        f"two columns are called {column!r}: the first is read, the second is {f'{column}.1'!r}"
        for column in chosen.values()
        if f"{column}.1" in typical
    ]
    notes += [
        f"{column!r} says of each row which part it belongs to, and is not read: put the parts into files of "
        "their own, such as train.csv and test.csv"
        for column in left_out
        if names_parts(row.get(column) for row in usable)
    ]
    skipped = _Skipped(f"{name} ")
    kept = list(_labelled_rows(chain(head, rows), tool, chosen, group, kind, skipped))
    if task is None:
        kind = _told_by_labels(kind, chosen["label"], kept, notes) if "label" in chosen else kind
    manner = kind.settle([(where, row) for where, _, row, _ in kept], chosen, like, notes)
    remarks: Counter[str] = Counter()
    examples = Examples(kind.name, [], [], [], [], in_words)
    one_file = len(files) == 1 and not is_class_folder(files[0])
    for where, line, row, its_group in kept:
        try:
            given, target = kind.read_example(where, row, chosen, remarks)
        except Unusable as reason:
            skipped.count(str(reason), where)
            continue
        examples.inputs.append(given)
        examples.targets.append(target)
        if one_file:
            examples.lines.append(line)
        if its_group is not None or kind.name == "question-answering":
            examples.groups.append(str(its_group) if its_group is not None else given[1])
    if not len(examples):
        kind_of_error = Unlabelled if skipped.without_answer else HeadstartError
        reasons = skipped.notes()
        raise kind_of_error(
            f"{name} holds no usable example" + (f": {', '.join(reasons)}" if reasons else "")
        )
    examples.notes.append(_said(kind, in_words, chosen, files, left_out))
    examples.notes.extend(
        [*notes, *skipped.notes(), *(f"{count:,} {what}" for what, count in remarks.items())]
    )
    if tool.decided and like is None and kind.name == "classification" and len(examples.occurring) == 1:
        raise HeadstartError(
            f"{name} has one class alone, {examples.occurring[0]!r}, in what was accepted; where accept and "
            "reject are the classes, name their column: --label-column answer"
        )
    examples = _in_one_scheme(examples, like.labels if like else ())
    examples = replace(examples, reading=_reading(examples, files[0], chosen, like, manner))
    if not named.get("label") and task is None and like is None:
        _refuse_names(name, chosen, examples)
    return examples


def _told_by_labels(
    kind: Kind, column: str, kept: Sequence[tuple[str, int, JSONObject, Any]], notes: list[str]
) -> Kind:
    """The kind of task where all labels of a file tell it, and not their column alone."""
    if kind.name == "classification" and are_scores(row[column] for _, _, row, _ in kept):
        notes.append(
            f"the labels in {column!r} are numbers with fractions, so that it is a regression; for classes "
            "it is --task classification"
        )
        return KINDS["regression"]
    if kind.name == "multi-label" and are_single(row[column] for _, _, row, _ in kept):
        notes.append(
            f"every list in {column!r} has one label, so that it is a classification; where a text may have "
            "several it is --task multi-label"
        )
        return KINDS["classification"]
    return kind


class _Skipped:
    """The rows that are no example, by the reason."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.reasons: Counter[str] = Counter()
        self.first: dict[str, str] = {}

    def count(self, reason: str, where: str) -> None:
        self.reasons[reason] += 1
        self.first.setdefault(reason, where.removeprefix(self.file))

    @property
    def without_answer(self) -> bool:
        """Whether no row had an answer, and nothing else was wrong."""
        return bool(self.reasons) and all(reason.startswith("no ") for reason in self.reasons)

    def notes(self) -> list[str]:
        return [
            f"{count:,} row{'s' if count > 1 else ''} with {what} left out"
            + (f" (the first: {self.first[what]})" if what.startswith("an answer") else "")
            for what, count in self.reasons.items()
        ]


class _Preparation:
    """What has to be done to every row of a file before its columns are read, told from its first rows."""

    def __init__(self, head: Sequence[JSONObject], named: Mapping[str, str], task: str | None) -> None:
        decisions = bool(head) and has_decisions(head)
        self.asked = decisions and named.get("label") == "answer"
        self.decided = decisions and "answer" not in named.values()
        self.spanned = self.decided and any("spans" in row for row in head)
        self.several = chooses_several(head)
        self.indicators: list[str] = []
        if task in (None, "multi-label") and "label" not in named and head:
            row = typical_row(head)
            text = {role: column for role, column in named.items() if column in row}
            if all(kind.columns(row, text, asked=False) is None for kind in KINDS.values()):
                self.indicators = indicator_columns(head, set(named.values()))

    def prepared(self, row: JSONObject) -> JSONObject | None:
        """The row in its usual form; None for one that an annotator rejected or cancelled."""
        if row.get(CANCELLED) is True:
            return None
        if self.asked:
            return row | {"answer": None} if row.get("answer") == "ignore" else row
        if self.decided:
            if row.get("answer") != "accept":
                return None
            row = {column: cell for column, cell in row.items() if column != "answer"}
            row = {"spans": []} | row if self.spanned else row  # what was accepted without any
        if self.indicators:
            rest = {column: cell for column, cell in row.items() if column not in self.indicators}
            return rest | {"labels": indicated(row, self.indicators)}
        return prodigy_choice(row, self.several) or with_categories(row)


def _rows(files: Sequence[Path], task: str | None, notes: list[str]) -> Iterator[tuple[str, int, Any]]:
    """Where each row stands, its line in its file, and the row."""
    for file in files:
        if is_class_folder(file):
            beside = [name for name in UNLABELLED if (file / name).is_dir()]
            notes += [f"the folder {name!r} holds texts without a class and is not read" for name in beside]
            yield from ((str(path), 1, row) for path, row in read_class_folder(file))
            continue
        for line, row in read_rows(file, text_as="conll" if task in _CONLL else "text", said=notes):
            yield f"{file.name if len(files) > 1 else file} line {line}", line, row


def _labelled_rows(
    rows: Iterator[tuple[str, int, Any]],
    tool: _Preparation,
    chosen: Mapping[str, str],
    group: str | None,
    kind: Kind,
    skipped: _Skipped,
) -> Iterator[tuple[str, int, JSONObject, Any]]:
    """Where each usable row stands, its line, what it has in the chosen columns, and its group."""
    needed = [column for role, column in chosen.items() if role not in kind.optional]
    for where, line, row in rows:
        if row is TOO_LONG:
            skipped.count("text over 1 MB", where)
            continue
        if row.get(CANCELLED) is True:
            skipped.count("no annotation that was not cancelled", where)
            continue
        row = tool.prepared(row)
        if row is None:
            skipped.count("an answer of an annotator other than accept (reject, ignore)", where)
            continue
        missing = [column for column in [*needed, *([group] if group else [])] if column not in row]
        if missing:
            names = " and ".join(repr(column) for column in needed)
            raise HeadstartError(f"{where} has no {missing[0]!r}; every example needs {names}")
        read = kind.columns_read(row, chosen)
        its_group = row[group] if group else None
        yield where, line, {column: row[column] for column in read if column in row}, its_group


def _said(
    kind: Kind, in_words: bool, chosen: Mapping[str, str], files: Sequence[Path], left_out: Sequence[str]
) -> str:
    """What is read and what is not, in one line."""
    said = ", ".join(f"{role} from {column!r}" for role, column in chosen.items())
    rest = f"; left out: {listed(left_out)}" if left_out else ""
    return f"{kind.name}{', in words' if in_words else ''}: {said}, of {described(files)}{rest}"


def _in_one_scheme(examples: Examples, known: Sequence[str]) -> Examples:
    """Tags of spans in BIO, whatever scheme they were written in, and what there was to say."""
    if examples.task != "tagging":
        return examples
    if all(tag.isdecimal() for tag in examples.occurring):
        note = "tags are numbers without names, so that no spans are told; words are scored one by one"
        return replace(examples, notes=[*examples.notes, note])
    usual = usual_tags(examples.targets, known)
    if usual is not None:
        note = "tags such as B_PER or PER-B are read as B-PER"
        examples = replace(examples, targets=usual, notes=[*examples.notes, note])
    if not marks_entities(examples.targets):
        return examples
    scheme, broken = scheme_of(examples.targets)
    notes = [f"tags in {scheme}, read as BIO"] if scheme != "BIO" else []
    notes += [f"{count:,} tags break the rules of {scheme}: {what}" for what, count in broken.items()]
    if not notes:
        return examples
    targets = [as_bio(tags) for tags in examples.targets]
    return replace(examples, targets=targets, notes=[*examples.notes, *notes])


def _reading(
    examples: Examples, file: Path, chosen: Mapping[str, str], like: Reading | None, manner: str
) -> Reading:
    """How these examples were read; the labels in the order that the data, or those learned from, give
    them."""
    known: Sequence[str] = ()
    if like is not None:
        known, declared = like.labels, like.declared
    else:
        if not is_class_folder(file):
            known = class_names(file).get(chosen.get("label", ""), [])
        declared = bool(known)
    found = set(examples.occurring)
    if not found or not found.intersection(known):
        known, declared = (), False
    elif like is None and examples.task == "tagging" and found - set(known):
        # Tags of another scheme, read as BIO: they stand no longer in the places of their numbers.
        known, declared = [label for label in known if label in found], False
    columns = dict(chosen) if names_columns(file) else {}
    return Reading(columns, (*known, *in_order(found - set(known))), declared, manner)


def _refuse_names(name: str, chosen: Mapping[str, str], examples: Examples) -> None:
    """Raise a `HeadstartError` where nearly every row has a label of its own, and nobody said that it is
    one."""
    labels = examples.occurring if examples.task in ("classification", "tagging") else []
    if labels and len(examples) > 20 and len(labels) > len(flatten(examples.targets)) / 2:
        raise HeadstartError(
            f"{name}: column {chosen['label']!r} has {len(labels):,} different values in "
            f"{len(examples):,} rows, so it is hardly a class; name the right one with --label-column, say "
            f"--task "
            "regression where it is a number to be predicted, or --task classification where these are the "
            "classes"
        )


def check_trainable(examples: Examples, name: str) -> None:
    """Raise a `HeadstartError` for a training set from which nothing can be learned."""
    reason = unlearnable(examples)
    if reason is not None:
        raise HeadstartError(f"{name} has {reason}")


def find_tasks(
    path: Path, task: str | None = None, seed: int = 0, like: Reading | None = None, **columns: Any
) -> list[TaskData]:
    """Every task that a file or folder holds; see `parts` for which files belong together.

    A single training file finds its partners beside it. What has no test part is split (see `split`).

    Raises:
        HeadstartError: nothing there that is labelled data, or a file of it is wrong.
    """
    parts_of = find_parts(path)
    tasks = [_load_task(name, parts, task, seed, like, columns) for name, parts in sorted(parts_of.items())]
    for one in tasks:
        one.notes.extend(left_out(path, parts_of))
    return tasks


def load_task(
    path: Path, task: str | None = None, seed: int = 0, like: Reading | None = None, **columns: Any
) -> TaskData:
    """The one task that a file or folder holds; see `find_tasks`."""
    tasks = find_parts(path)
    if len(tasks) > 1:
        raise HeadstartError(
            f"{path} holds {len(tasks)} tasks ({', '.join(sorted(tasks))}); name the file of one"
        )
    return find_tasks(path, task, seed, like, **columns)[0]


def pair(name: str, train: Examples, test: Examples, validation: Examples | None = None) -> TaskData:
    """A task out of two or three sets of examples, with notes on what they share and what only the test
    has."""
    check_trainable(train, name)
    notes = list(train.notes)
    for part, other in (("test", test), ("validation", validation)):
        if other is None:
            continue
        if train.task != other.task:
            raise HeadstartError(
                f"{name}: the training data is for {train.task}, the {part} data for {other.task}"
            )
        notes += [f"{part}: {note}" for note in other.notes[1:] if note not in train.notes]
    notes += faults(train, test)
    if validation is not None:
        notes.append(f"{len(validation):,} validation examples choose the weights")
        notes += shared(validation, train, "validation examples also occur in the training data")
        notes += shared(test, validation, "test examples also occur in the validation data")
    return TaskData(name, train, test, notes, validation)


def _load_task(
    name: str,
    parts: dict[str, list[Path]],
    task: str | None,
    seed: int,
    like: Reading | None,
    columns: JSONObject,
) -> TaskData:
    training = parts.get("train") or next(iter(parts.values()))
    examples = load_examples(training, task, like=like, **columns)
    check_trainable(examples, str(training[0]))
    notes: list[str] = []
    found: dict[str, Examples] = {}
    for part in ("test", "validation"):
        if part in parts and parts[part] != training:
            try:
                its = load_examples(parts[part], examples.task, like=examples.reading, **columns)
            except Unlabelled:
                notes.append(f"the {part} part, {described(parts[part])}, has no labels and is not used")
                continue
            found[part] = its
    test, validation = found.get("test"), found.get("validation")
    if test is None and validation is not None:
        test, validation = validation, None
        notes.append(
            f"scored on the validation part, {described(parts['validation'])}: there is no other with labels"
        )
    if test is None:
        train_part, test = split(examples, seed)
        if not len(test):
            alone = examples.task == "classification" and len(examples.occurring) == len(examples)
            why = "one example of each class, so that none" if alone else "too few examples, so that none"
            raise HeadstartError(
                f"{training[0]} has {why} can be set apart for the test; add examples"
                f"{' of every class' if alone else ''}, or name a test file (--test)"
            )
        notes.append(
            f"no test file: {len(test):,} of the {len(examples):,} examples were set apart (seed {seed})"
        )
        examples = train_part
    made = pair(name, examples, test, validation)
    made.notes.extend(notes)
    return made
