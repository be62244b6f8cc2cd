"""Lines of text files, gzipped or not, each with its number."""

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from headstart.errors import HeadstartError

MAX_LINE = 8 << 20
"""Bytes; a longer line is never held in memory. A text of 1 MB fits in, however it is escaped."""
LABEL_MARK = "__label__"
HEAD_ROWS = 200
"""Rows at the beginning of a file from which it is told what its columns hold."""
TOO_LONG = object()
"""Stands for a line that was longer than `MAX_LINE`."""

Row = tuple[int, Any]
"""The line (from 1; the row in Parquet and JSON lists) and what it holds, or `TOO_LONG`."""


@contextmanager
def open_text(path: Path, what: str) -> Iterator[BinaryIO]:
    """The bytes of a file, unpacked where it is gzip (told by its first bytes, not by its name).

    Args:
        what: the format that the file's name promises, for the error.

    Raises:
        HeadstartError: a binary file, UTF-16, or a damaged archive.
    """
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
                raise HeadstartError(f"{path} is a binary file, not {what} text; check the path")
            yield stream
        except EOFError:
            raise HeadstartError(f"{path} is a truncated gzip file; fetch it again") from None
        except (zlib.error, gzip.BadGzipFile) as error:
            raise HeadstartError(f"{path} is a damaged gzip file ({error}); fetch it again") from None


def read_lines(name: str, stream: BinaryIO, strict: bool) -> Iterator[Row]:
    """Numbered lines without their ends; one over `MAX_LINE` passes as `TOO_LONG`.

    Args:
        strict: bytes that are no UTF-8 are an error; otherwise they become U+FFFD.
    """
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


def has_marked_labels(lines: Sequence[str]) -> bool:
    """Whether lines are fastText's: labels with a mark before each, and the text behind them."""
    return any(lines) and all(line.lstrip().startswith(LABEL_MARK) for line in lines if line.strip())


def labels_and_text(line: Any) -> Any:
    """A row of a line in fastText's form: its labels and its text."""
    if line is TOO_LONG:
        return line
    words, labels = line.split(), []
    while words and words[0].startswith(LABEL_MARK):
        labels.append(words.pop(0).removeprefix(LABEL_MARK))
    return {"text": " ".join(words), "labels": labels}
