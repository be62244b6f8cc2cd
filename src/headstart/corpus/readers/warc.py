"""WARC, WET and ARC files read record by record; a broken record costs itself alone.

The framing is our own, because a crawl's broken records must be counted and skipped, which an iterator over
the whole stream cannot do. A part of a file is a range of offsets: it holds the records that start in it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from headstart.corpus.readers.charsets import MARKS
from headstart.corpus.readers.compressed_members import Broken, Members
from headstart.corpus.readers.records import MAX_TEXT
from headstart.corpus.readers.storage import (
    PACKINGS,
    Content,
    Stream,
    holds,
    mapped,
    packing_of,
    stored_member,
    unpacked,
)
from headstart.corpus.readers.zip_files import split_address

_HEAD = 1 << 16
_ADDRESS = 1 << 13
_WINDOW = 1 << 20
_BLOCK = 1 << 24  # bytes of a packed block
_BLANK = re.compile(rb"\r?\n\r?\n")
_LENGTH = re.compile(rb"\r?\ncontent-length:[ \t]*(\d{1,15})[ \t]*\r?\n", re.IGNORECASE)


@dataclass(frozen=True)
class RecordKind:
    """How the records of a format begin."""

    name: str
    begins: tuple[bytes, ...]
    head: re.Pattern[bytes]

    def starts(self, data: Content | Stream, at: int) -> bool:
        """Whether a record starts here."""
        return self.head.match(data[at : at + _ADDRESS]) is not None

    def next_start(self, data: Content | Stream, at: int) -> int | None:
        """Where the next record starts at a line's beginning."""
        at = max(at - 1, 0)
        while holds(data, at + 1):
            window = at + _WINDOW
            places = [data.find(b"\n" + one, at, window + len(one)) for one in self.begins]
            found = min((place for place in places if place >= 0), default=None)
            if found is None:
                at = window
                if isinstance(data, Stream):
                    data.forget(at - 1)
            elif self.starts(data, found + 1):
                return found + 1
            else:
                at = found + 1
        return None


WARC = RecordKind("WARC", (b"WARC/",), re.compile(rb"WARC/[01]\.\d{1,2}\r?\n"))
# The Internet Archive's format before WARC: `address IP date content-type length` on one line (version 2 has
# five fields more), then what the server sent. See archive.org/web/researcher/ArcFileFormat.php.
ARC = RecordKind(
    "ARC",
    (b"filedesc:", b"http:", b"https:", b"dns:", b"ftp:"),
    re.compile(
        rb"([a-z]{3,8}:[^\r\n]{0,4096}) ([0-9a-fA-F.:]{1,45}|-) (\d{12,14}) ([^\s]{1,200})"
        rb"(?: [^\s]{1,4096}){0,5}? (\d{1,12})\r?\n"
    ),
)


def records(address: str, part: int, parts: int) -> Iterator[tuple[str, bytes | Broken]]:
    """Position and bytes of each record whose start lies in this part of the file; ARC's as WARC records."""
    kind = ARC if ".arc" in PurePosixPath(address.lower()).suffixes else WARC
    stored = stored_member(address) if split_address(address) else None
    if split_address(address) and stored is None:
        yield from _streamed(Stream(unpacked(address)), "", kind)
        return
    with mapped(address, stored) as data:
        size, packing = len(data), packing_of(data[:16])
        first, last = size * part // parts, size * (part + 1) // parts
        if packing in ("bzip2", "xz"):
            if part == 0:
                yield from _streamed(Stream(unpacked(address)), "", kind)
        elif packing is None and (kind.starts(data, 0) or not address.lower().endswith(PACKINGS)):
            yield from _framed(data, first, last, "", kind)
        elif _cuts_records(members := Members(data, kind.begins), kind):
            if part == 0:
                yield from _streamed(Stream(unpacked(address)), "", kind)
        else:
            for offset, content in members.between(first, last):
                if isinstance(content, Broken):
                    yield str(offset), content
                elif isinstance(content, Stream):
                    yield from _streamed(content, str(offset), kind)
                else:
                    yield from _framed(content, 0, len(content), str(offset), kind)


