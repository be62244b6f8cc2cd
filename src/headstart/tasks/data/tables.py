"""Tables of text, CSV and TSV, in the dialects that people's tools write.

Excel writes semicolons in much of Europe, pandas quotes texts of a TSV that hold quotation marks, Spark puts
a backslash before them. The dialect is told from the first lines, as the one in which all records have as
many fields as the first.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple

from headstart.errors import HeadstartError
from headstart.tasks.data.lines import TOO_LONG, Row

MAX_FIELD = 64 << 20
"""Characters in one CSV field, which may span lines; more means a quotation mark left open."""
HEAD_LINES, HEAD_CHARACTERS = 1000, 1 << 20
"""From which the dialect is told."""
DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}


class Dialect(NamedTuple):
    """How a table's fields are told apart."""

    delimiter: str
    quoted: bool = True
    """Whether quotation marks around a field are no part of it."""
    escaped: bool = False
    """Whether a backslash stands before a quotation mark in a field; else the mark is written twice."""

    def reader(self, lines: Iterable[str], strict: bool = False) -> Any:
        return csv.reader(
            lines,
            delimiter=self.delimiter,
            quoting=csv.QUOTE_MINIMAL if self.quoted else csv.QUOTE_NONE,
            doublequote=not self.escaped,
            escapechar="\\" if self.escaped else None,
            strict=strict,
        )


def read_table(name: str, lines: Iterator[Row], usual: str, said: list[str]) -> Iterator[Row]:
    """Rows of a table whose first line names the columns; the second column of one name is `NAME.1`.

    Args:
        usual: the delimiter that the file's name promises.
        said: takes up what there is to say of the dialect.

    Raises:
        HeadstartError: a row with another number of fields than the first line.
    """
    csv.field_size_limit(MAX_FIELD)
    head = first_lines(lines)
    skipped = 0
    if head and head[0][1] is not TOO_LONG and re.fullmatch(r"sep=.", head[0][1]):
        usual, skipped = head[0][1][-1], 1  # Excel's own way to say it
    dialect = dialect_of([line for _, line in head[skipped:] if line is not TOO_LONG], usual)
    if dialect.delimiter != usual:
        said.append(f"columns are told apart by {DELIMITERS[dialect.delimiter]}")
    long_lines: list[int] = []

    def texts() -> Iterator[str]:
        for number, line in chain(head[skipped:], lines):
            if line is TOO_LONG:
                long_lines.append(number)
                line = ""
            yield line + "\n"

    reader = dialect.reader(texts())
    header: list[str] | None = None
    named: list[str] = []
    again = 0
    try:
        for fields in reader:
            while long_lines:
                yield long_lines.pop(0), TOO_LONG
            if not fields:
                continue
            if header is None:
                named = [field.strip() for field in fields]
                header = _distinct(named)
                continue
            if fields[0].strip() == named[0] and [field.strip() for field in fields] == named:
                again += 1
                continue
            if len(fields) != len(header):
                raise HeadstartError(
                    f"{name} line {reader.line_num + skipped} has {len(fields)} columns, its first line "
                    f"{len(header)}, told apart by {DELIMITERS.get(dialect.delimiter, dialect.delimiter)}; "
                    f"quote "
                    "texts that hold the delimiter or line breaks"
                )
            yield reader.line_num + skipped, dict(zip(header, fields, strict=True))
    except csv.Error as error:
        raise HeadstartError(
            f"{name} line {reader.line_num + skipped}: {error}; is a quotation mark left open?"
        ) from None
    while long_lines:
        yield long_lines.pop(0), TOO_LONG
    if again:
        said.append(f"{again:,} lines that name the columns again, further down, left out")


def first_lines(lines: Iterator[Row]) -> list[Row]:
    """The lines from which a format is told; they are taken out of `lines`."""
    head: list[Row] = []
    size = 0
    for number, line in lines:
        head.append((number, line))
        size += 0 if line is TOO_LONG else len(line)
        if len(head) >= HEAD_LINES or size >= HEAD_CHARACTERS:
            break
    return head


def dialect_of(head: Sequence[str], usual: str) -> Dialect:
    """The first dialect in which all records of the head have the same number of fields, two at least; the
    usual one where there is none."""
    known = [usual, *(delimiter for delimiter in DELIMITERS if delimiter != usual)]
    for delimiter in known:
        # A lone quotation mark in a text must not swallow the rest of a tab-separated file.
        quoted = delimiter != "\t" or _is_quoted(head)
        dialects = [Dialect(delimiter, quoted)]
        if quoted and any('\\"' in line for line in head):
            dialects.append(Dialect(delimiter, escaped=True))
        for dialect in dialects:
            widths = _widths(dialect, head)
            if len(widths) == 1 and min(widths) > 1:
                return dialect
    return Dialect(usual, usual != "\t")


def _records(dialect: Dialect, head: Sequence[str], strict: bool = False) -> list[list[str]] | None:
    """The records of the head, but for one that goes on behind it; None where they break the dialect."""
    found = []
    truncated = len(head) >= HEAD_LINES or sum(map(len, head)) >= HEAD_CHARACTERS
    reader = dialect.reader((line + "\n" for line in head), strict)
    try:
        found += [fields for fields in reader if fields]
    except csv.Error as error:
        if not truncated or "unexpected end" not in str(error):
            return None
    return found[:-1] if truncated else found


def _widths(dialect: Dialect, head: Sequence[str]) -> set[int]:
    return {len(fields) for fields in _records(dialect, head) or ()}


def _is_quoted(head: Sequence[str]) -> bool:
    """Whether a tab-separated file quotes as CSV does: all its quoted fields are whole, and some need it, or
    all of a column are quoted."""
    quoted = _records(Dialect("\t"), head, strict=True)
    if not quoted or len({len(fields) for fields in quoted}) > 1:
        return False
    plain = _records(Dialect("\t", quoted=False), head)
    if not plain or len({len(fields) for fields in plain}) > 1:
        return True
    changed = [
        (a, b)
        for row, other in zip(plain, quoted, strict=False)
        for a, b in zip(row, other, strict=True)
        if a != b
    ]
    if any('"' in field for _, field in changed):
        return True
    return len(plain) > 2 and any(
        all(field.startswith('"') and field.endswith('"') and len(field) > 1 for field in column)
        for column in list(zip(*plain[1:], strict=True))
    )


def _distinct(names: Iterable[str]) -> list[str]:
    """Names of columns, of which a second one of the same name becomes `NAME.1`, as in pandas."""
    found: list[str] = []
    for name in names:
        number, distinct = 0, name
        while distinct in found:
            number += 1
            distinct = f"{name}.{number}"
        found.append(distinct)
    return found
