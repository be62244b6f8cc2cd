"""Rows with named fields: JSON, CSV, TSV and Parquet."""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from headstart.corpus.readers.charsets import WIDE_MARKS, codec_for, decode, decode_as
from headstart.corpus.readers.delimited import records
from headstart.corpus.readers.records import MAX_TEXT, Raw, Skip, is_binary
from headstart.corpus.readers.rows import from_row, without_half_pairs
from headstart.corpus.readers.sources import Source
from headstart.corpus.readers.storage import Content, mapped, numbered_lines, open_file, unpacked
from headstart.folder import JSONObject

ROWS_PER_BLOCK = 256  # of a file that is read from its beginning: parts take turns
ROWS_AT_ONCE = 64  # of a Parquet file
_SAMPLE = 1 << 20  # bytes by which the charset of a table is told
_MARK = b"\xef\xbb\xbf"

Fields = Mapping[str, str]


def read_jsonl(source: Source, part: int, parts: int, fields: Fields) -> Iterator[Raw | Skip]:
    """The lines of one part of a JSONL file, or the rows of one that is a list or one object.

    A line's place is its number or, in a plain file that is read in parts, its offset: `file.jsonl@12345`.
    """
    if _may_be_one_value(source.address) and (rows := _rows_of_value(source)) is not None:
        for number, row in enumerate(rows if part == 0 else [], 1):
            place = f"{source.label}:{number}"
            yield from_row(row, place, fields) if isinstance(row, dict) else Skip(place, "not a JSON object")
        return
    lines: Iterator[tuple[str, bytes | str]]
    if parts > 1 and not source.packed and not _beginning(source.address).startswith(WIDE_MARKS):
        lines = _lines_from_offsets(source, part, parts)
    else:
        lines = _lines_by_number(source, part, parts)
    for place, line in lines:
        if isinstance(line, str):
            yield Skip(place, line)
        elif line.strip():
            yield _parse(line, place, fields)


def _beginning(address: str) -> bytes:
    return next((chunk for chunk in unpacked(address) if isinstance(chunk, bytes) and chunk), b"")


def _may_be_one_value(address: str) -> bool:
    """Whether a file is a list, or an object over several lines, and not a value a line."""
    beginning = decode(_beginning(address)[:4096])[0].lstrip("\ufeff \t\r\n")
    if beginning.startswith("["):
        return True
    first = beginning.partition("\n")[0].strip()
    return first == "{" or (first.startswith("{") and first.endswith((",", "[", "{", ":")))


def _rows_of_value(source: Source) -> list[Any] | None:
    """The rows of a file that is a list or one object; None where it is neither, damaged or too large."""
    content = bytearray()
    for chunk in unpacked(source.address):
        if isinstance(chunk, str):
            return None
        content += chunk
        if len(content) > MAX_TEXT:
            return None
    value = _value_of(decode(bytes(content))[0].encode("utf-8", "replace"))
    if isinstance(value, Exception):
        return None
    return value if isinstance(value, list) else [value]


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
            line = "line too long" if end - at > MAX_TEXT else data[at:end].removeprefix(_MARK)
            yield f"{source.label}@{at}", line
            at = end


def _line_end(data: Content, at: int) -> int:
    """Where the next line starts."""
    return (data.find(b"\n", at) + 1) or len(data)


def _parse(line: bytes, place: str, fields: Fields) -> Raw | Skip:
    row = _value_of(line)
    if isinstance(row, Exception):
        return Skip(place, "invalid UTF-8" if isinstance(row, UnicodeError) else "invalid JSON")
    return from_row(row, place, fields) if isinstance(row, dict) else Skip(place, "not a JSON object")


def _value_of(content: bytes) -> Any:
    """A value of JSON, also as Python writes it: with NaN, Infinity and halves of surrogate pairs."""
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        pass
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        if codec_for(content) != "utf-8":
            return error
        text = content.decode("utf-8", "replace")
    try:
        return without_half_pairs(json.loads(text, strict=False))
    except (ValueError, RecursionError) as error:
        return error


def read_csv(source: Source, part: int, parts: int, fields: Fields) -> Iterator[Raw | Skip]:
    """The rows of one part of a CSV or TSV file, whose first row names the columns."""
    codec = _codec_of_table(source.address)
    if codec is None:
        if part == 0:
            yield Skip(source.label, "binary file")
        return
    fault: list[Skip] = []

    def lines() -> Iterator[str]:
        for number, line in numbered_lines(source.address, MAX_TEXT):
            if isinstance(line, str):
                fault.append(Skip(f"{source.label}:{number}", line))
                if line != "line too long":
                    return
            else:
                yield decode_as(line, codec).removesuffix("\r")

    tabs = ".tsv" in source.address.lower()
    names: list[str] | None = None
    for number, (line_number, row) in enumerate(records(lines(), "\t" if tabs else ",", MAX_TEXT)):
        if names is None:
            names = row
            if not _can_name(names, fields):
                if part == 0:
                    yield Skip(source.label, "no text or html column")
                return
            continue
        if (number - 1) // ROWS_PER_BLOCK % parts != part:
            continue
        place = f"{source.label}:{line_number}"
        if len(row) == len(names):
            yield from_row(dict(zip(names, row, strict=True)), place, fields)
        else:
            yield Skip(place, f"{len(row)} cells under {len(names)} names")
    if part == 0:
        if names is None and not fault:
            yield Skip(source.label, "no text or html column")
        yield from fault


