"""Pass 1 of a corpus: each task reads its files and writes one Parquet file of documents with their signals.

Tasks are pure: the same input gives the same file. A file's fingerprint says what it was made from, so that a
restarted run takes over what is finished and makes again what is stale. A record that kills its process twice
is passed over and counted.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from headstart.corpus.deduplicate import signatures
from headstart.corpus.extract import classifier_fingerprint, cut, extract_text, normalise
from headstart.corpus.language import identify
from headstart.corpus.limits import MAX_HTML, SECONDS, TooLong, limited
from headstart.corpus.page_lines import drop_lines
from headstart.corpus.personal_data import replace
from headstart.corpus.quality_model import load_model
from headstart.corpus.read import read
from headstart.corpus.recipe import CorpusRecipe
from headstart.corpus.records import Raw, Skip
from headstart.corpus.signals import STOP_WORDS, compute, stop_word_hashes
from headstart.corpus.sources import Task
from headstart.corpus.urls import digests
from headstart.corpus.word_lists import share
from headstart.corpus.words import Words, split
from headstart.corpus.work import open_work
from headstart.errors import HeadstartError
from headstart.folder import atomic, fingerprint

METHOD = 5  # raise it when this pass gives other results for the same input
SETTINGS = {
    "domains",
    "fields",
    "extractor",
    "piece_characters",
    "near_duplicates",
    "lines",
    "personal_data",
    "quality_models",
    "word_lists",
}
BATCH = 512

DOCUMENT = pa.schema(
    [
        (name, pa.string())
        for name in ("id", "text", "url", "source", "domain", "language", "date", "metadata")
    ]
)


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


def task_fingerprint(task: Task, recipe: CorpusRecipe) -> str:
    """Changes with the input, with the settings of this pass and with its method; not with the rules."""
    return fingerprint(
        {
            "method": METHOD,
            "sources": [(source.label, source.digest) for source in task.sources],
            "part": [task.part, task.parts],
            "settings": recipe.model_dump(include=SETTINGS),
            "classifier": classifier_fingerprint(recipe.extractor),
            "stop_words": {code: own.stop_words for code, own in recipe.by_language.items()},
            "models": [load_model(folder).fingerprint for folder in recipe.quality_models.values()],
            "lists": digests(list(recipe.word_lists.values())),
        }
    )


@dataclass(frozen=True)
class Prepared:
    """A finished task: its file, the records read into it, those that could not be, and what was replaced."""

    path: Path
    documents: int
    bytes: int
    skipped: list[Skip]
    personal_data: dict[str, int]


def finished(path: Path, expected: str) -> Prepared | None:
    """What the file at `path` holds, if it is whole and was made from the same input and settings."""
    try:
        metadata = pq.read_metadata(path).metadata or {}
    except (OSError, pa.ArrowInvalid):
        return None
    if metadata.get(b"fingerprint", b"").decode() != expected:
        return None
    facts = orjson.loads(metadata[b"facts"])
    skipped = [Skip(*skip) for skip in facts["skipped"]]
    return Prepared(path, facts["documents"], facts["bytes"], skipped, facts["personal_data"])


def prepare(folder: Path, number: int) -> None:
    """Run one task of a work folder and write its file."""
    work = open_work(folder)
    task, recipe, path = work.tasks[number], work.recipe, work.prepared(number)
    if finished(path, task_fingerprint(task, recipe)) is not None:
        return
    path.parent.mkdir(exist_ok=True)
    schema = prepared_schema(recipe)
    progress = Progress(work.path("prepared", number, "last"))
    skipped: list[Skip] = []
    replaced: Counter[str] = Counter()
    documents = size = 0
    with atomic(path) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        batch: list[dict[str, Any]] = []
        grams_of: list[np.ndarray] = []
        for record in read(task, recipe.domains, recipe.fields):
            pieces = record if isinstance(record, Skip) else _pieces(record, recipe, progress, replaced)
            if isinstance(pieces, Skip):
                skipped.append(pieces)
                continue
            assert isinstance(record, Raw)
            documents += 1
            size += _bytes(record.text)
            for row, grams in pieces:
                batch.append(row)
                grams_of.append(grams)
            if len(batch) >= BATCH:
                _write(writer, schema, batch, grams_of, recipe)
        _write(writer, schema, batch, grams_of, recipe)
        facts = {
            "documents": documents,
            "bytes": size,
            "skipped": [[*skip] for skip in skipped],
            "personal_data": replaced,
        }
        writer.add_key_value_metadata(
            {"fingerprint": task_fingerprint(task, recipe), "facts": orjson.dumps(facts)}
        )
    progress.path.unlink(missing_ok=True)


def _pieces(
    record: Raw, recipe: CorpusRecipe, progress: "Progress", replaced: Counter[str]
) -> list[tuple[dict[str, Any], np.ndarray]] | Skip:
    """The documents in a record, or why there are none: whatever one record does, the others go on."""
    if progress.passes_over(record.source):
        return Skip(record.source, "it ended the process twice")
    if record.html and len(record.text) > MAX_HTML:
        return Skip(record.source, "HTML page too large")
    progress.note(record.source)
    try:
        with limited():
            return list(_documents(record, recipe, replaced))
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


def _documents(
    record: Raw, recipe: CorpusRecipe, replaced: Counter[str]
) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
    """The document, or the pieces of the document, in a record, each with the hashes of its n-grams.

    Adds to `replaced` what personal data there was.
    """
    text = extract_text(record.text, record.url, recipe.extractor) if record.html else normalise(record.text)
    text, dropped = drop_lines(text, recipe.lines) if record.page else (text, 0.0)
    text, personal = replace(text, recipe.personal_data)
    replaced.update(personal)
    pieces = cut(text, recipe.piece_characters)
    for number, piece in enumerate(pieces):
        words = split(piece)
        language, score, foreign = identify(piece, record.language)
        identity = record.id or record.source
        row = {
            "id": f"{identity}#{number:04d}" if len(pieces) > 1 else identity,
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
            **compute(piece, words, stop_word_hashes(_stop_words(recipe, language)), language),
            "removed_words": dropped,
            "foreign_text": foreign,
            **{name: load_model(folder).score(words) for name, folder in recipe.quality_models.items()},
            **{name: share(words, path) for name, path in recipe.word_lists.items()},
            "digest": words.digest(),
        }
        yield row, shingles_of(words, recipe.near_duplicates.words)


def _stop_words(recipe: CorpusRecipe, language: str) -> str:
    own = recipe.by_language.get(language)
    return STOP_WORDS.get(language, "") if own is None or own.stop_words is None else own.stop_words


def shingles(text: str, size: int) -> np.ndarray:
    """The hashes of the runs of `size` words that near duplicates are found by."""
    return shingles_of(split(text), size)


def shingles_of(words: Words, size: int) -> np.ndarray:
    grams = words.ngrams(size)
    return grams if len(grams) else words.hashes


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


def _write(
    writer: pq.ParquetWriter,
    schema: pa.Schema,
    batch: list[dict[str, Any]],
    grams_of: list[np.ndarray],
    recipe: CorpusRecipe,
) -> None:
    """Write the batch with its MinHash signatures, and empty it."""
    if not batch:
        return
    near = recipe.near_duplicates
    for row, signature in zip(batch, signatures(grams_of, near.bands * near.rows), strict=True):
        row["signature"] = signature.tobytes()
    writer.write_table(pa.Table.from_pylist(batch, schema))
    batch.clear()
    grams_of.clear()