def _cuts_records(members: Members, kind: RecordKind) -> bool:
    """Whether a file was packed in blocks that know nothing of its records, and so can only be read whole."""
    content = members.cut(_BLOCK)
    if content is None:
        return False
    found = list(_framed(content, 0, len(content), "", kind))
    return bool(found) and isinstance(found[-1][1], Broken)


def _streamed(stream: Stream, member: str, kind: RecordKind) -> Iterator[tuple[str, bytes | Broken]]:
    """The records of a stream; where it is damaged, those before, and the damage in place of the rest."""
    last: tuple[str, Broken] | None = None
    for position, content in _framed(stream, 0, None, member, kind):
        if last:
            yield last
        last = (position, content) if isinstance(content, Broken) else None
        if not isinstance(content, Broken):
            yield position, content
    if stream.fault:
        yield last[0] if last else f"{member}+", Broken(stream.fault)
    elif last:
        yield last


def _framed(
    data: Content | Stream, first: int, last: int | None, member: str, kind: RecordKind
) -> Iterator[tuple[str, bytes | Broken]]:
    """The records of unpacked data that start in [first, last), by their lengths; None: up to the end."""
    at = kind.next_start(data, first) if first else _first(data)
    while at is not None and (last is None or at < last):
        if isinstance(data, Stream):
            data.forget(at)
        position = member if member and not at else f"{member}+{at}" if member else str(at)
        try:
            content, end = _frame(data, at, kind)
        except Broken as error:
            yield position, error
            at = kind.next_start(data, at + 5)
            continue
        yield position, content
        at = end if holds(data, end + 1) else None


def _first(data: Content | Stream) -> int:
    """Where the first record starts, behind a byte order mark and empty lines that tools put before it."""
    beginning = data[0:64]
    return len(beginning) - len(beginning.removeprefix(MARKS[0][0]).lstrip(b"\r\n"))


def _frame(data: Content | Stream, at: int, kind: RecordKind) -> tuple[bytes, int]:
    """The record at `at`, and where the next one starts behind the blank lines that follow."""
    if not data[at : at + 9].startswith(kind.begins):
        raise Broken(f"not a {kind.name} record")
    if kind is ARC:
        match = kind.head.match(data[at : at + _ADDRESS])
        start, length = (at + match.end(), int(match[5])) if match else (0, -1)
    else:
        head = data[at : at + _HEAD]
        blank = _BLANK.search(head)
        match = _LENGTH.search(head[: blank.start()] + b"\n") if blank else None
        start, length = (at + blank.end(), int(match[1])) if blank and match else (0, -1)
    if match is None:
        raise Broken(f"broken {kind.name} header")
    body = start + length
    if body - at > MAX_TEXT:
        raise Broken("record too large")
    if not holds(data, body):
        raise Broken(f"truncated {kind.name} record")
    end = body
    while data[end : end + 1] in (b"\r", b"\n"):
        end += 1
    if holds(data, end + 1) and not data[end : end + 9].startswith(kind.begins):
        raise Broken(f"wrong {kind.name} record length")
    return _as_warc(match, data[start:body]) if kind is ARC else data[at:body], end


def _as_warc(arc: re.Match[bytes], content: bytes) -> bytes:
    """An ARC record as the WARC record that would hold the same."""
    address, _, date, media_type, _ = arc.groups()
    answered = content[:5] == b"HTTP/"
    head = (
        b"WARC/1.0\r\nWARC-Type: %b\r\nWARC-Target-URI: %b\r\nWARC-Date: %b\r\nContent-Type: %b\r\n"
        b"Content-Length: %d\r\n\r\n"
    )
    # Early crawlers stored pages without what the server said.
    kind = (b"response", b"application/http; msgtype=response") if answered else (b"resource", media_type)
    if address.startswith((b"filedesc:", b"dns:")):
        kind = (b"metadata", media_type)
    parts = (date[:4], date[4:6], date[6:8], date[8:10], date[10:12], date[12:14].ljust(2, b"0"))
    moment = b"%b-%b-%bT%b:%b:%bZ" % parts
    return head % (kind[0], address, moment, kind[1], len(content)) + content
