"""From a document to where it came from: its raw record, and what every stage did to it."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from typing_extensions import TypedDict  # typing's own is not checked before Python 3.12

from headstart.corpus.readers.read import Fields, read
from headstart.corpus.readers.records import Raw
from headstart.corpus.readers.sources import Source, Task, find_sources
from headstart.corpus.readers.storage import is_remote
from headstart.corpus_folder import corpus_manifest
from headstart.errors import HeadstartError
from headstart.folder import checked, read_json_lines
from headstart.recipe import read_yaml

_DOCUMENT = ["id", "url", "source", "domain", "language", "date"]


class RowPlace(TypedDict):
    """A file of the corpus and a row of it."""

    file: str
    row: int


class CutPiece(TypedDict):
    """A piece that was taken out of a document; a row of `pieces/`."""

    id: str
    stage: str
    rule: str
    start: int
    text: str
    kept_in: str


class Replaced(TypedDict):
    """A duplicate that went in a document's stead."""

    id: str
    url: str
    detail: str


class SkippedRecord(TypedDict):
    """A line of `skipped.jsonl`."""

    source: str
    reason: str


class Traced(TypedDict, total=False):
    """What became of a document; see `trace`."""

    status: Literal["kept", "removed", "skipped"]
    id: str
    url: str
    source: str
    domain: str
    language: str
    date: str
    copies: int
    places: list[RowPlace]
    stage: str
    rule: str
    detail: str
    cut: list[CutPiece]
    duplicates: list[Replaced]
    reason: str


def trace(corpus: Path, named: str) -> list[Traced]:
    """What became of the documents of that id, address or raw record; pieces of a long one count as its.

    Each has its columns without the text and a `status`: `kept`, with the `places` (file and row) at which it
    stands, or `removed`, with stage, rule and detail. `cut` are the pieces that were taken out of it, and
    `duplicates` the documents that were removed as its copies. A record that could not be read is `skipped`.

    Raises:
        HeadstartError: the corpus has no such document.
    """
    corpus_manifest(corpus)
    # By id and source: of records with one id all but the first are called ID@SOURCE, and are meant, too.
    found: dict[tuple[str, str], Traced] = {}
    for file, row, document in _rows(corpus / "documents", named, [*_DOCUMENT, "copies"]):
        key = document["id"], document["source"]
        one = found.setdefault(key, {**document, "status": "kept", "places": []})
        one["places"].append({"file": file, "row": row})
    for _, _, document in _rows(corpus / "removed", named, [*_DOCUMENT, "stage", "rule", "detail"]):
        found[document["id"], document["source"]] = {**document, "status": "removed"}
    for (identity, _), one in found.items():
        one["cut"] = cast(list[CutPiece], _equal(corpus / "pieces", "id", identity))
        columns = ["id", "url", "detail"]
        one["duplicates"] = cast(list[Replaced], _equal(corpus / "removed", "kept", identity, columns))
    unread: list[Traced] = [
        {"source": one["source"], "reason": one["reason"], "status": "skipped"}
        for one in read_json_lines(corpus / "skipped.jsonl", SkippedRecord)
        if one["source"] == named
    ]
    if not found and not unread:
        raise HeadstartError(f"{corpus} has no document with the id, address or source {named!r}; check it")
    return [found[key] for key in sorted(found)] + unread


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.parquet")) if folder.is_dir() else []


def _rows(folder: Path, named: str, columns: list[str]) -> Iterator[tuple[str, int, Traced]]:
    """File, row and columns of the documents that are meant, in bounded memory."""
    for path in _files(folder):
        with pq.ParquetFile(path) as file:
            first = 0
            for batch in file.iter_batches(8_192, columns=columns):
                record = pc.replace_substring_regex(batch["id"], r"#\d{4,}$", "")
                renamed = pc.binary_join_element_wise(pa.scalar(named), batch["source"], "@")
                meant = pc.or_(pc.equal(record, named), pc.equal(record, renamed))
                meant = pc.or_(meant, pc.equal(batch["id"], named))
                for column in ("url", "source"):
                    meant = pc.or_(meant, pc.equal(batch[column], named))
                meant = pc.fill_null(meant, False)
                for row in pc.indices_nonzero(meant).to_pylist():
                    (document,) = batch.slice(row, 1).to_pylist()
                    yield f"{folder.name}/{path.name}", first + row, document
                first += len(batch)


def _equal(folder: Path, column: str, value: str, columns: list[str] | None = None) -> list[object]:
    """The rows of a folder's files in which a column has a value."""
    tables = [
        pq.read_table(path, columns=columns, filters=pc.field(column) == pa.scalar(value))
        for path in _files(folder)
    ]
    return [row for table in tables for row in table.to_pylist()]


def raw_record(corpus: Path, source: str, within: Sequence[Path] | None = None) -> Raw:
    """The raw record that a document was made from, read again from the file that it came from.

    Args:
        corpus: the corpus folder.
        source: the document's, as in `crawl-00.warc.gz@48213`.
        within: folders that alone may be read; None: wherever the corpus says.

    Raises:
        HeadstartError: the file is gone, is another one by now, or may not be read.
    """
    domains, fields = _reading_settings(corpus)
    for given in corpus_manifest(corpus)["inputs"]:
        if source != given["path"] and not source.startswith((f"{given['path']}@", f"{given['path']}:")):
            continue
        _check_place(given["address"], within)
        (now, *_), _ = find_sources([given["address"]])
        if now.digest != given["digest"]:
            raise HeadstartError(f"{given['address']} has changed since; {source} may be gone")
        same = Source(now.address, given["path"], now.format, now.size, now.digest)
        for record in read(Task((same,), 0, 1), domains, fields):
            if isinstance(record, Raw) and record.source == source:
                return record
    raise HeadstartError(f"no input of {corpus} holds the record {source!r}; check the source")


def _reading_settings(corpus: Path) -> tuple[dict[str, str], Fields]:
    """How the corpus names domains and fields. The recipe is not loaded: that would run its extensions."""
    settings = read_yaml(corpus / "recipe.yaml")[0]
    domains, fields = (
        checked(settings.get(name) or {}, dict[str, str], corpus / "recipe.yaml")
        for name in ("domains", "fields")
    )
    return domains, fields


def _check_place(address: str, within: Sequence[Path] | None) -> None:
    if within is None:
        return
    if is_remote(address) or not any(Path(address).resolve().is_relative_to(folder) for folder in within):
        raise HeadstartError(
            f"{address} lies outside of the folders that may be read here; name its folder, too"
        )
