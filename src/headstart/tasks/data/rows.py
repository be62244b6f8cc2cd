"""Rows out of the files in which people keep labelled text, one at a time.

CSV, TSV, JSONL, JSON (a list of objects, or SQuAD's), Parquet, CoNLL columns and plain text, each also
gzipped (told by its first bytes, not by its name), and folders of texts by class. Every row comes with its
line, so that an error can name it.
"""

import codecs
import csv
import gzip
import io
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from headstart.errors import HeadstartError

MAX_LINE = 8 << 20
"""Bytes; a longer line is never held in memory. A text of 1 MB fits in, however it is escaped."""
MAX_FIELD = 64 << 20
"""Characters in one CSV field, which may span lines; more means a quotation mark left open."""
PARQUET_BATCH = 1024

FORMATS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".parquet": "parquet",
    ".conll": "conll",
    ".bio": "conll",
    ".iob": "conll",
    ".txt": "text",
}
TOO_LONG = object()
"""Stands for a line that was longer than `MAX_LINE`."""
MAX_DOCUMENT = 2 << 30
"""Bytes of a JSON document, which has to be held as a whole."""

TableRow = dict[str, Any]
"""The columns of a row of a table or JSON file, with what stands in them."""
Row = tuple[int, Any]
"""The line (from 1; the row in Parquet and JSON lists) and a dict of its columns, or `TOO_LONG`."""


def format_of(path: Path) -> str | None:
    """What a file's name says that it holds; None for names that are no data."""
    name = path.name.lower().removesuffix(".gz")
    return FORMATS.get(Path(name).suffix)


def read_rows(path: Path, strict: bool = True, text_as: str = "text") -> Iterator[Row]:
    """Yield the rows of a file, in constant memory.

    CoNLL sentences become rows with `tokens` and `tags`, lines of plain text rows with `text`.

    Args:
        path: a data file, or `-` for standard input: lines of text, or JSON lines where it begins with `{`.
        strict: bytes that are no UTF-8 are an error; otherwise they become U+FFFD.
        text_as: what a `.txt` file holds: "text", an input a line, or "conll".

    Raises:
        HeadstartError: no such file, an unknown or broken format, a truncated archive, another encoding.
    """
    if str(path) == "-":
        incoming = io.BufferedReader(sys.stdin.buffer)  # type: ignore[type-var]
        kind = "jsonl" if incoming.peek(1)[:1] == b"{" else "text"
        yield from _parse(kind, "standard input", incoming, strict)
        return
    named = format_of(path)
    if named is None:
        raise HeadstartError(
            f"{path}: no format is known by that name; known: {', '.join(FORMATS)}, also with .gz"
        )
    if not path.is_file():
        raise HeadstartError(
            f"{path} is a folder, not a file" if path.is_dir() else f"there is no file {path}"
        )
    if named == "parquet":
        yield from _parquet(path)
        return
    with _open(path) as stream:
        yield from _parse(text_as if named == "text" else named, str(path), stream, strict)


@contextmanager
def _open(path: Path) -> Iterator[BinaryIO]:
    """The bytes of a file, unpacked where it is gzip; binary files are refused."""
    with path.open("rb") as plain:
        packed = plain.read(2) == b"\x1f\x8b"
        plain.seek(0)
        stream: Any = io.BufferedReader(gzip.GzipFile(fileobj=plain)) if packed else plain
        try:
            start = stream.peek(4096)[:4096] if packed else plain.read(4096)
            if not packed:
                plain.seek(0)
            if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                raise HeadstartError(f"{path} is UTF-16 text; save it as UTF-8")
            if b"\0" in start:
                raise HeadstartError(f"{path} is a binary file, not {format_of(path)} text; check the path")
            yield stream
        except EOFError:
            raise HeadstartError(f"{path} is a truncated gzip file; fetch it again") from None
        except (zlib.error, gzip.BadGzipFile) as error:
            raise HeadstartError(f"{path} is a damaged gzip file ({error}); fetch it again") from None


