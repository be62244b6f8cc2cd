"""Rows with named fields: JSON, CSV, TSV and Parquet."""

import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from headstart.corpus.readers.charsets import WIDE_MARKS, codec_for, decode, decode_as
from headstart.corpus.readers.delimited import records
from headstart.corpus.readers.json_values import values_in
from headstart.corpus.readers.records import MAX_TEXT, Raw, Skip, is_binary
from headstart.corpus.readers.rows import from_row, without_half_pairs
from headstart.corpus.readers.sources import Source
from headstart.corpus.readers.storage import (
    Content,
    mapped,
    numbered_lines,
    open_file,
    unpacked,
    unpacked_file,
    without_mark,
)
from headstart.folder import JSONObject

ROWS_PER_BLOCK = 256  # of a file that is read from its beginning: parts take turns
ROWS_AT_ONCE = 64  # of a Parquet file
_SAMPLE = 1 << 20  # bytes by which the charset of a table is told
_DELIMITERS = (
    ",",
    "\t",
    ";",
    "|",
)  # of tables whose names of columns are parted by another than the usual sign
_MARK = b"\xef\xbb\xbf"
_NAMED, _NAME_SHOWN = 8, 40  # columns of a table that a reason names, and characters of each

Fields = Mapping[str, str]


def read_jsonl(source: Source, part: int, parts: int, fields: Fields) -> Iterator[Raw | Skip]:
    """The lines of one part of a JSONL file, or the values of one that is a list or of several lines each.

    A line's place is its number or, in a plain file that is read in parts, its offset: `file.jsonl@12345`.
    """
    lines: Iterator[tuple[str, bytes | str]]
    if _has_no_value_a_line(source.address):
        lines = _values_by_number(source, part, parts)
    elif parts > 1 and not source.packed and not _beginning(source.address).startswith(WIDE_MARKS):
        lines = _lines_from_offsets(source, part, parts)
    else:
        lines = _lines_by_number(source, part, parts)
    for place, line in lines:
        if isinstance(line, str):
            yield Skip(place, line)
        elif line.strip():
            yield from _parse(line, place, fields)


def _beginning(address: str) -> bytes:
    return next((chunk for chunk in unpacked(address) if isinstance(chunk, bytes) and chunk), b"")


def _has_no_value_a_line(address: str) -> bool:
    """Whether a file is a list, or values over several lines each."""
    beginning = decode(_beginning(address)[:4096])[0].lstrip("\ufeff \t\r\n")
    if beginning.startswith("["):
        return True
    first, _, rest = beginning.partition("\n")
    first = first.strip()
    if not first.startswith("{") or "}," in first:
        return False
    # Behind `{` and `,` comes the name of a field; where a row comes, the first line is but damaged.
    return first.endswith(("[", ":")) or (first.endswith(("{", ",")) and rest.lstrip()[:1] in ('"', "}"))


def _values_by_number(source: Source, part: int, parts: int) -> Iterator[tuple[str, bytes | str]]:
    for number, value in enumerate(values_in(without_mark(unpacked(source.address)), MAX_TEXT), 1):
        if (number - 1) // ROWS_PER_BLOCK % parts == part:
            yield f"{source.label}:{number}", value


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


def _parse(line: bytes, place: str, fields: Fields) -> Iterator[Raw | Skip]:
    """The row of a line; rows, where it has several, or one that holds a list of them."""
    value = value_of(line)
    if isinstance(value, ValueError):
        several = [value_of(one) for one in values_in([line], MAX_TEXT) if isinstance(one, bytes)]
        if several and not any(isinstance(one, Exception) for one in several):
            for number, one in enumerate(several, 1):
                yield _row(one, f"{place}.{number}" if len(several) > 1 else place, fields)
            return
    if isinstance(value, Exception):
        yield Skip(place, "invalid UTF-8" if isinstance(value, UnicodeError) else "invalid JSON")
    elif (rows := _rows_within(value, fields)) is not None:
        for number, one in enumerate(rows, 1):
            yield _row(one, f"{place}.{number}", fields)
    else:
        yield _row(value, place, fields)


