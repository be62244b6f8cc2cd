"""Labelled examples: read, checked, split and sampled.

Classification has a text and a label; tagging has words and a tag for each.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from headstart.errors import HeadstartError, nearest
from headstart.tasks.rows import TOO_LONG, format_of, read_rows

TaskKind = Literal["classification", "tagging"]
Input = str | list[str]
"""A text, or its words."""
Target = str | list[str]
"""A label, or a tag for each word."""

MAX_TEXT = 1_000_000
"""Characters; longer texts are left out and counted."""
TEST_SHARE, TEST_MOST = 0.2, 1_000

# Names that columns go by, likeliest first.
TEXT_COLUMNS = "text sentence review message mail email body content document comment tweet question title"
LABEL_COLUMNS = "label class category sentiment target topic intent spam rating stars"
COLUMNS: dict[TaskKind, tuple[str, str]] = {
    "classification": (TEXT_COLUMNS, LABEL_COLUMNS),
    "tagging": ("tokens words", "tags ner_tags pos_tags labels pos upos ner"),
}
TRAIN_NAMES, TEST_NAMES = ("train",), ("test", "dev", "validation", "valid")


@dataclass(frozen=True)
class Examples:
    """Inputs with what is right for each, and what had to be said while they were read."""

    task: TaskKind
    inputs: list[Input]
    targets: list[Target]
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def labels(self) -> list[str]:
        """The labels, or tags, that occur, in alphabetical order."""
        return sorted(set(flatten(self.targets)))

    def subset(self, places: Iterable[int]) -> "Examples":
        """The examples at these places, in that order."""
        chosen = list(places)
        return replace(
            self, inputs=[self.inputs[i] for i in chosen], targets=[self.targets[i] for i in chosen]
        )


@dataclass(frozen=True)
class Task:
    """A named task: what to learn from, and what to be measured on, once."""

    name: str
    train: Examples
    test: Examples
    notes: list[str] = field(default_factory=list)

    @property
    def kind(self) -> TaskKind:
        return self.train.task


def flatten(targets: Sequence[Target]) -> list[str]:
    """All labels, or all tags of all words, in order."""
    return [label for target in targets for label in ([target] if isinstance(target, str) else target)]


def load_examples(
    path: Path, task: str | None = None, text_column: str | None = None, label_column: str | None = None
) -> Examples:
    """Read one file of labelled examples.

    Args:
        path: CSV, TSV, JSONL, Parquet or CoNLL, gzipped or not.
        task: None to tell it from the columns.
        text_column: the column with the text (or words); None to guess by its name.
        label_column: the column with the label (or tags); None to guess by its name.

    Raises:
        HeadstartError: see `read_rows`; also missing columns, no usable example, or tags and words
            of different number.
    """
    asked = _kind_named(task)
    inputs: list[Input] = []
    targets: list[Target] = []
    skipped: Counter[str] = Counter()
    kind = asked
    columns: tuple[str, str] | None = None
    for line, row in read_rows(path, text_as="conll" if asked == "tagging" else "text"):
        if row is TOO_LONG:
            skipped["text over 1 MB"] += 1
            continue
        where = f"{path} line {line}"
        if columns is None:
            kind, columns = _choose_columns(path, row, asked, text_column, label_column)
        missing = [column for column in columns if column not in row]
        if missing:
            raise HeadstartError(
                f"{where} has no {missing[0]!r}; every example needs {columns[0]!r} and {columns[1]!r}"
            )
        read = _tagged if kind == "tagging" else _classified
        example, reason = read(where, row[columns[0]], row[columns[1]])
        if example is None:
            skipped[reason] += 1
        else:
            inputs.append(example[0])
            targets.append(example[1])
    notes = [
        f"{count:,} row{'s' if count > 1 else ''} with {what} left out" for what, count in skipped.items()
    ]
    if not inputs:
        raise HeadstartError(f"{path} holds no usable example" + (f": {', '.join(notes)}" if notes else ""))
    assert kind is not None
    assert columns is not None
    notes.insert(0, f"{kind}: input from {columns[0]!r}, answer from {columns[1]!r}, of {path.name}")
    examples = Examples(kind, inputs, targets, notes)
    if len(examples) > 20 and len(examples.labels) > len(flatten(targets)) / 2:
        raise HeadstartError(
            f"{path}: column {columns[1]!r} has {len(examples.labels):,} different values in "
            f"{len(examples):,} rows, so it is no class; name the right one with --label-column"
        )
    return examples


def _kind_named(name: str | None) -> TaskKind | None:
    kinds: tuple[TaskKind, ...] = get_args(TaskKind)
    if name is not None and name not in kinds:
        raise HeadstartError(f"there is no task {name!r}{nearest(name, kinds)}")
    return next((kind for kind in kinds if kind == name), None)


def _choose_columns(
    path: Path, row: dict[str, Any], task: TaskKind | None, text_column: str | None, label_column: str | None
) -> tuple[TaskKind, tuple[str, str]]:
    """The task and its two columns, from what the first row has."""
    for column in (text_column, label_column):
        if column is not None and column not in row:
            raise HeadstartError(f"{path} has no column {column!r}{nearest(column, row)}")
    kinds: list[TaskKind] = [task] if task else ["tagging", "classification"]
    for kind in kinds:
        text = text_column or choose(row, COLUMNS[kind][0])
        label = label_column or choose(row, COLUMNS[kind][1], text)
        if text and label and (task or isinstance(row[text], list) == (kind == "tagging")):
            return kind, (text, label)
    wanted = " or ".join(" and ".join(repr(names.split()[0]) for names in COLUMNS[kind]) for kind in kinds)
    found = ", ".join(repr(str(name)[:40]) for name in list(row)[:12])
    raise HeadstartError(
        f"{path}: no columns for {task or 'a task'}; wanted {wanted}, found {found}; the first line of "
        "a table names its columns, and --text-column and --label-column choose others"
    )


def choose(row: dict[str, Any], names: str, taken: str | None = None) -> str | None:
    """The column of `row` that comes first among `names`, written in any case; not the one taken."""
    by_name = {str(column).strip().lower(): column for column in row if column != taken}
    return next((by_name[name] for name in names.split() if name in by_name), None)


def _classified(where: str, text: Any, label: Any) -> tuple[tuple[str, str] | None, str]:
    """The example in a row, or the reason why it has none."""
    if isinstance(label, (list, dict)):
        raise HeadstartError(
            f"{where}: the label is a {type(label).__name__}; classification has one label a text"
        )
    if text is None or not str(text).strip():
        return None, "empty text"
    if isinstance(text, (list, dict)):
        raise HeadstartError(f"{where}: the text is a {type(text).__name__}, not a string")
    if len(str(text)) > MAX_TEXT:
        return None, "text over 1 MB"
    if label is None or label != label or not str(label).strip():  # NaN is what Parquet has for none
        return None, "no label"
    return (str(text), str(label).strip()), ""


def _tagged(where: str, tokens: Any, tags: Any) -> tuple[tuple[list[str], list[str]] | None, str]:
    """The example in a row, or the reason why it has none."""
    if not isinstance(tokens, list) or not isinstance(tags, list):
        raise HeadstartError(f"{where}: tagging needs a list of words and a list of tags")
    if len(tokens) != len(tags):
        raise HeadstartError(
            f"{where} has {len(tokens)} words and {len(tags)} tags; every word needs one tag"
        )
    if not tokens:
        return None, "no words"
    if None in tags:
        return None, "no label"
    if sum(len(str(token)) for token in tokens) > MAX_TEXT:
        return None, "text over 1 MB"
    return ([str(token) for token in tokens], [str(tag) for tag in tags]), ""


def check_trainable(examples: Examples, name: str) -> None:
    """Raise a `HeadstartError` for a training set from which nothing can be learned."""
    labels = examples.labels
    if len(labels) < 2:
        what = "class" if examples.task == "classification" else "tag"
        raise HeadstartError(
            f"{name} has one {what} alone, {labels[0]!r}, in all {len(examples):,} examples; "
            "there is nothing to tell apart, so add examples of another"
        )


def find_tasks(path: Path, task: str | None = None, seed: int = 0, **columns: str | None) -> list[Task]:
    """Every task that a file or folder holds.

    A folder holds `train.*` with `test.*` or `dev.*`, or pairs `NAME.train.*` and `NAME.test.*`, or single
    files, which are split (see `split`). A single `NAME.train.*` finds its partner beside it.

    Raises:
        HeadstartError: nothing there that is labelled data, or a file of it is wrong.
    """
    if path.is_dir():
        files = _data_files(path)
        if not files:
            raise HeadstartError(
                f"{path} holds no labelled data; wanted files such as NAME.train.jsonl and NAME.test.jsonl"
            )
    elif path.exists():
        name, part = _name_and_part(path)
        files = [
            file for file in _data_files(path.parent) if part == "train" and _name_and_part(file)[0] == name
        ] or [path]
    else:
        raise HeadstartError(f"there is no file or folder {path}; check the path")
    parts: dict[str, dict[str, Path]] = defaultdict(dict)
    for file in files:
        name, part = _name_and_part(file)
        parts[name].setdefault(part, file)
    if any("train" in found for found in parts.values()):  # what has no training part is something else
        parts = {name: found for name, found in parts.items() if "train" in found}
    return [_load_task(name, found, task, seed, columns) for name, found in sorted(parts.items())]


def _data_files(folder: Path) -> list[Path]:
    """Files that can hold labels: plain text is more likely a readme."""
    return sorted(
        file for file in folder.iterdir() if file.is_file() and format_of(file) not in (None, "text")
    )


def load_task(path: Path, task: str | None = None, seed: int = 0, **columns: str | None) -> Task:
    """The one task that a file or folder holds; see `find_tasks`."""
    tasks = find_tasks(path, task, seed, **columns)
    if len(tasks) > 1:
        names = ", ".join(found.name for found in tasks)
        raise HeadstartError(f"{path} holds {len(tasks)} tasks ({names}); name the file of one")
    return tasks[0]


def pair(name: str, train: Examples, test: Examples) -> Task:
    """A task out of two sets of examples, with notes on what they share and what only the test has."""
    if train.task != test.task:
        raise HeadstartError(f"{name}: the training data is for {train.task}, the test data for {test.task}")
    check_trainable(train, name)
    notes = list(train.notes)
    notes += [note for note in test.notes if note not in notes]
    seen = {normalised(example) for example in train.inputs}
    shared = sum(normalised(example) in seen for example in test.inputs)
    if shared:
        notes.append(f"{shared:,} of the {len(test):,} test examples also occur in the training data")
    unseen = sorted(set(test.labels) - set(train.labels))
    if unseen:
        notes.append(
            f"labels of the test data that the training data lacks, counted as wrong: {', '.join(unseen)}"
        )
    return Task(name, train, test, notes)


def _name_and_part(path: Path) -> tuple[str, str]:
    """`spam.train.jsonl.gz` is the part `train` of `spam`; `train.csv` is that of its folder."""
    stem = Path(path.name.lower().removesuffix(".gz")).stem
    name, _, part = stem.rpartition(".")
    if part in TRAIN_NAMES + TEST_NAMES:
        return name or path.absolute().parent.name, part
    return path.name[: len(stem)], ""


def _load_task(
    name: str, files: dict[str, Path], task: str | None, seed: int, columns: dict[str, str | None]
) -> Task:
    training = files.get("train") or next(iter(files.values()))
    examples = load_examples(training, task, **columns)
    check_trainable(examples, str(training))
    test = next((files[part] for part in TEST_NAMES if part in files and files[part] != training), None)
    if test is not None:
        return pair(name, examples, load_examples(test, examples.task, **columns))
    train_part, test_part = split(examples, seed)
    if not len(test_part):
        raise HeadstartError(
            f"{training} has too few examples to set some apart for the test; name a test file"
        )
    made = pair(name, train_part, test_part)
    made.notes.append(
        f"no test file: {len(test_part):,} of the {len(examples):,} examples were set apart (seed {seed})"
    )
    return made


def normalised(example: Input) -> str:
    """Equal for examples that differ in case and white space alone."""
    words = example.split() if isinstance(example, str) else example
    return " ".join(words).lower()


def split(examples: Examples, seed: int) -> tuple[Examples, Examples]:
    """Set a test part aside: 20 %, at most 1,000 examples, stratified by label.

    Examples with the same normalised text stay on one side, and every label stays in training.
    """
    groups: dict[str, list[int]] = defaultdict(list)
    for place, example in enumerate(examples.inputs):
        groups[normalised(example)].append(place)
    strata: dict[str, list[list[int]]] = defaultdict(list)
    for group in groups.values():
        label = examples.targets[group[0]]
        strata[label if isinstance(label, str) else ""].append(group)
    share = min(TEST_SHARE, TEST_MOST / len(examples))
    random = np.random.Generator(np.random.Philox(key=seed))
    test: list[int] = []
    for label in sorted(strata):
        members = strata[label]
        wanted = share * sum(len(group) for group in members)
        taken = 0
        for index in random.permutation(len(members))[1:]:  # one group of every label is always left
            if taken + len(members[index]) > wanted + 0.5:
                continue
            test += members[index]
            taken += len(members[index])
    held_out = set(test)
    return examples.subset(i for i in range(len(examples)) if i not in held_out), examples.subset(
        sorted(test)
    )


def sample_labels(examples: Examples, count: int | None, seed: int) -> Examples:
    """Choose `count` examples, the same ones for the same seed whoever asks; None: all of them.

    Classification keeps the shares of the classes, each with one example at least.

    Raises:
        HeadstartError: fewer examples asked for than there are classes.
    """
    if count is None or count >= len(examples):
        return examples
    if count < 1:
        raise HeadstartError(f"labels={count} leaves nothing to learn from; ask for 1 at least")
    random = np.random.Generator(np.random.Philox(key=seed))
    if examples.task == "tagging":
        return examples.subset(random.permutation(len(examples))[:count].tolist())
    members: dict[str, list[int]] = defaultdict(list)
    for place, label in enumerate(examples.targets):
        members[str(label)].append(place)
    names = sorted(members)
    if count < len(names):
        raise HeadstartError(
            f"{count} labels cannot cover {len(names)} classes; ask for {len(names)} at least"
        )
    quotas = _proportional([len(members[name]) for name in names], count)
    chosen: list[int] = []
    for name, quota in zip(names, quotas, strict=True):
        chosen += np.array(members[name])[random.permutation(len(members[name]))[:quota]].tolist()
    return examples.subset(chosen)


def _proportional(sizes: list[int], count: int) -> list[int]:
    """Share `count` out in proportion to `sizes`, at least 1 each: one after another goes to the
    class that lags most behind its share (D'Hondt's highest averages, after the first round)."""
    quotas = [1] * len(sizes)
    for _ in range(count - len(sizes)):
        most = max(
            range(len(sizes)), key=lambda i: sizes[i] / (quotas[i] + 1) if quotas[i] < sizes[i] else 0.0
        )
        quotas[most] += 1
    return quotas
