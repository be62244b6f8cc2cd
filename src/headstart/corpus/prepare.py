"""Pass 1 of a corpus: each task reads its files and writes one Parquet file of documents with their signals.

Tasks are pure: the same input gives the same file. A file's fingerprint says what it was made from, so that a
restarted run takes over what is finished and makes again what is stale. A record that kills its process twice
is passed over and counted.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from headstart.corpus.dedup.deduplicate import shingles_of, signatures
from headstart.corpus.extensions import BATCH, Document, load
from headstart.corpus.extract.page import cut_into_pieces, extract_text, normalise
from headstart.corpus.extract.page_lines import drop_lines
from headstart.corpus.extract.page_metadata import page_metadata
from headstart.corpus.filters import classifiers
from headstart.corpus.filters.personal_data import replace_personal_data
from headstart.corpus.filters.quality_model import load_model
from headstart.corpus.filters.signals import STOP_WORDS, compute_signals, stop_word_hashes
from headstart.corpus.filters.word_lists import listed_share
from headstart.corpus.measured import (
    ReadPart,
    finished,
    model_files,
    take_over_file,
    take_over_rows,
    task_fingerprint,
    unread,
    write_note,
)
from headstart.corpus.readers.limits import MAX_HTML, SECONDS, TooLong, allow_more, interruptible, limited
from headstart.corpus.readers.read import read_source
from headstart.corpus.readers.records import Raw, Skip
from headstart.corpus.readers.sources import Kept, Task
from headstart.corpus.recipe import CorpusRecipe
from headstart.corpus.text.language import identify_language
from headstart.corpus.text.mojibake import repair
from headstart.corpus.text.words import split_words
from headstart.corpus.work import Work, step
from headstart.errors import HeadstartError
from headstart.folder import atomic

# Records that take each step together: with what a step needs in the processor's cache, reading, language and
# signals cost a third less than record by record.
TOGETHER, TOGETHER_CHARACTERS = 32, 4_000_000

DOCUMENT = pa.schema(
    [
        (name, pa.string())
        for name in ("id", "text", "url", "source", "domain", "language", "date", "metadata")
    ]
)

PreparedRow: TypeAlias = dict[str, str | bytes | bool | int | float]
"""A row of `prepared_schema`."""


def prepared_schema(recipe: CorpusRecipe) -> pa.Schema:
    """A document, what was measured of it, and what duplicates are found by."""
    near = recipe.near_duplicates
    columns: list[tuple[str, pa.DataType]] = [
        ("page", pa.bool_()),
        ("bytes", pa.int64()),
        ("language_score", pa.float32()),
        *((name, pa.float64()) for name in recipe.signals),
        ("digest", pa.binary(16)),
        ("signature", pa.binary(4 * near.bands * near.rows)),
    ]
    return pa.schema([*DOCUMENT, *(pa.field(*column) for column in columns)])


@step(risky=True)
def prepare(work: Work, number: int) -> None:
    """Run one task of a work folder and write its file."""
    task, recipe, path = work.task(number), work.recipe, work.prepared(number)
    made_from = task_fingerprint(task, recipe)
    path.parent.mkdir(exist_ok=True)
    if finished(path, made_from) is not None or take_over_file(task, path, made_from):
        return
    progress = Progress(work.path("prepared", number, "last"))
    allow_more(sum(path.stat().st_size for path in model_files(recipe) if path.is_file()))
    schema = prepared_schema(recipe)
    with (
        interruptible(),
        atomic(path) as temporary,
        pq.ParquetWriter(temporary, schema, compression="zstd") as writer,
    ):
        rows = _Rows(writer, schema, recipe, unread(task))
        waiting: list[int] = []
        for place, kept in enumerate(task.kept or [None] * len(task.sources)):
            if kept is None:
                waiting.append(place)
                continue
            _read_into(rows, task, waiting, progress)
            waiting = []
            rows.take_over(place, kept)
        _read_into(rows, task, waiting, progress)
        write_note(path, made_from, rows.parts)
        writer.add_key_value_metadata({"fingerprint": made_from})
    progress.path.unlink(missing_ok=True)


def _read_into(rows: "_Rows", task: Task, places: list[int], progress: "Progress") -> None:
    """Read some of a task's sources."""
    for batch in _batches(_records(task, places, rows.recipe)):
        for (place, _), way in zip(batch, _prepared(batch, rows.recipe, progress), strict=True):
            rows.add(place, way)
    rows.write()