def _row(value: Any, place: str, fields: Fields) -> Raw | Skip:
    return from_row(value, place, fields) if isinstance(value, dict) else Skip(place, "not a JSON object")


def _rows_within(value: Any, fields: Fields) -> list[Any] | None:
    """The rows of an object such as `{"version": 1, "data": [...]}`, which is no row itself."""
    if not isinstance(value, dict) or _can_name(list(value), fields):
        return None
    lists = [one for one in value.values() if isinstance(one, list) and one and isinstance(one[0], dict)]
    return lists[0] if len(lists) == 1 and _can_name(list(lists[0][0]), fields) else None


def value_of(content: bytes) -> Any:
    """A value of JSON, also as Python writes it, with NaN and halves of surrogate pairs; or an error."""
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
    end = _line_end_of_table(source.address)
    codec = _codec_of_table(source.address, end)
    if codec is None:
        if part == 0:
            yield Skip(source.label, "binary file")
        return
    fault: list[Skip] = []

    def lines() -> Iterator[str]:
        for number, line in numbered_lines(source.address, MAX_TEXT, end):
            if isinstance(line, str):
                fault.append(Skip(f"{source.label}:{number}", line))
                if line != "line too long":
                    return
            else:
                yield decode_as(line, codec).removesuffix("\r")

    delimiter = _delimiter(source.address, codec, fields, end)
    names: list[str] | None = None
    for number, (line_number, row) in enumerate(records(lines(), delimiter, MAX_TEXT)):
        if names is None:
            if _names_delimiter(row, delimiter):
                continue
            names = _told_apart([name.strip() for name in row])
            if not _can_name(names, fields):
                if part == 0:
                    yield Skip(source.label, _no_text_among(names))
                return
            continue
        while len(row) > len(names) and not row[-1]:
            row.pop()
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


def _told_apart(names: list[str]) -> list[str]:
    """The names of columns, numbered from the second of one name on, as pandas does: `text`, `text.1`."""
    before: Counter[str] = Counter()
    found = []
    for name in names:
        found.append(f"{name}.{before[name]}" if before[name] else name)
        before[name] += 1
    return found


def _no_text_among(names: Sequence[str]) -> str:
    """Why a table is skipped, with the columns that it has and the setting that names one."""
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    named = ", ".join(repr(name[:_NAME_SHOWN]) for name in names[:_NAMED])
    return f"no text or html column among {named}{more}: fields={{text: NAME}} reads another"


def _line_end_of_table(address: str) -> bytes:
    """What ends the lines of a file: spreadsheets of old Macs write CR alone."""
    beginning = _beginning(address)
    return b"\r" if b"\r" in beginning and b"\n" not in beginning else b"\n"


def _delimiter(address: str, codec: str, fields: Fields, end: bytes) -> str:
    """What stands between cells: the sign of the file's kind, or else that between the names of columns."""
    usual = "\t" if ".tsv" in address.lower() else ","
    head = [
        decode_as(line, codec).removesuffix("\r")
        for _, line in itertools.islice(numbered_lines(address, MAX_TEXT, end), 2)
        if isinstance(line, bytes)
    ]
    for sign in (usual, *_DELIMITERS):
        named = [line for line in head if not _names_delimiter([line], sign)]
        names = [name.strip(' "') for name in named[0].split(sign)] if named else []
        if len(names) > 1 and _can_name(names, fields):
            return sign
    return usual


def _names_delimiter(row: list[str], delimiter: str) -> bool:
    """Whether it is the line `sep=;` that Excel writes before a table."""
    return delimiter.join(row).strip('"') in {f"sep={sign}" for sign in (",", *_DELIMITERS)}


def _codec_of_table(address: str, end: bytes) -> str | None:
    """The one charset of a file, told by its first lines that are no ASCII; None: it is no text."""
    sample, read = bytearray(), 0
    for number, line in numbered_lines(address, MAX_TEXT, end):
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
    """The rows of one part of a Parquet file; a damaged row group costs itself alone."""
    try:
        opened = unpacked_file(source.address) if source.packed else open_file(source.address)
        with opened, pq.ParquetFile(opened) as file:
            if not _can_name(file.schema_arrow.names, fields):
                if part == 0:
                    yield Skip(source.label, _no_text_among(file.schema_arrow.names))
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
                    yield from _rows_of_group(file, group, start, stop, source.label, fields)
                at += rows
    except (pa.ArrowException, OSError) as error:
        yield Skip(source.label, f"broken Parquet: {_first_line(error)}")


