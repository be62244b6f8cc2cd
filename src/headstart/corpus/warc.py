"""WARC and WET files read record by record; a broken record costs itself alone, not the rest of the file.

The framing is our own, because a crawl's broken records must be counted and skipped, which an iterator over
the whole stream cannot do. A part of a file is a range of offsets: it holds the records that start in it.
"""

import mmap
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

GZIP = b"\x1f\x8b\x08"
MAX_RECORD = 256_000_000
_CHUNK = 1 << 16
_LENGTH = re.compile(rb"\r?\ncontent-length:[ \t]*(\d{1,15})[ \t]*\r?\n", re.IGNORECASE)
_START = re.compile(rb"(?:^|\n)(?=WARC/1\.\d\r?\n)")


class Broken(Exception):
    """A record that cannot be used, and why."""


def records(path: Path, part: int, parts: int) -> Iterator[tuple[str, bytes | Broken]]:
    """Position and bytes of each record whose start lies in this part of the file."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        size = len(data)
        first, last = size * part // parts, size * (part + 1) // parts
        if data[:3] != GZIP and not path.name.endswith(".gz"):
            yield from _framed(data, first, last, "")
            return
        for offset, content in _members(data, first, last):
            if isinstance(content, Broken):
                yield str(offset), content
            else:
                yield from _framed(content, 0, len(content), str(offset))


def _members(data: mmap.mmap, first: int, last: int) -> Iterator[tuple[int, bytes | Broken]]:
    """The gzip members that start in [first, last), unpacked."""
    at = 0 if first == 0 else _next_member(data, first)
    while 0 <= at < last:
        try:
            content, end = _inflate(data, at)
        except (zlib.error, Broken) as error:
            yield at, error if isinstance(error, Broken) else Broken("broken gzip")
            at = _next_member(data, at + 1)
            continue
        yield at, content
        at = end if data[end : end + 3] == GZIP else _next_member(data, end)


def _inflate(data: mmap.mmap, at: int) -> tuple[bytes, int]:
    """One member's content, and where the next member starts."""
    unpacker = zlib.decompressobj(wbits=31)
    chunks: list[bytes] = []
    total = 0
    while not unpacker.eof:
        packed = unpacker.unconsumed_tail
        if not packed:
            packed = data[at : at + _CHUNK]
            at += len(packed)
        if not packed:
            raise Broken("truncated gzip")
        chunks.append(unpacker.decompress(packed, MAX_RECORD))
        total += len(chunks[-1])
        if total > MAX_RECORD:
            raise Broken("record too large")
    return b"".join(chunks), at - len(unpacker.unused_data)


def _next_member(data: mmap.mmap, at: int) -> int:
    """The next place where a gzip member holding a WARC record starts, or -1."""
    while (at := data.find(GZIP, at)) >= 0:
        try:
            if zlib.decompressobj(wbits=31).decompress(data[at : at + 512], 5) == b"WARC/":
                return at
        except zlib.error:
            pass
        at += 1
    return -1


def _framed(
    data: bytes | mmap.mmap, first: int, last: int, member: str
) -> Iterator[tuple[str, bytes | Broken]]:
    """The records of unpacked data that start in [first, last), by their Content-Length."""
    at = _next_start(data, first) if first else 0
    while at is not None and at < last:
        position = member if member and not at else f"{member}+{at}" if member else str(at)
        try:
            body, end = _frame(data, at)
        except Broken as error:
            yield position, error
            at = _next_start(data, at + 5)
            continue
        yield position, data[at:body]
        at = end if end < len(data) else None


def _frame(data: bytes | mmap.mmap, at: int) -> tuple[int, int]:
    """Where the record at `at` ends, without and with the blank lines that follow it."""
    if data[at : at + 5] != b"WARC/":
        raise Broken("not a WARC record")
    head = data.find(b"\r\n\r\n", at, at + _CHUNK)
    length = _LENGTH.search(data[at : head + 2]) if head >= 0 else None
    if length is None:
        raise Broken("broken WARC header")
    body = head + 4 + int(length[1])
    if body > len(data):
        raise Broken("truncated WARC record")
    if body - at > MAX_RECORD:
        raise Broken("record too large")
    end = body
    while data[end : end + 1] in (b"\r", b"\n"):
        end += 1
    if end < len(data) and data[end : end + 5] != b"WARC/":
        raise Broken("wrong WARC record length")
    return body, end


def _next_start(data: bytes | mmap.mmap, at: int) -> int | None:
    match = _START.search(data, max(at - 1, 0))
    return match.end() if match else None