def _records(task: Task, places: Iterable[int], recipe: CorpusRecipe) -> Iterator[tuple[int, Raw | Skip]]:
    """The records of some of a task's sources, each with the place of its source."""
    for place in places:
        source = task.sources[place]
        for record in read_source(source, task.part, task.parts, recipe.domains, recipe.fields):
            yield place, record


@dataclass(slots=True)
class _OnTheWay:
    """A record, and what the steps have made of it so far."""

    record: Raw
    pieces: list[str] = field(default_factory=list)
    dropped: float = 0.0  # share of the words
    repaired: bool = False
    replaced: Counter[str] = field(default_factory=Counter)  # personal data, by kind
    languages: list[tuple[str, float, float]] = field(default_factory=list)  # of each piece
    rows: list[PreparedRow] = field(default_factory=list)  # a document for each piece
    grams: list[np.ndarray] = field(default_factory=list)  # the hashes of each one's n-grams


Batch: TypeAlias = list[tuple[int, Raw | Skip]]


def _batches(records: Iterable[tuple[int, Raw | Skip]]) -> Iterator[Batch]:
    batch: Batch = []
    characters = 0
    for place, record in records:
        batch.append((place, record))
        characters += len(record.text) if isinstance(record, Raw) else 0
        if len(batch) == TOGETHER or characters > TOGETHER_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def _prepared(batch: Batch, recipe: CorpusRecipe, progress: "Progress") -> list[_OnTheWay | Skip]:
    """The records with their documents, or why there are none."""
    ways = [record if isinstance(record, Skip) else _OnTheWay(record) for _, record in batch]
    steps: tuple[Callable[[_OnTheWay], None], ...] = (
        lambda way: _extract(way, recipe),
        lambda way: _identify(way, recipe),
        lambda way: _measure(way, recipe),
    )
    for one in steps:
        ways = [way if isinstance(way, Skip) else _guarded(one, way, progress) for way in ways]
    return ways


def _guarded(step: Callable[[_OnTheWay], None], way: _OnTheWay, progress: "Progress") -> _OnTheWay | Skip:
    """The record behind one more step, or why there is none: whatever one record does, the others go on."""
    record = way.record
    if progress.passes_over(record.source):
        return Skip(record.source, "it ended the process twice")
    if record.html and len(record.text) > MAX_HTML:
        return Skip(record.source, "HTML page too large")
    progress.note(record.source)
    try:
        with limited():
            step(way)
        return way
    except HeadstartError as error:
        what = str(error).partition(";")[0]
        return Skip(record.source, what.replace(record.url, "this page") if record.url else what)
    except TooLong:
        return Skip(record.source, f"it took more than {SECONDS:g} seconds")
    except MemoryError:
        return Skip(record.source, "it took too much memory")
    except Exception as error:
        return Skip(record.source, f"it could not be processed ({type(error).__name__})")


class Progress:
    """Which record a task is at, on the disk, and at which ones processes have died.

    A native parser that crashes, or is ended by the limits, takes its process along. When that has happened
    twice at one record, the third attempt leaves it out.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._deaths: Counter[str] = Counter()
        if path.exists():
            *earlier, last = path.read_text(encoding="utf-8", errors="replace").split("\n")
            self._deaths.update(earlier)
            self._deaths[last] += 1
        self._deaths.pop("", None)
        self._file = path.open("w+b", buffering=0)
        died = "".join(f"{place}\n" for place in self._deaths.elements())
        self._behind = self._file.write(died.encode("utf-8", "replace"))

    def passes_over(self, place: str) -> bool:
        """Whether the record there is left out."""
        return self._deaths[place] >= 2

    def note(self, place: str) -> None:
        """Say that the record there comes next."""
        self._file.seek(self._behind)
        written = self._file.write(place.replace("\n", " ").encode("utf-8", "replace"))
        self._file.truncate(self._behind + written)


def _extract(way: _OnTheWay, recipe: CorpusRecipe) -> None:
    """The record's text, in pieces."""
    record = way.record
    if record.html and recipe.page_metadata:
        record.metadata |= page_metadata(record.text, record.url, recipe.page_metadata)
    if record.html:
        text = extract_text(record.text, record.url, recipe.extractor, recipe.markdown)
    else:
        text = normalise(record.text)
    if recipe.mojibake:
        text, way.repaired = repair(text)
    if record.page:
        text, way.dropped = drop_lines(text, recipe.lines)
    text, personal = replace_personal_data(text, recipe.personal_data)
    way.replaced.update(personal)
    way.pieces = cut_into_pieces(text, recipe.piece_characters)