def _parse(kind: str, name: str, stream: BinaryIO, strict: bool) -> Iterator[Row]:
    if kind == "json":
        return _json(name, stream, strict)
    lines = _lines(name, stream, strict)
    if kind in ("csv", "tsv"):
        return _table(name, lines, "\t" if kind == "tsv" else ",")
    if kind == "jsonl":
        return _jsonl(name, lines)
    if kind == "conll":
        return _conll(name, lines)
    return ((number, line if line is TOO_LONG else {"text": line}) for number, line in lines)


def _lines(name: str, stream: BinaryIO, strict: bool) -> Iterator[Row]:
    """Numbered lines without their ends; one over `MAX_LINE` passes as `TOO_LONG`."""
    number = 0
    while line := stream.readline(MAX_LINE):
        number += 1
        if len(line) == MAX_LINE and not line.endswith(b"\n"):
            while (rest := stream.readline(MAX_LINE)) and not rest.endswith(b"\n"):
                pass
            yield number, TOO_LONG
            continue
        if number == 1:
            line = line.removeprefix(codecs.BOM_UTF8)
        try:
            text = line.decode("utf-8", errors="strict" if strict else "replace")
        except UnicodeDecodeError as error:
            raise HeadstartError(
                f"{name} line {number}: byte {line[error.start]:#04x} at place {error.start + 1} is not "
                "UTF-8; save the file as UTF-8 (for a Latin-1 file: iconv -f latin1 -t utf-8)"
            ) from None
        yield number, text.rstrip("\r\n")


def _json(name: str, stream: BinaryIO, strict: bool) -> Iterator[Row]:
    """A JSON document: a list of objects, SQuAD's articles, or, as many name it so, JSON lines."""
    content = stream.read(MAX_DOCUMENT).removeprefix(codecs.BOM_UTF8)
    try:
        document = orjson.loads(content)
    except orjson.JSONDecodeError:
        yield from _jsonl(name, _lines(name, io.BytesIO(content), strict))
        return
    if isinstance(document, dict) and isinstance(document.get("data"), list):
        rows = document["data"]
        if any(isinstance(row, dict) and "paragraphs" in row for row in rows):
            yield from enumerate(_squad(name, rows), 1)
            return
    else:
        rows = document if isinstance(document, list) else [document]
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise HeadstartError(f'{name}: item {number} of the list is no object, such as {{"text": ...}}')
        yield number, row


def _squad(name: str, articles: list[Any]) -> Iterator[dict[str, Any]]:
    """A row for each question of SQuAD's nested articles (version 1 and 2)."""
    number = 0
    try:
        for article in articles:
            for paragraph in article["paragraphs"]:
                for question in paragraph["qas"]:
                    number += 1
                    answers = question.get("answers") or []
                    yield {
                        "id": question.get("id", str(number)),
                        "title": article.get("title", ""),
                        "question": question["question"],
                        "context": paragraph["context"],
                        "answers": {
                            "text": [answer["text"] for answer in answers],
                            "answer_start": [answer["answer_start"] for answer in answers],
                        },
                        "is_impossible": bool(question.get("is_impossible", False)),
                    }
    except (KeyError, TypeError, AttributeError) as error:
        raise HeadstartError(
            f"{name} is not SQuAD's JSON: behind question {number:,} something lacks {error}; wanted "
            "data > paragraphs > context and qas > question and answers > text and answer_start"
        ) from None


def is_class_folder(path: Path) -> bool:
    """Whether a folder holds a folder of `.txt` files for every class."""
    return path.is_dir() and sum(any(one.glob("*.txt")) for one in path.iterdir() if one.is_dir()) > 1