def _codec_of_table(address: str) -> str | None:
    """The one charset of a file, told by its first lines that are no ASCII; None: it is no text."""
    sample, read = bytearray(), 0
    for number, line in numbered_lines(address, MAX_TEXT):
        if isinstance(line, str):
            continue
        if number == 1 and is_binary(line):
            return None
        read += len(line)
        if not line.isascii():
            sample += line + b"\n"
        if len(sample) > _SAMPLE or read > 64 * _SAMPLE:
            break
    try:
        sample.decode()
    except UnicodeDecodeError:
        return codec_for(bytes(sample))
    return "utf-8"


def read_parquet(source: Source, part: int, parts: int, fields: Fields) -> Iterator[Raw | Skip]:
    """The rows of one part of a Parquet file."""
    done = 0
    try:
        with open_file(source.address) as opened, pq.ParquetFile(opened) as file:
            if not _can_name(file.schema_arrow.names, fields):
                if part == 0:
                    yield Skip(source.label, "no text or html column")
                return
            total = file.metadata.num_rows
            first, last = total * part // parts, total * (part + 1) // parts
            if not total and part == 0:
                yield Skip(source.label, "no rows")
            at = 0
            for group in range(file.num_row_groups):
                rows = file.metadata.row_group(group).num_rows
                start, stop = max(first - at, 0), min(last - at, rows)
                if start < stop:
                    for record in _rows(file, group, start, stop, source.label, fields):
                        yield record
                        done += 1
                at += rows
    except (pa.ArrowException, OSError) as error:
        reason = f"broken Parquet: {str(error).splitlines()[0][:200]}"
        yield Skip(source.label, f"{reason}; {done:,} rows before it were read" if done else reason)


def _rows(
    file: pq.ParquetFile, group: int, start: int, stop: int, label: str, fields: Fields
) -> Iterator[Raw | Skip]:
    """Rows [start, stop) of a row group, in bounded memory."""
    at = 0
    for batch in file.iter_batches(ROWS_AT_ONCE, row_groups=[group], use_threads=False):
        wanted = batch.slice(max(start - at, 0), max(min(stop - at, len(batch)) - max(start - at, 0), 0))
        for offset, row in enumerate(_dicts(wanted), max(start, at)):
            place = f"{label}:{group}.{offset}"
            yield Skip(place, "invalid UTF-8") if row is None else from_row(row, place, fields)
        at += len(batch)
        if at >= stop:
            return


def _dicts(batch: pa.RecordBatch) -> list[JSONObject | None]:
    """The rows of a batch, their bytes as text; None for one that holds text of an unknown charset."""
    texts = [
        name for name, kind in zip(batch.schema.names, batch.schema.types, strict=True) if _is_text(kind)
    ]
    try:
        columns = batch.to_pydict()
    except UnicodeDecodeError:
        columns = {
            name: (_as_bytes(column) if name in texts else column).to_pylist()
            for name, column in zip(batch.schema.names, batch.columns, strict=True)
        }
    if not any(isinstance(value, bytes) for name in texts for value in columns[name]):
        return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return [
        _decoded(dict(zip(columns, values, strict=True))) for values in zip(*columns.values(), strict=True)
    ]


def _is_text(kind: pa.DataType) -> bool:
    tests: list[Callable[[pa.DataType], bool]] = [
        pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary
    ]  # fmt: skip
    return any(test(kind) for test in tests)


def _as_bytes(column: pa.Array) -> pa.Array:
    return (
        column.cast(pa.large_binary()) if pa.types.is_large_string(column.type) else column.cast(pa.binary())
    )


def _decoded(row: JSONObject) -> JSONObject | None:
    for name, value in row.items():
        if isinstance(value, bytes):
            try:
                row[name] = value.decode()
            except UnicodeDecodeError:
                if codec_for(value) != "utf-8":
                    return None
                row[name] = value.decode("utf-8", "replace")
    return row


def _can_name(columns: list[str], fields: Fields) -> bool:
    """Whether some column holds text or HTML."""
    return any(fields.get(name, name).partition(".")[0] in columns for name in ("text", "html")) or any(
        fields.get(name, name) in columns for name in ("text", "html")
    )