def _rows_of_group(
    file: pq.ParquetFile, group: int, start: int, stop: int, label: str, fields: Fields
) -> Iterator[Raw | Skip]:
    done = start
    try:
        for record in _rows(file, group, start, stop, label, fields):
            yield record
            done += 1
    except (pa.ArrowException, OSError) as error:
        yield Skip(
            f"{label}:{group}.{done}", f"broken Parquet: {stop - done:,} rows lost: {_first_line(error)}"
        )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _rows(
    file: pq.ParquetFile, group: int, start: int, stop: int, label: str, fields: Fields
) -> Iterator[Raw | Skip]:
    """Rows [start, stop) of a row group, in bounded memory."""
    at = 0
    for batch in file.iter_batches(ROWS_AT_ONCE, row_groups=[group], use_threads=False):
        wanted = batch.slice(max(start - at, 0), max(min(stop - at, len(batch)) - max(start - at, 0), 0))
        for offset, row in enumerate(_dicts(wanted, fields), max(start, at)):
            place = f"{label}:{group}.{offset}"
            yield Skip(place, "invalid UTF-8") if row is None else from_row(row, place, fields)
        at += len(batch)
        if at >= stop:
            return


def _dicts(batch: pa.RecordBatch, fields: Fields) -> list[JSONObject | None]:
    """The rows of a batch, their bytes as text; None for one whose text is in an unknown charset."""
    batch = batch.rename_columns(_told_apart(batch.schema.names))
    texts = [
        name for name, kind in zip(batch.schema.names, batch.schema.types, strict=True) if _is_text(kind)
    ]
    try:
        columns = batch.to_pydict()
    except (
        ValueError,
        OverflowError,
        pa.ArrowException,
    ):  # a text that is none, a moment that Python has not
        columns = {
            name: _values(_as_bytes(column) if name in texts else column)
            for name, column in zip(batch.schema.names, batch.columns, strict=True)
        }
    if not any(isinstance(value, bytes) for name in texts for value in columns[name]):
        return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    wanted = {fields.get(name, name).partition(".")[0] for name in ("text", "html")}
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return [_decoded(row, wanted) for row in rows]


def _is_text(kind: pa.DataType) -> bool:
    tests: list[Callable[[pa.DataType], bool]] = [
        pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view,
        pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view, pa.types.is_fixed_size_binary,
    ]  # fmt: skip
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return any(test(kind) for test in tests)


def _values(column: pa.Array) -> list[Any]:
    """The values of a column, moments as text; None for what cannot be had."""
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp(column.type.unit))  # without the zone, in UTC
    if pa.types.is_temporal(column.type):
        column = column.cast(pa.string())
    try:
        return list(column.to_pylist())
    except (ValueError, OverflowError, pa.ArrowException):
        return [_value(one) for one in column]


def _value(scalar: pa.Scalar) -> Any:
    try:
        return scalar.as_py()
    except (ValueError, OverflowError, pa.ArrowException):
        return None


def _as_bytes(column: pa.Array) -> pa.Array:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return (
        column.cast(pa.large_binary()) if pa.types.is_large_string(column.type) else column.cast(pa.binary())
    )


def _decoded(row: JSONObject, wanted: set[str]) -> JSONObject | None:
    """A row, its bytes as text where they are; None where they are none in the wanted columns."""
    for name, value in row.items():
        if isinstance(value, bytes):
            try:
                row[name] = value.decode()
            except UnicodeDecodeError:
                if codec_for(value) == "utf-8":
                    row[name] = value.decode("utf-8", "replace")
                elif name in wanted:
                    return None
    return row


def _can_name(columns: list[str], fields: Fields) -> bool:
    """Whether some column holds text or HTML."""
    return any(fields.get(name, name).partition(".")[0] in columns for name in ("text", "html")) or any(
        fields.get(name, name) in columns for name in ("text", "html")
    )
