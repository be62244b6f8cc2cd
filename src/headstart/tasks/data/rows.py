"""Rows out of the files in which people keep labelled text, one at a time.

CSV, TSV, JSONL, JSON (a list of objects, SQuAD's, or an annotation tool's), Parquet, Arrow, CoNLL columns and
plain text, each also gzipped, and folders of texts by class. Every row comes with its line, so that an error
can name it.
"""

import codecs
import io
import json
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headstart.errors import HeadstartError
from headstart.folder import JSONObject
from headstart.tasks.data.annotation_tools import label_studio_rows
from headstart.tasks.data.conll import looks_like_conll, read_conll
from headstart.tasks.data.features import class_names, with_names
from headstart.tasks.data.lines import (
    TOO_LONG,
    Row,
    has_marked_labels,
    labels_and_text,
    open_text,
    read_lines,
)
from headstart.tasks.data.nested_rows import flat_row, rows_of, with_parsed_cells
from headstart.tasks.data.tables import first_lines, read_table
from headstart.tasks.data.word_rows import whole_rows

PARQUET_BATCH = 1024
FORMATS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".conll": "conll",
    ".conllu": "conll",
    ".conllup": "conll",
    ".gold_conll": "conll",
    ".v4_gold_conll": "conll",
    ".bio": "conll",
    ".iob": "conll",
    ".iob2": "conll",
    ".bioes": "conll",
    ".bmes": "conll",
    ".txt": "text",
    ".train": "text",
    ".testa": "text",
    ".testb": "text",
}
OWN_NAMES = ("csv", "tsv", "jsonl", "json", "parquet", "arrow")
"""Formats whose files name their columns themselves."""
UNLABELLED = ("unsup", "unlabeled", "unlabelled")
"""Folders of texts without a class beside those of classes (IMDb's)."""
AS_FASTTEXT = "texts behind their labels, __label__NAME, as fastText reads them"
AS_CONLL = "a word a line with its tag, read as CoNLL"
MAX_DOCUMENT = 2 << 30
"""Bytes of a JSON document, which has to be held as a whole."""

TableRow = JSONObject
"""The columns of a row of a table or JSON file, with what stands in them."""


def format_of(path: Path) -> str | None:
    """What a file's name says that it holds; None for names that are no data."""
    name = path.name.lower().removesuffix(".gz")
    return FORMATS.get(Path(name).suffix)


def names_columns(path: Path) -> bool:
    """Whether the columns of a file were named by whoever made it, and not by its format."""
    return path.is_file() and format_of(path) in OWN_NAMES


def read_rows(
    path: Path, strict: bool = True, text_as: str = "text", said: list[str] | None = None
) -> Iterator[Row]:
    """Yield the rows of a file, in constant memory.

    CoNLL sentences become rows with `tokens` and `tags`, lines of plain text rows with `text`; the numbers of
    classes become their names where the data say them (see `features`).

    Args:
        path: a data file, or `-` for standard input: lines of text, or JSON lines where it begins with `{`.
        strict: bytes that are no UTF-8 are an error; otherwise they become U+FFFD.
        text_as: what a `.txt` file holds where it does not show it: "text", an input a line, or "conll".
        said: takes up what there is to say of the format.

    Raises:
        HeadstartError: no such file, an unknown or broken format, a truncated archive, another encoding.
    """
    said = said if said is not None else []
    if str(path) == "-":
        incoming = io.BufferedReader(sys.stdin.buffer)  # type: ignore[type-var]
        kind = "jsonl" if incoming.peek(1)[:1] == b"{" else "text"
        yield from _parse(kind, "standard input", incoming, strict, said)
        return
    if not path.is_file():
        raise HeadstartError(
            f"{path} is a folder, not a file" if path.is_dir() else f"there is no file {path}"
        )
    named = format_of(path)
    if named is None:
        raise HeadstartError(
            f"{path}: no format is known by that name; known: {', '.join(FORMATS)}, also with .gz"
        )
    if named in ("parquet", "arrow"):
        rows = _parquet(path) if named == "parquet" else _arrow(path)
        packed = ((number, flat_row(row)) for number, row in rows)
        yield from whole_rows(with_names(with_parsed_cells(packed), class_names(path)), said)
        return
    names = class_names(path) if named in OWN_NAMES else {}
    kind = text_as if named == "text" else named
    if kind == "text" and (labelled := labelled_text(path)) is not None:
        said.append(AS_FASTTEXT if labelled == "fasttext" else AS_CONLL)
        kind = labelled
    with open_text(path, named) as stream:
        rows = _parse(kind, str(path), stream, strict, said)
        if named in OWN_NAMES:
            rows = whole_rows(with_names(with_parsed_cells(rows), names), said)
        yield from rows


def _parse(kind: str, name: str, stream: BinaryIO, strict: bool, said: list[str]) -> Iterator[Row]:
    if kind == "json":
        return _json(name, stream, strict, said)
    lines = read_lines(name, stream, strict)
    if kind in ("csv", "tsv"):
        head = first_lines(lines)
        if looks_like_conll([line for _, line in head if line is not TOO_LONG]):
            said.append(AS_CONLL)
            return read_conll(name, chain(head, lines), said)
        return read_table(name, chain(head, lines), "\t" if kind == "tsv" else ",", said)
    if kind == "jsonl":
        return _jsonl(name, lines)
    if kind == "conll":
        return read_conll(name, lines, said)
    if kind == "fasttext":
        return ((number, labels_and_text(line)) for number, line in lines)
    return ((number, line if line is TOO_LONG else {"text": line}) for number, line in lines)


