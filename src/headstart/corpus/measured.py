"""What the first pass leaves of a task: a Parquet file of documents with their signals, and a note of what
every source gave.

A finished corpus keeps these files in `measured/`. A later one goes on from there: what is known by name,
digest and part, and was read by the same settings, is taken over and not read again.
"""

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias, cast

import pyarrow as pa
import pyarrow.parquet as pq
from typing_extensions import TypedDict

from headstart.corpus.extensions import digest, load
from headstart.corpus.extract.page import classifier_fingerprint
from headstart.corpus.filters import classifiers
from headstart.corpus.filters.entry_lists import digests
from headstart.corpus.filters.quality_model import load_model
from headstart.corpus.readers.records import Skip
from headstart.corpus.readers.sources import GIVEN_TWICE, Kept, Source, Task
from headstart.corpus.readers.storage import absolute
from headstart.corpus.recipe import CorpusRecipe
from headstart.corpus_folder import corpus_manifest
from headstart.errors import HeadstartError
from headstart.folder import JSONObject, atomic, fingerprint, read_json, write_json

METHOD = 17  # raise it when the first pass gives other results for the same input
SETTINGS = {
    "domains",
    "fields",
    "extractor",
    "piece_characters",
    "lines",
    "personal_data",
    "quality_models",
    "word_lists",
    "classifiers",
    "language_model",
    "mojibake",
    "page_metadata",
    "markdown",
    "segmenter",
}
FOLDER, INPUTS = "measured", "inputs.json"


def first_pass(recipe: CorpusRecipe) -> JSONObject:
    """All that decides what the first pass makes of a file: its settings, what they name, and its method."""
    near = recipe.near_duplicates
    return {
        "method": METHOD,
        **recipe.model_dump(mode="json", include=SETTINGS),
        "near_duplicates": [near.words, near.bands, near.rows],
        "extractor's file": classifier_fingerprint(recipe.extractor),
        "stop words": {code: own.stop_words for code, own in recipe.by_language.items() if own.stop_words},
        "thresholds": recipe.thresholds,
        "quality models' files": [
            load_model(folder).fingerprint for folder in recipe.quality_models.values()
        ],
        "word lists' files": digests(list(recipe.word_lists.values())),
        "models' files": [classifiers.fingerprint(path) for path in model_files(recipe)],
        "extensions' signals": [digest(one.file) for one in load(recipe.extensions)[0]],
    }


def model_files(recipe: CorpusRecipe) -> list[Path]:
    """The models that the first pass asks, but those of headstart's own kinds."""
    told = [recipe.language_model] if recipe.language_model else []
    return [*told, *(one.model for one in recipe.classifiers.values())]


def task_fingerprint(task: Task, recipe: CorpusRecipe) -> str:
    """Changes with the input, with the settings of the first pass and with its method; not with the rules."""
    sources = [(source.label, source.digest) for source in task.sources]
    return fingerprint({"sources": sources, "part": [task.part, task.parts], "settings": first_pass(recipe)})


class ReadPart(TypedDict):
    """What a source, or a part of one, gave.

    `records` could be read, and in `repaired` of them wrong letters were; `rows` are the documents that they
    became, pieces of long ones counted; `skipped` has place and reason of what could not be read, and
    `personal_data` how often each kind was replaced.
    """

    label: str
    digest: str
    part: int
    parts: int
    records: int
    rows: int
    bytes: int
    repaired: int
    skipped: list[list[str]]
    personal_data: dict[str, int]


class Note(TypedDict):
    """Beside a task's file: what it was made from, and what each source gave, in their order."""

    fingerprint: str
    parts: list[ReadPart]


Key: TypeAlias = tuple[str, str, int, int]
"""Label, digest, part and parts of what was read: by these it is known again."""


def _key(part: ReadPart) -> Key:
    return part["label"], part["digest"], part["part"], part["parts"]


def unread(task: Task) -> list[ReadPart]:
    """The sources of a task, of which nothing is read yet."""
    return [
        ReadPart(
            label=source.label,
            digest=source.digest,
            part=task.part,
            parts=task.parts,
            records=0,
            rows=0,
            bytes=0,
            repaired=0,
            skipped=[],
            personal_data={},
        )
        for source in task.sources
    ]


def note_of(file: Path) -> Path:
    """Where the note of a task's file lies."""
    return file.with_suffix(".json")


def write_note(file: Path, made_from: str, parts: list[ReadPart]) -> None:
    """Write the note of a task's file; the file itself comes behind it."""
    write_json(note_of(file), Note(fingerprint=made_from, parts=parts))


def whole(file: Path) -> Note | None:
    """The note of a task's file, if both are whole and belong together."""
    try:
        metadata = pq.read_metadata(file).metadata or {}
        note = read_json(note_of(file), Note)
    except (OSError, pa.ArrowInvalid, HeadstartError):
        return None
    return note if metadata.get(b"fingerprint", b"").decode() == note["fingerprint"] else None


def finished(file: Path, expected: str) -> list[ReadPart] | None:
    """What was read into a task's file, if it is whole and was made from the same input and settings."""
    note = whole(file)
    return note["parts"] if note is not None and note["fingerprint"] == expected else None


def take_over_file(task: Task, file: Path, expected: str) -> bool:
    """Let the file of a task stand here, too, where an earlier corpus has the very same; without a copy if
    possible."""
    if not task.kept or task.kept[0] is None:
        return False
    earlier = Path(task.kept[0].file)
    if (parts := finished(earlier, expected)) is None:
        return False
    write_note(file, expected, parts)
    with atomic(file) as temporary:
        try:
            os.link(earlier, temporary)
        except OSError:  # another file system
            shutil.copyfile(earlier, temporary)
    return True


