"""Labelled examples: read, checked, split and sampled.

Which columns a task reads and what it makes of them is its kind's (`kinds`); what is wrong with the data as a
whole is found in `faults`.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from headstart.errors import HeadstartError, nearest
from headstart.tasks.data.data_checks import faults, unlearnable
from headstart.tasks.data.rows import TOO_LONG, format_of, is_class_folder, read_class_folder, read_rows
from headstart.tasks.examples import Examples, Input, Target, TaskData, TaskKind, flatten, normalised
from headstart.tasks.kinds.kind import Kind, Unusable
from headstart.tasks.kinds.registry import ALL, KINDS, WRITING, kind_named
from headstart.tasks.kinds.spans import as_bio, scheme_of
from headstart.tasks.metrics.entities import marks_entities

__all__ = ["Examples", "Input", "Target", "TaskData", "TaskKind", "flatten", "normalised"]

TEST_SHARE, TEST_MOST = 0.2, 1_000
_CONLL = ("tagging", "text-to-text:tagging")
TRAIN_NAMES, TEST_NAMES = ("train",), ("test", "dev", "validation", "valid")


def load_examples(
    path: Path,
    task: str | None = None,
    text_column: str | None = None,
    label_column: str | None = None,
    columns: Mapping[str, str] | None = None,
) -> Examples:
    """Read one file of labelled examples, or one folder of texts by class.

    Args:
        path: CSV, TSV, JSONL, JSON (SQuAD's too), Parquet or CoNLL, gzipped or not; or a folder with a folder
            of `.txt` files for every class.
        task: None to tell it from the columns. Where it is "text-to-text" and the data are labelled for
            another task, that one's answers are to be written in words; "text-to-text:tagging" names it.
        text_column: the column with the text (or words); None to guess by its name.
        label_column: the column with the label (or tags); None to guess by its name.
        columns: role to column for any of the task's roles, such as "pair", "question" or "options", and
            "group", whose rows stay on one side of a split.

    Raises:
        HeadstartError: see `read_rows`; also missing columns, no usable example, or a row that is wrong.
    """
    mapped = dict(columns or {})
    mapped |= {role: name for role, name in (("text", text_column), ("label", label_column)) if name}
    group = mapped.pop("group", None)
    in_words = False
    inputs, targets, groups = [], [], []
    skipped: Counter[str] = Counter()
    first_skipped: dict[str, str] = {}
    remarks: Counter[str] = Counter()
    kind: Kind | None = None
    for where, row in _rows(path, task):
        if row is TOO_LONG:
            skipped["text over 1 MB"] += 1
            continue
        if kind is None:
            task, in_words = _named(task, row, mapped)
            kind, chosen = choose_columns(path, row, task, mapped, group, in_words)
        missing = [column for column in [*chosen.values(), *([group] if group else [])] if column not in row]
        if missing:
            needed = " and ".join(repr(column) for column in chosen.values())
            raise HeadstartError(f"{where} has no {missing[0]!r}; every example needs {needed}")
        try:
            given, target = kind.read_example(where, row, chosen, remarks)
        except Unusable as reason:
            skipped[str(reason)] += 1
            first_skipped.setdefault(str(reason), where.removeprefix(f"{path} "))
            continue
        inputs.append(given)
        targets.append(target)
        if group or kind.name == "question-answering":
            groups.append(str(row[group]) if group else given[1])
    notes = [
        f"{count:,} row{'s' if count > 1 else ''} with {what} left out"
        + (f" (the first: {first_skipped[what]})" if what.startswith("an answer") else "")
        for what, count in skipped.items()
    ]
    if not inputs:
        raise HeadstartError(f"{path} holds no usable example" + (f": {', '.join(notes)}" if notes else ""))
    assert kind is not None
    said = ", ".join(f"{role} from {column!r}" for role, column in chosen.items())
    words = ", in words" if in_words else ""
    notes.insert(0, f"{kind.name}{words}: {said}, of {path.name}")
    notes += [f"{count:,} {what}" for what, count in remarks.items()]
    if kind.name == "tagging":
        targets, found = _in_bio(targets)
        notes += found
    examples = Examples(kind.name, inputs, targets, notes, groups, in_words)
    # Labels of nearly every row's own are no labels; several labels a text may be many.
    labels = examples.labels if kind.name in ("classification", "tagging") else []
    if labels and len(examples) > 20 and len(labels) > len(flatten(targets)) / 2:
        raise HeadstartError(
            f"{path}: column {chosen['label']!r} has {len(labels):,} different values in "
            f"{len(examples):,} rows, so it is no class; name the right one with --label-column, or, where "
            "it is a number to be predicted, say --task regression"
        )
    return examples


def _named(task: str | None, row: Mapping[str, Any], mapped: Mapping[str, str]) -> tuple[str | None, bool]:
    """The task whose columns a file has, and whether its answers are to be put into words."""
    if task is None or task.partition(":")[0] != "text-to-text":
        return task, False
    plain = WRITING["text-to-text"]
    known = all(column in row for column in mapped.values())
    if task == "text-to-text" and (not known or plain.columns(row, mapped, asked=True) is not None):
        return task, False
    return task.partition(":")[2] or None, True


def _rows(path: Path, task: str | None) -> Iterator[tuple[str, Any]]:
    """Where each row stands, and the row."""
    if is_class_folder(path):
        yield from ((str(file), row) for file, row in read_class_folder(path))
        return
    for line, row in read_rows(path, text_as="conll" if task in _CONLL else "text"):
        yield f"{path} line {line}", row


def choose_columns(
    path: Path,
    row: Mapping[str, Any],
    task: str | None,
    mapped: Mapping[str, str],
    group: str | None = None,
    in_words: bool = False,
) -> tuple[Kind, dict[str, str]]:
    """The kind of task and the column of each of its roles, from what the first row has; `in_words`: of the
    kinds that can be put into words."""
    for column in [*mapped.values(), *([group] if group else [])]:
        if column not in row:
            raise HeadstartError(f"{path} has no column {column!r}{nearest(column, row)}")
    kinds = [kind_named(task)] if task else list((KINDS if in_words else ALL).values())
    for kind in kinds:
        chosen = kind.columns(row, mapped, asked=task is not None)
        if chosen is not None:
            unknown = set(mapped) - set(kind.roles) - {"text", "label"}
            if unknown and task:
                role = min(unknown)
                raise HeadstartError(f"{kind.name} has no column for {role!r}{nearest(role, kind.roles)}")
            if not unknown:
                return kind, chosen
    wanted = "; or ".join(kind.wanted for kind in kinds if task or kind.name != "embedding")
    found = ", ".join(repr(str(name)[:40]) for name in list(row)[:12])
    raise HeadstartError(
        f"{path}: no columns for {task or 'a task'}; wanted {wanted}; found {found}; the first line of "
        "a table names its columns, and --text-column, --label-column and --column ROLE=NAME choose others"
    )


def _in_bio(targets: list[list[str]]) -> tuple[list[list[str]], list[str]]:
    """Tags of spans in BIO, whatever scheme they were written in; and what there was to say."""
    if not marks_entities(targets):
        return targets, []
    scheme, broken = scheme_of(targets)
    notes = [f"tags in {scheme}, read as BIO"] if scheme != "BIO" else []
    notes += [f"{count:,} tags break the rules of {scheme}: {what}" for what, count in broken.items()]
    return [as_bio(tags) for tags in targets] if notes else targets, notes


def check_trainable(examples: Examples, name: str) -> None:
    """Raise a `HeadstartError` for a training set from which nothing can be learned."""
    reason = unlearnable(examples)
    if reason is not None:
        raise HeadstartError(f"{name} has {reason}")


def find_tasks(path: Path, task: str | None = None, seed: int = 0, **columns: Any) -> list[TaskData]:
    """Every task that a file or folder holds.

    A folder holds `train.*` with `test.*` or `dev.*`, or pairs `NAME.train.*` and `NAME.test.*`, or single
    files, which are split (see `split`). A single `NAME.train.*` finds its partner beside it. A folder may
    also hold a folder of texts for every class, or `train` and `test` with such folders in them.

    Raises:
        HeadstartError: nothing there that is labelled data, or a file of it is wrong.
    """
    if is_class_folder(path / "train"):
        parts_by_class = {part.name: part for part in path.iterdir() if is_class_folder(part)}
        return [_load_task(path.name, parts_by_class, task, seed, columns)]
    if is_class_folder(path):
        return [_load_task(path.name, {"": path}, task, seed, columns)]
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


def load_task(path: Path, task: str | None = None, seed: int = 0, **columns: Any) -> TaskData:
    """The one task that a file or folder holds; see `find_tasks`."""
    tasks = find_tasks(path, task, seed, **columns)
    if len(tasks) > 1:
        names = ", ".join(found.name for found in tasks)
        raise HeadstartError(f"{path} holds {len(tasks)} tasks ({names}); name the file of one")
    return tasks[0]


def pair(name: str, train: Examples, test: Examples) -> TaskData:
    """A task out of two sets of examples, with notes on what they share and what only the test has."""
    if train.task != test.task:
        raise HeadstartError(f"{name}: the training data is for {train.task}, the test data for {test.task}")
    check_trainable(train, name)
    notes = [*train.notes, *(f"test: {note}" for note in test.notes[1:] if note not in train.notes)]
    return TaskData(name, train, test, notes + faults(train, test))


def _name_and_part(path: Path) -> tuple[str, str]:
    """`spam.train.jsonl.gz` is the part `train` of `spam`; `train.csv` is that of its folder."""
    stem = Path(path.name.lower().removesuffix(".gz")).stem
    name, _, part = stem.rpartition(".")
    if part in TRAIN_NAMES + TEST_NAMES:
        return name or path.absolute().parent.name, part
    return path.name[: len(stem)], ""


def _load_task(
    name: str, files: dict[str, Path], task: str | None, seed: int, columns: dict[str, Any]
) -> TaskData:
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


def split(examples: Examples, seed: int, share: float | None = None) -> tuple[Examples, Examples]:
    """Set a part aside, stratified by what is right for them: of that share, by default the 20 %, at most
    1,000 examples, of a test part.

    Examples of one group, or with the same normalised text, stay on one side, and every label stays in
    training.
    """
    strata: dict[str, list[list[int]]] = defaultdict(list)
    stratum = _strata(examples)
    for group in _groups(examples):
        strata[stratum[group[0]]].append(group)
    share = min(TEST_SHARE, TEST_MOST / len(examples)) if share is None else share
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


def _groups(examples: Examples) -> list[list[int]]:
    """The examples that have to stay together, by place: they share a group or a text, or hang together
    through others that do."""
    names: list[list[str]] = [[f"text {normalised(one)}"] for one in examples.inputs]
    for name, group in zip(names, examples.groups, strict=False):
        name.append(f"group {group}")
    root: dict[str, str] = {}

    def find(name: str) -> str:
        while root.setdefault(name, name) != name:
            root[name] = root[root[name]]
            name = root[name]
        return name

    for mine in names:
        for other in mine[1:]:
            root[find(other)] = find(mine[0])
    found: dict[str, list[int]] = defaultdict(list)
    for place, mine in enumerate(names):
        found[find(mine[0])].append(place)
    return list(found.values())


def _strata(examples: Examples) -> list[str]:
    """What each example counts as when a split is balanced: its label, its rarest label, a fifth of the range
    of numbers, or whether a question has an answer."""
    targets = examples.targets
    if examples.task == "classification":
        return list(targets)
    if examples.task == "multi-label":
        seen = Counter(flatten(targets))
        return [min(its, key=lambda label: (seen[label], label), default="") for its in targets]
    if examples.task == "regression":
        fifths = np.searchsorted(np.quantile(targets, [0.2, 0.4, 0.6, 0.8]), targets)
        return [str(fifth) for fifth in fifths]
    return (
        ["answered" if target else "" for target in targets]
        if examples.task == "question-answering"
        else [""] * len(targets)
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
    if examples.task != "classification":
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
