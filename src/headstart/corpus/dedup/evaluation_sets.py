"""The items of evaluation files, whatever their format: what must not be in a corpus.

An item is a row of JSONL, CSV, TSV or Parquet or of a list in JSON, with all its strings; a passage or a
question with its answers in JSON of SQuAD's kind; or a paragraph of any other text. Files may be packed, and
folders hold several.
"""

import csv
import io
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from headstart.corpus.readers.json_values import values_in
from headstart.corpus.readers.read import read
from headstart.corpus.readers.records import MAX_TEXT, Raw
from headstart.corpus.readers.sources import FORMATS, find_sources, plan_tasks
from headstart.corpus.readers.storage import PACKINGS
from headstart.corpus.readers.tables import value_of
from headstart.corpus.readers.text_files import unpacked_text
from headstart.errors import HeadstartError

_ROWS = {".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet"}
_HEADER = re.compile(r"[\w -]{0,30}")


def items(paths: list[Path]) -> Iterator[tuple[str, str, str]]:
    """File, name and text of every item.

    Raises:
        HeadstartError: a file is missing, damaged, or of a kind that nobody can tell.
    """
    for path in paths:
        files = sorted(file for file in path.rglob("*") if _suffix(file)) if path.is_dir() else [path]
        if not path.exists():
            raise HeadstartError(f"decontaminate: there is no {path}; check the path")
        for file in files:
            label = file.relative_to(path.parent).as_posix()
            for place, text in _of_file(file):
                yield label, f"{label}:{place}", text


def _suffix(path: Path) -> str | None:
    """The kind of a file by its name, whether packed or not; None where it is unknown."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in PACKINGS:
        suffixes.pop()
    return suffixes[-1] if suffixes and suffixes[-1] in _ROWS | FORMATS.keys() else None


def _of_file(path: Path) -> Iterator[tuple[str, str]]:
    suffix = _suffix(path)
    if suffix in (".jsonl", ".ndjson"):
        for number, line in enumerate(unpacked_text(str(path)).split("\n"), 1):
            if line.strip():
                yield str(number), " ".join(_strings(_parsed(line, f"{path}:{number}")))
    elif suffix == ".json":
        yield from _of_json(_all_of(unpacked_text(str(path)), str(path)))
    elif suffix in (".csv", ".tsv"):
        text = unpacked_text(str(path))
        rows = csv.reader(io.StringIO(text), delimiter="\t" if suffix == ".tsv" else ",")
        for number, row in enumerate(rows, 1):
            if number > 1 or not all(map(_HEADER.fullmatch, row)):
                yield str(number), " ".join(row)
    elif suffix == ".parquet":
        try:
            with pq.ParquetFile(path) as file:
                rows_before = 0
                for batch in file.iter_batches(1024):
                    for number, row in enumerate(batch.to_pylist(), rows_before + 1):
                        yield str(number), " ".join(_strings(row))
                    rows_before += len(batch)
        except (pa.ArrowInvalid, OSError) as error:
            raise HeadstartError(f"{path} cannot be read ({error}); mend it or leave it out") from None
    else:
        for task in plan_tasks(find_sources([path])[0]):
            for record in read(task, {}):
                if isinstance(record, Raw):
                    yield from ((str(n), text) for n, text in enumerate(record.text.split("\n\n"), 1))


def _parsed(text: str, place: str) -> Any:
    value = value_of(text.encode())
    if isinstance(value, Exception):
        raise HeadstartError(f"{place} is not valid JSON ({value}); mend it or leave it out")
    return value


def _all_of(text: str, place: str) -> Any:
    """What a file holds: one value, or a list of those that follow each other, as lines of JSON do."""
    parts = values_in([text.encode()], MAX_TEXT)
    values = [value_of(one) for one in parts if isinstance(one, bytes)]
    if len(values) > 1 and not any(isinstance(one, Exception) for one in values) and text.lstrip()[:1] != "[":
        return values
    return _parsed(text, place)


def _of_json(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """The rows of a list, or of the lists in an object; SQuAD's passages and questions one by one."""
    if isinstance(value, list):
        for number, row in enumerate(value, 1):
            yield from _of_row(row, f"{place}{number}")
    elif isinstance(value, dict) and (lists := {k: v for k, v in value.items() if _is_table(v)}):
        for key, rows in lists.items():
            yield from _of_json(rows, place if len(lists) == 1 else f"{place}{key}.")
    else:
        yield place or "1", " ".join(_strings(value))


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(row, dict) for row in value)


def _of_row(row: Any, place: str) -> Iterator[tuple[str, str]]:
    if not (isinstance(row, dict) and _is_table(row.get("paragraphs"))):
        yield place, " ".join(_strings(row))
        return
    for number, paragraph in enumerate(row["paragraphs"], 1):
        yield f"{place}.{number}", str(paragraph.get("context") or "")
        for question in paragraph.get("qas") or []:
            yield f"{place}.{number}.{question.get('id') or ''}", " ".join(_strings(question))


def _strings(value: Any) -> Iterator[str]:
    """All strings in a nested value, in their order."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from _strings(one)
    elif isinstance(value, list):
        for one in value:
            yield from _strings(one)
    elif isinstance(value, bytes):
        with suppress(UnicodeDecodeError):  # what is no text, as a picture
            yield value.decode()
