"""WARC, WET and ARC files read record by record; a broken record costs itself alone.

The framing is our own, because a crawl's broken records must be counted and skipped, which an iterator over
the whole stream cannot do. A part of a file is a range of offsets: it holds the records that start in it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from headstart.corpus.readers.compressed_members import GZIP, Broken, Members
from headstart.corpus.readers.records import MAX_TEXT
from headstart.corpus.readers.storage import PACKINGS, Content, mapped

_HEAD = 1 << 16
_ADDRESS = 1 << 13
_WINDOW = 1 << 20
_LENGTH = re.compile(rb"\r?\ncontent-length:[ \t]*(\d{1,15})[ \t]*\r?\n", re.IGNORECASE)


def records(address: str, part: int, parts: int) -> Iterator[tuple[str, bytes | Broken]]:
    """Position and bytes of each record whose start lies in this part of the file; ARC's as WARC records."""
    kind = ARC if ".arc" in PurePosixPath(address.lower()).suffixes else WARC
    with mapped(address) as data:
        size = len(data)
        first, last = size * part // parts, size * (part + 1) // parts
        if data[:3] != GZIP and not address.lower().endswith(PACKINGS):
            yield from _framed(data, first, last, "", kind)
            return
        for offset, content in Members(data, kind.begins).between(first, last):
            if isinstance(content, Broken):
                yield str(offset), content
            else:
                yield from _framed(content, 0, len(content), str(offset), kind)


@dataclass(frozen=True)
class RecordKind:
    """How the records of a format begin."""

    name: str
    begins: tuple[bytes, ...]
    head: re.Pattern[bytes]

    def starts(self, data: Content, at: int) -> bool:
        """Whether a record starts here."""
        return self.head.match(data[at : at + _ADDRESS]) is not None

    def next_start(self, data: Content, at: int) -> int | None:
        """Where the next record starts at a line's beginning."""
        at = max(at - 1, 0)
        while at < len(data):
            window = min(at + _WINDOW, len(data))
            places = [data.find(b"\n" + one, at, window + len(one)) for one in self.begins]
            found = min((place for place in places if place >= 0), default=None)
            if found is None:
                at = window
            elif self.starts(data, found + 1):
                return found + 1
            else:
                at = found + 1
        return None


WARC = RecordKind("WARC", (b"WARC/",), re.compile(rb"WARC/1\.\d\r?\n"))
# The Internet Archive's format before WARC: `address IP date content-type length` on one line (version 2 has
# five fields more), then what the server sent. See archive.org/web/researcher/ArcFileFormat.php.
ARC = RecordKind(
    "ARC",
    (b"filedesc:", b"http:", b"https:", b"dns:", b"ftp:"),
    re.compile(
        rb"([a-z]{3,8}:[^\s]{0,4096}) ([0-9a-fA-F.:]{1,45}) (\d{14}) ([^\s]{1,200})"
        rb"(?: [^\s]{1,4096}){0,5}? (\d{1,12})\r?\n"
    ),
)


def _framed(
    data: Content, first: int, last: int, member: str, kind: RecordKind
) -> Iterator[tuple[str, bytes | Broken]]:
    """The records of unpacked data that start in [first, last), by their lengths."""
    at = kind.next_start(data, first) if first else 0
    while at is not None and at < last:
        position = member if member and not at else f"{member}+{at}" if member else str(at)
        try:
            content, end = _frame(data, at, kind)
        except Broken as error:
            yield position, error
            at = kind.next_start(data, at + 5)
            continue
        yield position, content
        at = end if end < len(data) else None


def _frame(data: Content, at: int, kind: RecordKind) -> tuple[bytes, int]:
    """The record at `at`, and where the next one starts behind the blank lines that follow."""
    if not data[at : at + 9].startswith(kind.begins):
        raise Broken(f"not a {kind.name} record")
    if kind is ARC:
        match = kind.head.match(data[at : at + _ADDRESS])
        start, length = (at + match.end(), int(match[5])) if match else (0, -1)
    else:
        head = data.find(b"\r\n\r\n", at, at + _HEAD)
        match = _LENGTH.search(data[at : head + 2]) if head >= 0 else None
        start, length = (head + 4, int(match[1])) if match else (0, -1)
    if match is None:
        raise Broken(f"broken {kind.name} header")
    body = start + length
    if body > len(data):
        raise Broken(f"truncated {kind.name} record")
    if body - at > MAX_TEXT:
        raise Broken("record too large")
    end = body
    while data[end : end + 1] in (b"\r", b"\n"):
        end += 1
    if end < len(data) and not data[end : end + 9].startswith(kind.begins):
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
    kind = (b"response", b"application/http; msgtype=response") if answered else (b"metadata", media_type)
    moment = b"%b-%b-%bT%b:%b:%bZ" % (date[:4], date[4:6], date[6:8], date[8:10], date[10:12], date[12:])
    return head % (kind[0], address, moment, kind[1], len(content)) + content
