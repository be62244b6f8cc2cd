"""CSV and TSV cut into rows, where a row costs itself alone.

Cells may be quoted (RFC 4180), and a quoted one may hold line ends. A quote that opens a cell and is never
closed must not swallow the rows behind it. So a row that does not end on its line is looked at with the lines
that follow: if up to the closing quote each of them is a row of its own, the quote is a sign like any other.
"""

import csv
from collections import deque
from collections.abc import Iterator

_LINES = 100_000  # that a quoted cell may have


def records(lines: Iterator[str], delimiter: str, most: int) -> Iterator[tuple[int, list[str]]]:
    """The number of the first line of each row, and its cells; empty lines are none.

    Args:
        lines: without their ends.
        delimiter: what stands between cells.
        most: characters that a row may have.
    """
    csv.field_size_limit(most)
    source = _Ahead(lines)
    columns = 0
    while (first := source.take()) is not None:
        number, line = first
        if not line.strip():
            continue
        row = line.split(delimiter)
        if '"' in line:
            row = _quoted(line, source, delimiter, most, columns)
        columns = columns or len(row)
        yield number, row


class _Ahead:
    """Numbered lines, of which some may be looked at before they are taken."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines, self._next = lines, 1
        self._ahead: deque[str] = deque()

    def take(self) -> tuple[int, str] | None:
        if self.look(0) is None:
            return None
        self._next += 1
        return self._next - 1, self._ahead.popleft()

    def look(self, further: int) -> str | None:
        while len(self._ahead) <= further:
            line = next(self._lines, None)
            if line is None:
                return None
            self._ahead.append(line)
        return self._ahead[further]


def _quoted(line: str, source: _Ahead, delimiter: str, most: int, columns: int) -> list[str]:
    """The cells of a row with a quote in it; takes the lines over which it goes."""
    row = _parsed(line, delimiter)
    if row is not None:
        return row
    text, ahead = [line], 0
    size, odd = len(line), line.count('"') % 2 == 1
    alone = len(line.split(delimiter)) == columns
    while ahead < _LINES and size <= most and (more := source.look(ahead)) is not None:
        text.append(more)
        ahead += 1
        size += len(more) + 1
        odd ^= more.count('"') % 2 == 1
        whole = None if odd else _parsed("\n".join(text), delimiter)
        if whole is not None:
            between = text[1:] if delimiter == "\t" else text[1:-1]
            rows_alone = alone and between and all(len(one.split(delimiter)) == columns for one in between)
            if columns and (len(whole) != columns or rows_alone):
                break
            for _ in range(ahead):
                source.take()
            return whole
    return line.split(delimiter)


def _parsed(text: str, delimiter: str) -> list[str] | None:
    """The cells of a row, or None where a quoted one does not end."""
    escaped = text.replace('\\"', '""')  # as Spark and MySQL write a quote in a quoted cell
    for form, strict in ((text, True), (escaped, True), (escaped, False)):
        try:
            rows = list(csv.reader([form], delimiter=delimiter, strict=strict))
        except csv.Error as error:
            if "unexpected end of data" in str(error):
                return None
        else:
            return rows[0] if rows else [""]
    return escaped.split(delimiter)