def read_class_folder(path: Path) -> Iterator[tuple[Path, dict[str, str]]]:
    """Every `.txt` file in the folders of a folder: its path, and `text` and `label`, the folder's name."""
    for file in sorted(path.glob("*/*.txt")):
        if file.parent.name.startswith(".") or not file.is_file():
            continue
        content = file.read_bytes().removeprefix(codecs.BOM_UTF8)
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError as error:
            raise HeadstartError(
                f"{file}: byte {content[error.start]:#04x} at place {error.start + 1} is not UTF-8; save the "
                "file as UTF-8 (for a Latin-1 file: iconv -f latin1 -t utf-8)"
            ) from None
        yield file, {"text": text, "label": file.parent.name}


def _jsonl(name: str, lines: Iterator[Row]) -> Iterator[Row]:
    for number, line in lines:
        if line is TOO_LONG:
            yield number, TOO_LONG
            continue
        if not line.strip():
            continue
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            hint = (
                "; JSONL holds one object a line, not one document" if number == 1 and line[0] in "[{" else ""
            )
            raise HeadstartError(f"{name} line {number} is not valid JSON ({error}){hint}") from None
        if not isinstance(row, dict):
            raise HeadstartError(
                f'{name} line {number} holds no JSON object, such as {{"text": ..., "label": ...}}'
            )
        yield number, row


def _table(name: str, lines: Iterator[Row], delimiter: str) -> Iterator[Row]:
    """Rows of CSV or TSV whose first line names the columns."""
    long_lines: list[int] = []

    def texts() -> Iterator[str]:
        for number, line in lines:
            if line is TOO_LONG:
                long_lines.append(number)
                line = ""
            yield line + "\n"

    csv.field_size_limit(MAX_FIELD)
    # Tab-separated files seldom quote, and a lone quotation mark in a text must not swallow the rest.
    reader = csv.reader(
        texts(), delimiter=delimiter, quoting=csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL
    )
    header: list[str] | None = None
    try:
        for fields in reader:
            while long_lines:
                yield long_lines.pop(0), TOO_LONG
            if not fields:
                continue
            if header is None:
                header = [field.strip() for field in fields]
                continue
            if len(fields) != len(header):
                raise HeadstartError(
                    f"{name} line {reader.line_num} has {len(fields)} columns, its first line {len(header)}; "
                    "quote texts that hold the delimiter or line breaks"
                )
            yield reader.line_num, dict(zip(header, fields, strict=True))
    except csv.Error as error:
        raise HeadstartError(
            f"{name} line {reader.line_num}: {error}; is a quotation mark left open?"
        ) from None
    while long_lines:
        yield long_lines.pop(0), TOO_LONG


def _conll(name: str, lines: Iterator[Row]) -> Iterator[Row]:
    """Sentences of CoNLL: a word a line, the word first and its tag last, an empty line between sentences."""
    tokens: list[str] = []
    tags: list[str] = []
    first = 1
    for number, line in lines:
        if line is TOO_LONG:
            raise HeadstartError(
                f"{name} line {number} is over {MAX_LINE >> 20} MB long; CoNLL has a word a line"
            )
        if not line.strip() or line.startswith("-DOCSTART-"):
            if tokens:
                yield first, {"tokens": tokens, "tags": tags}
            tokens, tags = [], []
            continue
        columns = line.split("\t") if "\t" in line else line.split()
        if len(columns) < 2:
            raise HeadstartError(
                f"{name} line {number} has one column; CoNLL has a word and its tag on a line"
            )
        if not tokens:
            first = number
        tokens.append(columns[0].strip())
        tags.append(columns[-1].strip())
    if tokens:
        yield first, {"tokens": tokens, "tags": tags}


def _parquet(path: Path) -> Iterator[Row]:
    try:
        number = 0
        for batch in pq.ParquetFile(path).iter_batches(PARQUET_BATCH):
            for row in batch.to_pylist():
                number += 1
                yield number, row
    except (pa.ArrowInvalid, OSError) as error:
        reason = str(error).splitlines()[0]
        raise HeadstartError(f"{path} is not a readable Parquet file ({reason})") from None