def take_over_rows(kept: Kept, schema: pa.Schema) -> tuple[ReadPart, Iterator[pa.Table]]:
    """What an earlier corpus has of a source: what it gave, and its documents."""
    parts = read_json(note_of(Path(kept.file)), Note)["parts"]
    first = sum(one["rows"] for one in parts[: kept.place])
    return parts[kept.place], _rows(Path(kept.file), schema, first, first + parts[kept.place]["rows"])


def _rows(file: Path, schema: pa.Schema, start: int, stop: int) -> Iterator[pa.Table]:
    with pq.ParquetFile(file, pre_buffer=False) as opened:
        first = 0
        for number in range(opened.num_row_groups):
            behind = first + opened.metadata.row_group(number).num_rows
            if first < stop and behind > start:
                table = opened.read_row_group(number, use_threads=False).slice(max(start - first, 0))
                table = table.slice(0, stop - max(first, start))
                yield table.select(schema.names).cast(schema)
            first = behind


# A corpus to go on from


class Inputs(TypedDict):
    """What a corpus was made from: how it was read, the files, and place and reason of those passed over."""

    first_pass: JSONObject
    sources: list[dict[str, str | int]]
    passed_over: list[list[str]]


def inputs_note(recipe: CorpusRecipe, sources: Sequence[Source], passed_over: Sequence[Skip]) -> Inputs:
    """What is kept of a corpus's inputs beside the tasks' files."""
    return Inputs(
        first_pass=first_pass(recipe),
        sources=[vars(one) | {"address": absolute(one.address)} for one in sources],
        passed_over=[[*skip] for skip in passed_over],
    )


class Earlier:
    """A finished corpus to go on from.

    Raises:
        HeadstartError: the folder is none, keeps no measured documents, or was read by other settings than
            the recipe has.
    """

    def __init__(self, corpus: Path, recipe: CorpusRecipe) -> None:
        corpus_manifest(corpus)
        self._corpus, self._folder = corpus, corpus / FOLDER
        if not (self._folder / INPUTS).exists():
            raise HeadstartError(
                f"{corpus} cannot be gone on from: its measured documents ({self._folder}) are gone; build "
                "from its raw files"
            )
        known = read_json(self._folder / INPUTS, Inputs)
        self._sources = [Source(**cast(JSONObject, one)) for one in known["sources"]]
        self._passed_over = [Skip(*one) for one in known["passed_over"]]
        before, now = known["first_pass"], first_pass(recipe)
        differs = [name for name in now if before.get(name) != now[name]]
        if differs:
            raise HeadstartError(
                f"{corpus} cannot be gone on from: {_difference(differs[0], before, now)}, which is "
                "decided when a file is read; give the same, or build from the raw files"
            )

    def joined(
        self, listed: Sequence[Source], passed_over: Sequence[Skip]
    ) -> tuple[list[Source], list[Skip]]:
        """Its sources and those listed, which may have changed since; and the files passed over by either.

        Raises:
            HeadstartError: one file has two names, or two files have one; or one that it has read can be
                read no more.
        """
        read = {one.label for one in listed}
        for skip in passed_over:
            if skip.reason == GIVEN_TWICE or skip.source in read:
                continue  # it is read by another name, or another file of its name is
            if any(_is_of(one.label, skip.source) for one in self._sources):
                raise HeadstartError(
                    f"{self._corpus} has read {skip.source}, which by now {skip.reason}; give it whole, or "
                    "leave it out to keep what was read"
                )
        by_label = {one.label: one for one in self._sources}
        labels = {one.address: one.label for one in self._sources}
        for source in listed:
            address = absolute(source.address)
            before = by_label.get(source.label)
            if (before and before.address != address) or labels.get(address, source.label) != source.label:
                other = before.address if before else labels[address]
                raise HeadstartError(
                    f"{source.address} is called {source.label} here, which does not go with {other} in "
                    f"{self._corpus}; give it by another folder or name, or build from the raw files"
                )
            by_label[source.label] = source
        still = [
            skip for skip in self._passed_over if not any(_is_of(one.label, skip.source) for one in listed)
        ]
        sources = sorted(by_label.values(), key=lambda source: source.label)
        return sources, sorted({*still, *passed_over})

    def known(self, tasks: Sequence[Task]) -> list[Task]:
        """The tasks, with where it keeps what they would read."""
        places: dict[Key, Kept] = {}
        for path in sorted(self._folder.glob("*.parquet")):
            if (note := whole(path)) is None:  # damaged: its sources are read again
                continue
            for place, one in enumerate(note["parts"]):
                places[_key(one)] = Kept(str(path.resolve()), place)
        return [replace(task, kept=tuple(places.get(_key(one)) for one in unread(task))) for task in tasks]

    def check_nothing_is_read(self, tasks: Sequence[Task]) -> None:
        """Raise a `HeadstartError` if it lacks what a task would read, since no raw file was given."""
        for task in tasks:
            for source, kept in zip(task.sources, task.kept, strict=True):
                if kept is None:
                    raise HeadstartError(
                        f"{self._folder} lacks what was read of {source.label}; give the raw files, too"
                    )


def _is_of(label: str, file: str) -> bool:
    """Whether a source is a file, or a member of it."""
    return label == file or label.startswith(f"{file}/")


def _difference(name: str, before: JSONObject, now: JSONObject) -> str:
    if name == "method":
        return "another version of headstart has read its files"
    shown = [str(one.get(name)) for one in (before, now)]
    if max(map(len, shown)) > 60:
        return f"it was made with another {name}"
    return f"{name} was {shown[0]} and is {shown[1]}"