def labelled_text(path: Path) -> str | None:
    """What a file of text is where it holds labels: "conll", a word a line and a tag behind it, as CoNLL-2003
    is handed out, or "fasttext", a text a line behind its labels; None where it holds none."""
    try:
        with open_text(path, "text") as stream:
            head = first_lines(read_lines(str(path), stream, strict=False))
    except HeadstartError:
        return None
    lines = [line for _, line in head if line is not TOO_LONG]
    return "fasttext" if has_marked_labels(lines) else "conll" if looks_like_conll(lines) else None


def _json(name: str, stream: BinaryIO, strict: bool, said: list[str]) -> Iterator[Row]:
    """A JSON document: a list of objects, pandas' table, SQuAD's articles, or JSON lines under that name."""
    content = stream.read(MAX_DOCUMENT).removeprefix(codecs.BOM_UTF8)
    try:
        document = _loaded(content)
    except ValueError:
        yield from _jsonl(name, read_lines(name, io.BytesIO(content), strict))
        return
    rows = rows_of(document)
    articles = _articles(rows)
    if articles is not None:
        yield from enumerate(_squad(name, articles), 1)
        return
    for number, row in enumerate(label_studio_rows([flat_row(row) for row in rows]), 1):
        if not isinstance(row, dict | None):
            raise HeadstartError(f'{name}: item {number} of the list is no object, such as {{"text": ...}}')
        if row is not None:
            yield number, row
    if None in rows:
        said.append(f"{rows.count(None):,} items of the list that hold nothing (null) left out")


def _articles(rows: list[Any]) -> list[Any] | None:
    """SQuAD's articles, or its paragraphs alone as one; None for other rows."""
    if any(isinstance(row, dict) and "paragraphs" in row for row in rows):
        return rows
    if any(isinstance(row, dict) and {"context", "qas"} <= set(row) for row in rows):
        return [{"paragraphs": rows}]
    return None


def _loaded(content: str | bytes) -> Any:
    """A JSON document, also where Python or pandas wrote NaN for a missing number, which JSON has not.

    Raises:
        ValueError: it is none.
    """
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        text = content if isinstance(content, str) else content.decode("utf-8", errors="replace")
        if "NaN" not in text:
            raise
        try:
            return json.loads(text)
        except RecursionError:
            raise ValueError("lists or objects too deep within each other") from None


def _squad(name: str, articles: list[Any]) -> Iterator[JSONObject]:
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
                        "is_impossible": question.get("is_impossible", False),
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
        if file.parent.name.startswith(".") or file.parent.name in UNLABELLED or not file.is_file():
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
            row = flat_row(_loaded(line))
        except ValueError as error:
            hint = (
                "; JSONL holds one object a line, not one document" if number == 1 and line[0] in "[{" else ""
            )
            raise HeadstartError(f"{name} line {number} is not valid JSON ({error}){hint}") from None
        if not isinstance(row, dict):
            raise HeadstartError(
                f'{name} line {number} holds no JSON object, such as {{"text": ..., "label": ...}}'
            )
        yield number, row


def _parquet(path: Path) -> Iterator[Row]:
    """The rows of a Parquet file, in which rows with the same text share it.

    A text that many rows have stands once in the file: a few kilobytes would be gigabytes of rows.
    """
    try:
        number = 0
        with pq.ParquetFile(path) as file:
            texts = [field.name for field in file.schema_arrow if pa.types.is_string(field.type)]
        with pq.ParquetFile(path, read_dictionary=texts) as file:
            for batch in file.iter_batches(PARQUET_BATCH):
                columns = [_cells(column) for column in batch.columns]
                for cells in zip(*columns, strict=True):
                    number += 1
                    yield number, dict(zip(batch.schema.names, cells, strict=True))
    except (pa.ArrowInvalid, OSError) as error:
        reason = str(error).splitlines()[0]
        raise HeadstartError(f"{path} is not a readable Parquet file ({reason})") from None


def _cells(column: pa.Array) -> list[Any]:
    """The cells of a column; of texts that are numbers of values, each value once."""
    if not pa.types.is_dictionary(column.type):
        return list(column.to_pylist())
    used = pc.unique(column.indices.drop_null())
    values = [*column.dictionary.take(used).to_pylist(), None]
    places = pc.fill_null(pc.index_in(column.indices, used), len(values) - 1)
    return [values[place] for place in places.to_pylist()]


def _arrow(path: Path) -> Iterator[Row]:
    """The rows of an Arrow file or stream, as `save_to_disk` of Hugging Face's datasets writes it."""
    try:
        number = 0
        with pa.memory_map(str(path)) as source:
            try:
                batches: Any = pa.ipc.open_stream(source)
            except pa.ArrowInvalid:
                file = pa.ipc.open_file(source)
                batches = (file.get_batch(i) for i in range(file.num_record_batches))
            for batch in batches:
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    except (pa.ArrowInvalid, OSError) as error:
        reason = str(error).splitlines()[0]
        raise HeadstartError(f"{path} is not a readable Arrow file ({reason})") from None
