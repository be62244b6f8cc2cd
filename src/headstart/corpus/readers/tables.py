"""Rows with named fields: JSONL, CSV, TSV and Parquet."""

import csv
from collections.abc import Iterator, Mapping

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from headstart.corpus.readers.records import MAX_TEXT, Raw, Skip, decode, from_row, is_binary
from headstart.corpus.readers.sources import Source
from headstart.corpus.readers.storage import Content, mapped, numbered_lines, open_file

ROWS_PER_BLOCK = 256  # of a file that is read from its beginning: parts take turns
ROWS_AT_ONCE = 64  # of a Parquet file


def read_jsonl(source: Source, part: int, parts: int, fields: Mapping[str, str]) -> Iterator[Raw | Skip]:
    """The lines of one part of a JSONL file.

    A line's place is its number or, in a plain file that is read in parts, its offset: `file.jsonl@12345`.
    """
    lines: Iterator[tuple[str, bytes | str]]
    if parts > 1 and not source.packed:
        lines = _lines_from_offsets(source, part, parts)
    else:
        lines = _lines_by_number(source, part, parts)
    for place, line in lines:
        if isinstance(line, str):
            yield Skip(place, line)
        elif line.strip():
            yield _parse(line, place, fields)


def _lines_by_number(source: Source, part: int, parts: int) -> Iterator[tuple[str, bytes | str]]:
    for number, line in numbered_lines(source.address, MAX_TEXT):
        if number == 1 and not isinstance(line, str) and is_binary(line):
            if part == 0:
                yield source.label, "binary file"
            return
        if (number - 1) // ROWS_PER_BLOCK % parts == part:
            yield f"{source.label}:{number}", line


def _lines_from_offsets(source: Source, part: int, parts: int) -> Iterator[tuple[str, bytes | str]]:
    """The lines that start in one part of the bytes."""
    with mapped(source.address) as data:
        if is_binary(data[:4096]):
            if part == 0:
                yield source.label, "binary file"
            return
        size = len(data)
        first, last = size * part // parts, size * (part + 1) // parts
        at = _line_end(data, first - 1) if first else 0
        while at < last:
            end = _line_end(data, at)
            yield f"{source.label}@{at}", "line too long" if end - at > MAX_TEXT else data[at:end]
            at = end


def _line_end(data: Content, at: int) -> int:
    """Where the next line starts."""
    return (data.find(b"\n", at) + 1) or len(data)


def _parse(line: bytes, place: str, fields: Mapping[str, str]) -> Raw | Skip:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError:
        try:
            line.decode()
        except UnicodeDecodeError:
            return Skip(place, "invalid UTF-8")
        return Skip(place, "invalid JSON")
    if not isinstance(row, dict):
        return Skip(place, "not a JSON object")
    return from_row(row, place, fields)


def read_csv(source: Source, part: int, parts: int, fields: Mapping[str, str]) -> Iterator[Raw | Skip]:
    """The rows of one part of a CSV or TSV file, whose first row names the columns."""
    fault: list[Skip] = []

    def lines() -> Iterator[str]:
        for number, line in numbered_lines(source.address, MAX_TEXT):
            if isinstance(line, str):
                fault.append(Skip(f"{source.label}:{number}", line))
                return
            yield decode(line) + "\n"

    csv.field_size_limit(MAX_TEXT)
    tabs = ".tsv" in source.address.lower()
    rows = csv.reader(lines(), delimiter="\t" if tabs else ",")
    names: list[str] | None = None
    number = 0
    while True:
        place = f"{source.label}:{rows.line_num + 1}"
        row: list[str] | Skip
        try:
            row = next(rows)
        except StopIteration:
            break
        except csv.Error as error:
            row = Skip(place, f"broken CSV: {error}")
        if names is None:
            if isinstance(row, Skip) or not _can_name(row, fields):
                if part == 0:
                    yield Skip(source.label, "no text or html column")
                return
            names = row
            continue
        number += 1
        if not row or (number - 1) // ROWS_PER_BLOCK % parts != part:
            continue
        if isinstance(row, Skip):
            yield row
        elif len(row) != len(names):
            yield Skip(place, f"{len(row)} cells under {len(names)} names")
        else:
            yield from_row(dict(zip(names, row, strict=True)), place, fields)
    if part == 0:
        yield from fault


def read_parquet(source: Source, part: int, parts: int, fields: Mapping[str, str]) -> Iterator[Raw | Skip]:
    """The rows of one part of a Parquet file."""
    try:
        with open_file(source.address) as opened, pq.ParquetFile(opened) as file:
            if not _can_name(file.schema_arrow.names, fields):
                if part == 0:
                    yield Skip(source.label, "no text or html column")
                return
            total = file.metadata.num_rows
            first, last = total * part // parts, total * (part + 1) // parts
            at = 0
            for group in range(file.num_row_groups):
                rows = file.metadata.row_group(group).num_rows
                start, stop = max(first - at, 0), min(last - at, rows)
                if start < stop:
                    yield from _rows(file, group, start, stop, source.label, fields)
                at += rows
    except (pa.ArrowException, OSError) as error:
        yield Skip(source.label, f"broken Parquet: {str(error).splitlines()[0][:200]}")


def _rows(
    file: pq.ParquetFile, group: int, start: int, stop: int, label: str, fields: Mapping[str, str]
) -> Iterator[Raw | Skip]:
    """Rows [start, stop) of a row group, in bounded memory."""
    at = 0
    for batch in file.iter_batches(ROWS_AT_ONCE, row_groups=[group], use_threads=False):
        wanted = batch.slice(max(start - at, 0), max(min(stop - at, len(batch)) - max(start - at, 0), 0))
        for offset, row in enumerate(wanted.to_pylist(), max(start, at)):
            yield from_row(row, f"{label}:{group}.{offset}", fields)
        at += len(batch)
        if at >= stop:
            return


def _can_name(columns: list[str], fields: Mapping[str, str]) -> bool:
    """Whether some column holds text or HTML."""
    return any(fields.get(name, name).partition(".")[0] in columns for name in ("text", "html")) or any(
        fields.get(name, name) in columns for name in ("text", "html")
    )
