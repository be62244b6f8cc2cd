"""The work folder of a corpus: what its steps are made from, and the files they hand to each other.

A step is a function of the folder and a number. It reads files, writes one file (a few at most), and leaves
one that is already there alone; so a step may run in any process, on any machine that sees the folder, again
after a kill, and in any order among its own kind. No step hands another anything but files.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import import_module
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from typing_extensions import TypedDict  # typing's own is not checked before Python 3.12

from headstart.corpus.readers.sources import Kept, Source, Task
from headstart.corpus.readers.storage import absolute
from headstart.corpus.recipe import CorpusRecipe
from headstart.corpus_folder import DocumentRow
from headstart.errors import HeadstartError
from headstart.folder import JSONObject, atomic, read_json, write_json

PLAN, STARTS, RENAMED = "plan.json", "starts", "renamed"
# Tasks in a file of the plan: a worker reads those among which its own is.
_PLANNED = 256
# A pass over one partition holds about this many bytes of keys.
PARTITION_BYTES = 1 << 27
# And one over a range of documents so many for each of them.
DOCUMENT_BYTES = 16
# A document, and another one that is known of it.
LABEL = np.dtype([("document", np.int64), ("label", np.int64)])
_ROWS = 1024  # of a row group


@dataclass(frozen=True)
class Work:
    """A work folder, opened.

    Attributes:
        tasks: how many there are.
        stages: in their order the stages that the recipe wants, each with the rules by which it may remove
            a document.
        version: of the plan.
    """

    folder: Path
    recipe: CorpusRecipe
    tasks: int
    stages: Mapping[str, Sequence[str]]
    version: int

    def task(self, number: int) -> Task:
        """What a task reads."""
        return _planned(self.folder / "plan", number // _PLANNED, self.version)[number % _PLANNED]

    def path(self, step: str, number: int, suffix: str = "npy") -> Path:
        """The file that a step writes for a task, a partition or a part."""
        return self.folder / step / f"{number:06d}.{suffix}"

    def files(self, step: str, suffix: str = "npy") -> list[Path]:
        """All files of a step, in the order of their numbers."""
        return sorted((self.folder / step).glob(f"*.{suffix}"))

    def keys(self, step: str) -> list[Path]:
        """All files of keys that a step wrote, or what was gathered of them."""
        return self.files(f"{step} gathered") or self.files(step)

    def prepared(self, task: int) -> Path:
        """The Parquet file that the first pass writes for a task."""
        return self.path("prepared", task, "parquet")

    @cached_property
    def starts(self) -> np.ndarray:
        """The number of each task's first document, and behind them how many there are, `[tasks + 1]`."""
        return load(self.folder / f"{STARTS}.npy")

    def count_documents(self, counts: Sequence[int]) -> None:
        """Keep how many documents each task has."""
        save(self.folder / f"{STARTS}.npy", np.cumsum([0, *counts]))

    def numbers(self, task: int) -> np.ndarray:
        """The numbers of a task's documents."""
        return np.arange(self.starts[task], self.starts[task + 1])

    def columns(self, task: int, *names: str) -> pa.Table:
        """Some columns of a task's documents, with ids that are unique over the corpus."""
        with pq.ParquetFile(self.prepared(task), pre_buffer=False) as file:
            table = file.read(list(names), use_threads=False).select(names)
        if "id" not in names or not (renamed := self.renamed(task)):
            return table
        ids = [renamed.get(place, known) for place, known in enumerate(table["id"].to_pylist())]
        return table.set_column(names.index("id"), "id", pa.array(ids, pa.string()))

    def renamed(self, task: int) -> dict[int, str]:
        """By its place in a task, the id of a document whose own one another record has: see `identities`."""
        path = self.path(RENAMED, task, "parquet")
        if not path.exists():
            return {}
        places, ids = (column.to_pylist() for column in pq.read_table(path, use_threads=False).columns)
        return dict(zip(places, ids, strict=True))

    def ranges(self) -> int:
        """Decide how many ranges of neighbouring documents there are: a step looks at one at a time."""
        size = max(1, PARTITION_BYTES // DOCUMENT_BYTES)
        self.note("documents of a range", size)
        return max(1, -(-int(self.starts[-1]) // size))

    def span(self, number: int) -> range:
        """The documents of a range. The first one also has those of earlier corpora, which are negative."""
        size: int = self.noted("documents of a range")
        behind = min((number + 1) * size, int(self.starts[-1]))
        return range(number * size if number else -len(self.recipe.against), behind)

    def looked_up(self, kind: str, documents: np.ndarray, otherwise: np.ndarray | None = None) -> np.ndarray:
        """What is known of documents, in whatever order.

        Args:
            kind: files of pairs of documents, one for each range and in order.
            documents: whose pairs are wanted.
            otherwise: what holds for those that have none; None: the document itself.
        """
        known = documents.copy() if otherwise is None else otherwise.copy()
        number = np.maximum(documents, 0) // self.noted("documents of a range")
        for one in np.unique(number).tolist():
            here = np.flatnonzero(number == one)
            pairs = load(self.path(kind, one)).view(np.int64).reshape(-1, 2)
            keys = np.ascontiguousarray(pairs[:, 0])
            if len(keys):
                at = np.minimum(np.searchsorted(keys, documents[here]), len(keys) - 1)
                held = keys[at] == documents[here]
                known[here[held]] = pairs[at[held], 1]
        return known

    def of_task(self, kind: str, task: int, field: str, dtype: np.dtype) -> np.ndarray:
        """From files of records, one for each range and sorted by document, those of a task's documents.

        Args:
            kind: the files.
            task: whose documents are meant.
            field: the one that is the document.
            dtype: of a record.
        """
        numbers = self.numbers(task)
        if not len(numbers):
            return np.zeros(0, dtype)
        size = self.noted("documents of a range")
        ranges = range(int(numbers[0]) // size, int(numbers[-1]) // size + 1)
        return between([self.path(kind, one) for one in ranges], field, dtype, numbers)

    def note(self, name: str, value: Any) -> None:
        """Keep something that was decided for the whole corpus."""
        write_json(self.folder / f"{name}.json", value)

    def noted(self, name: str) -> Any:
        """What `note` kept."""
        return read_json(self.folder / f"{name}.json", object)

    def rounds(self, name: str) -> int:
        """How many rounds it took until nothing was left to do."""
        number: int = self.noted(f"rounds of {name}")
        return number

    def partitions(self, keys: str) -> int:
        """How many partitions the keys of a step are cut into, as `partition` decided."""
        count: int = self.noted(f"partitions of {keys}")
        return count

    def partition(self, keys: str, more_bytes: int = 0) -> int:
        """Decide how many partitions the keys of a step are cut into.

        Args:
            keys: the step.
            more_bytes: what a pass over one of them holds beside its keys, summed over all.
        """
        count = partitions(sum(path.stat().st_size for path in self.files(keys)) + more_bytes)
        self.note(f"partitions of {keys}", count)
        return count


def make_work(
    folder: Path, recipe: CorpusRecipe, tasks: list[Task], stages: Mapping[str, Sequence[str]]
) -> Work:
    """Start a work folder, or take up one that was left."""
    folder.mkdir(parents=True, exist_ok=True)
    recipe.save(folder / "recipe.yaml")
    for first in range(0, len(tasks), _PLANNED):
        rows = [_as_row(task) for task in tasks[first : first + _PLANNED]]
        write_json(_plan_file(folder / "plan", first // _PLANNED), rows)
    known = {name: list(rules) for name, rules in stages.items()}
    write_json(folder / PLAN, {"stages": known, "tasks": len(tasks)})
    return open_work(folder)


class Planned(TypedDict):
    """What a work folder is for: the stages with their rules, and how many tasks."""

    stages: dict[str, list[str]]
    tasks: int


def _plan_file(plan: Path, number: int) -> Path:
    return plan / f"{number:06d}.json"


def _as_row(task: Task) -> JSONObject:
    sources = [vars(source) | {"address": absolute(source.address)} for source in task.sources]
    kept = [one and vars(one) for one in task.kept]
    return {"sources": sources, "part": task.part, "parts": task.parts, "kept": kept}


def open_work(folder: Path) -> Work:
    """The work folder, as a worker sees it."""
    return _opened(folder, (folder / PLAN).stat().st_mtime_ns)


@lru_cache(maxsize=1)
def _opened(folder: Path, version: int) -> Work:
    plan = read_json(folder / PLAN, Planned)
    recipe = CorpusRecipe.load(folder / "recipe.yaml", [])
    return Work(folder, recipe, plan["tasks"], plan["stages"], version)


@lru_cache(maxsize=2)
def _planned(plan: Path, number: int, version: int) -> list[Task]:
    """The tasks in one file of the plan of that version."""
    return [
        Task(
            tuple(Source(**source) for source in row["sources"]),
            row["part"],
            row["parts"],
            tuple(one and Kept(**one) for one in row["kept"]),
        )
        for row in read_json(_plan_file(plan, number), list[JSONObject])
    ]


Made: TypeAlias = "np.ndarray | pa.Table | Mapping[str, Any] | Sequence[Any] | None"


@dataclass(frozen=True)
class Step:
    """A function of the work folder and a number that makes one file.

    Attributes:
        name: by which another process finds the step: `module:function`, or `module:function:argument`,
            where the function makes the step.
        function: makes what is to be written; None where it writes by itself.
        out: the folder of its files, each named by its number.
        suffix: what kind they are: npy, parquet or json.
        risky: whether it runs code that may crash or hang, so that it must not run in the calling process.
    """

    name: str
    function: Callable[[Work, int], Made]
    out: str | None = None
    suffix: str = "npy"
    risky: bool = False

    def __call__(self, folder: Path, number: int) -> None:
        """Make the file of that number, unless it is there."""
        work = open_work(folder)
        if self.out is None:
            self.function(work, number)
        elif not (path := work.path(self.out, number, self.suffix)).exists():
            _write(path, self.function(work, number))


def step(
    out: str | None = None, suffix: str = "npy", risky: bool = False
) -> Callable[[Callable[[Work, int], Made]], Step]:
    """Make a function a `Step`."""

    def made(function: Callable[[Work, int], Made]) -> Step:
        return Step(f"{function.__module__}:{function.__qualname__}", function, out, suffix, risky)

    return made


def step_named(name: str) -> Step:
    """The step of that name, by import."""
    module, function, *argument = name.split(":", 2)
    found = getattr(import_module(module), function)
    named: Step = found(*argument) if argument else found
    return named


def _write(path: Path, made: Made) -> None:
    if isinstance(made, np.ndarray):
        save(path, made)
    elif isinstance(made, pa.Table):
        save_table(path, made)
    else:
        write_json(path, made)


def save(path: Path, array: np.ndarray) -> None:
    """Write an array as a file that is whole or not there."""
    with atomic(path) as temporary, temporary.open("wb") as file:
        np.save(file, array)


def save_table(path: Path, table: pa.Table, row_group: int | None = _ROWS) -> None:
    """Write a table as a Parquet file that is whole or not there."""
    with atomic(path) as temporary:
        pq.write_table(table, temporary, compression="zstd", row_group_size=row_group)


def load(path: Path) -> np.ndarray:
    """An array as it lies on the disk; only what is looked at is read.

    Raises:
        HeadstartError: the file is damaged.
    """
    try:
        # An empty file cannot be mapped.
        array: np.ndarray = np.load(path, mmap_mode="r") if path.stat().st_size > 1024 else np.load(path)
    except (OSError, ValueError) as error:
        raise HeadstartError(f"{path} cannot be read back ({error}); delete it and start again") from None
    return array


def partitions(total_bytes: int) -> int:
    """How many partitions keys of that size are cut into: a power of two."""
    return 1 << max(0, (total_bytes // PARTITION_BYTES).bit_length())


def slices(paths: list[Path], partition: int, count: int) -> Iterator[np.ndarray]:
    """From files of records sorted by their 64-bit `key`, those whose key is in one partition of `count`."""
    first, behind = partition * 2**64 // count, (partition + 1) * 2**64 // count
    for path in paths:
        keyed = load(path)
        # Not np.searchsorted, which would copy the whole column first.
        start, stop = (bisect_left(keyed, key, key=itemgetter("key")) for key in (first, behind))
        yield np.array(keyed[start:stop])


def labelled(documents: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Documents and what is known of them as `LABEL`."""
    rows = np.zeros(len(documents), LABEL)
    rows["document"], rows["label"] = documents, labels
    return rows


def held(paths: list[Path], keys: np.ndarray) -> np.ndarray:
    """Whether each 64-bit key is in the files of a step: ascending keys, one file for each partition."""
    order = np.argsort(keys)
    ordered, inside = keys[order], np.zeros(len(keys), bool)
    firsts = np.array([number * 2**64 // len(paths) for number in range(len(paths))], np.uint64)
    bounds = np.append(np.searchsorted(ordered, firsts), len(keys))
    for number, path in enumerate(paths):
        start, stop = bounds[number], bounds[number + 1]
        if stop > start and len(known := load(path)):
            at = np.searchsorted(known, ordered[start:stop])
            inside[start:stop] = known[np.minimum(at, len(known) - 1)] == ordered[start:stop]
    back = np.empty(len(keys), bool)
    back[order] = inside
    return back


def between(paths: list[Path], field: str, kind: np.dtype, numbers: np.ndarray | range) -> np.ndarray:
    """From files of records sorted by a field, those in which it is one of neighbouring numbers."""
    parts = [np.zeros(0, kind)]
    for path in paths if len(numbers) else []:
        rows = load(path)
        if len(rows):
            start, stop = (bisect_left(rows, n, key=itemgetter(field)) for n in (numbers[0], numbers[-1] + 1))
            parts.append(np.array(rows[start:stop]))
    return np.concatenate(parts)


def rows_of(work: Work, documents: np.ndarray, names: list[str]) -> dict[int, DocumentRow]:
    """Some columns of some documents, wherever they lie; only the row groups that hold them are read."""
    rows: dict[int, DocumentRow] = {
        int(document): {"id": f"a document of {work.recipe.against[-1 - document]}"}
        for document in documents[documents < 0]
    }
    ordered = np.unique(documents[documents >= 0])
    for task, numbers in groupby(
        ordered, lambda number: int(np.searchsorted(work.starts, number, "right")) - 1
    ):
        wanted = np.array(list(numbers)) - work.starts[task]
        renamed = work.renamed(task) if "id" in names else {}
        with pq.ParquetFile(work.prepared(task), pre_buffer=False) as file:
            first = 0
            for part in range(file.num_row_groups):
                behind = first + file.metadata.row_group(part).num_rows
                here = wanted[(wanted >= first) & (wanted < behind)]
                if len(here):
                    table = file.read_row_group(part, columns=names, use_threads=False).take(
                        pa.array(here - first)
                    )
                    for place, row in zip(here.tolist(), table.to_pylist(), strict=True):
                        if place in renamed:
                            row["id"] = renamed[place]
                        rows[int(work.starts[task]) + place] = row
                first = behind
    return rows