def _identify(way: _OnTheWay, recipe: CorpusRecipe) -> None:
    model = recipe.language_model
    way.languages = [identify_language(piece, way.record.language, model) for piece in way.pieces]


def _measure(way: _OnTheWay, recipe: CorpusRecipe) -> None:
    """A document for each piece, with its signals and what duplicates are found by."""
    record = way.record
    identity = record.id or record.source
    for number, piece in enumerate(way.pieces):
        words = split_words(piece)
        language, score, foreign = way.languages[number]
        row: PreparedRow = {
            "id": f"{identity}#{number:04d}" if len(way.pieces) > 1 else identity,
            "text": piece,
            "url": record.url,
            "source": record.source,
            "domain": record.domain,
            "language": language,
            "date": record.date,
            "metadata": orjson.dumps(record.metadata).decode() if record.metadata else "{}",
            "page": record.page,
            "bytes": _bytes(piece),
            "language_score": score,
            **compute_signals(
                piece,
                words,
                stop_word_hashes(_stop_words(recipe, language), recipe.segmenter == "icu" and words.unspaced),
                language,
                dropped=way.dropped,
                foreign=foreign,
                segmenter=recipe.segmenter,
            ),
            **{name: load_model(folder).score(words) for name, folder in recipe.quality_models.items()},
            **{name: listed_share(words, path) for name, path in recipe.word_lists.items()},
            "digest": words.digest(),
        }
        way.rows.append(row)
        way.grams.append(shingles_of(words, recipe.near_duplicates.words))


def _stop_words(recipe: CorpusRecipe, language: str) -> str:
    own = recipe.stop_words(language)
    return STOP_WORDS.get(language, "") if own is None else own


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


class _Rows:
    """The file of a task on its way to the disk.

    Attributes:
        parts: what every source gave so far.
    """

    def __init__(
        self, writer: pq.ParquetWriter, schema: pa.Schema, recipe: CorpusRecipe, parts: list[ReadPart]
    ) -> None:
        self.parts = parts
        self.recipe = recipe
        self._writer, self._schema = writer, schema
        self._batch: list[PreparedRow] = []
        self._grams_of: list[np.ndarray] = []

    def add(self, place: int, way: _OnTheWay | Skip) -> None:
        """Add a record of the source at that place, or why it could not be read."""
        part = self.parts[place]
        if isinstance(way, Skip):
            part["skipped"].append([*way])
            return
        part["records"] += 1
        part["rows"] += len(way.rows)
        part["bytes"] += _bytes(way.record.text) if way.record.size is None else way.record.size
        part["repaired"] += way.repaired
        part["personal_data"] = dict(Counter(part["personal_data"]) + way.replaced)
        self._batch += way.rows
        self._grams_of += way.grams
        if len(self._batch) >= BATCH:
            self.write()

    def take_over(self, place: int, kept: Kept) -> None:
        """Add what an earlier corpus keeps of the source at that place."""
        self.parts[place], tables = take_over_rows(kept, self._schema)
        for table in tables:
            self._writer.write_table(table)

    def write(self) -> None:
        """Write the documents that wait."""
        if self._batch:
            _write(self._writer, self._schema, self._batch, self._grams_of, self.recipe)


def _write(
    writer: pq.ParquetWriter,
    schema: pa.Schema,
    batch: list[PreparedRow],
    grams_of: list[np.ndarray],
    recipe: CorpusRecipe,
) -> None:
    """Write the batch with its MinHash signatures and what models say of it, and empty it."""
    for own in load(recipe.extensions)[0]:
        for row, value in zip(batch, own([_document(row) for row in batch]), strict=True):
            row[own.name] = value
    for name, classifier in recipe.classifiers.items():
        texts = [str(row["text"]) for row in batch]
        for row, value in zip(batch, classifiers.scores(classifier, texts), strict=True):
            row[name] = value
    near = recipe.near_duplicates
    for row, signature in zip(batch, signatures(grams_of, near.bands * near.rows), strict=True):
        row["signature"] = signature.tobytes()
    writer.write_table(pa.Table.from_pylist(batch, schema))
    batch.clear()
    grams_of.clear()


def _document(row: PreparedRow) -> Document:
    """A row as extensions see it."""
    texts = {name: str(row[name]) for name in DOCUMENT.names if name != "metadata"}
    metadata = orjson.loads(str(row["metadata"]))
    return Document(**texts, page=bool(row["page"]), metadata=metadata, signals={})
