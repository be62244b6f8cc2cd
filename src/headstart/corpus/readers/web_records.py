"""Web pages and their texts from the records of WARC, WET and ARC files."""

import re
from collections.abc import Iterator

from headstart.corpus.readers.charsets import MARKS, decode
from headstart.corpus.readers.compressed_members import Broken
from headstart.corpus.readers.content_kinds import is_garbled, kind_beside_pages, signed_kind
from headstart.corpus.readers.http_messages import (
    BrokenMessage,
    Headers,
    charset,
    content_of,
    media_type,
    parse_headers,
    parse_response,
    split_head,
)
from headstart.corpus.readers.records import MAX_TEXT, Raw, Skip, is_binary
from headstart.corpus.readers.sources import Source
from headstart.corpus.readers.warc import records

_PAGES = ("text/html", "application/xhtml+xml", "application/vnd.wap.xhtml+xml", "text/htm", "text/x-html")
_TEXTS = ("text/plain", "text/markdown")
# Types by which a server says that it does not know.
_UNKNOWN = ("", "application/octet-stream")
# How an HTML page begins (https://mimesniff.spec.whatwg.org, section 7.1).
_HTML = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml\s[^>]*>\s*)?<"
    rb"(?:!doctype html|html|head|script|iframe|h1|div|font|table|a|style|title|b|body|br|p|!--)(?=[\s>]|--)",
    re.IGNORECASE,
)
_WHOLE_PAGE = re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:!doctype html|html)(?=[\s>])", re.IGNORECASE)
_HEAD = 4096  # bytes in which a record's header says that it is a segment
# Records that hold no document of their own: what was asked for, and what the crawler says.
_BESIDE = ("warcinfo", "request", "metadata")


def read_web(source: Source, part: int, parts: int) -> Iterator[Raw | Skip]:
    """The pages of one part of a file."""
    segments = _Segments()
    for position, content in records(source.address, part, parts):
        place = f"{source.label}@{position}"
        if isinstance(content, Broken):
            yield Skip(place, str(content))
        elif not segments.takes(content, place):
            yield from _read_page(content, place)
    for whole in segments.left():
        yield from [whole] if isinstance(whole, Skip) else _read_page(*whole)


def _read_page(content: bytes, place: str) -> Iterator[Raw | Skip]:
    try:
        record = _page(content, place)
    except BrokenMessage as error:
        record = Skip(place, str(error))
    if record is not None:
        yield record


class _Segments:
    """Records that are cut into segments (WARC 1.1, section 8), put together where all lie in one part."""

    def __init__(self) -> None:
        self._open: dict[str, list[tuple[int, str, bytes]]] = {}
        self._ids: dict[str, str] = {}  # of first segments, by address

    def takes(self, content: bytes, place: str) -> bool:
        """Whether a record is a segment, which is kept until the others are there."""
        if b"segment-number" not in content[:_HEAD].lower() or (parts := split_head(content)) is None:
            return False
        warc = parse_headers(parts[0].partition(b"\n")[2])
        number = warc.get("warc-segment-number")
        if not number.isdecimal():
            return False
        first, address = warc.get("warc-type").lower() != "continuation", warc.get("warc-target-uri")
        if first:
            origin = self._ids[address] = warc.get("warc-record-id") or address
        else:
            origin = warc.get("warc-segment-origin-id") or self._ids.get(address, address)
        known = self._open.setdefault(origin, [])
        known.append((int(number), place, content if first else parts[1]))
        return True

    def left(self) -> Iterator[tuple[bytes, str] | Skip]:
        """Whole records and where they begin, and the segments to which another is missing."""
        for known in self._open.values():
            known.sort()
            numbers = [number for number, _, _ in known]
            whole = len(known) > 1 and numbers == list(range(1, len(known) + 1))
            if whole and sum(len(part) for _, _, part in known) <= MAX_TEXT:
                yield b"".join(part for _, _, part in known), known[0][1]
            else:
                for _, place, _ in known:
                    yield Skip(place, "one segment of a record of which another is missing")


def _page(content: bytes, place: str) -> Raw | Skip | None:
    """The page or text in a WARC record; None for records that never hold one (requests, crawler notes)."""
    parts = split_head(content)
    if parts is None:
        return Skip(place, "broken WARC header")
    head, body = parts
    warc = parse_headers(head.partition(b"\n")[2])
    kind = warc.get("warc-type").lower()
    if kind in _BESIDE:
        return None
    if kind == "revisit":
        return Skip(place, "revisit: the page is in another record")
    if kind not in ("response", "resource", "conversion"):
        return Skip(place, f"WARC record of the type {kind}" if kind else "WARC record without a type")
    kind_of_content, declared = media_type(warc.get("content-type")), charset(warc.get("content-type"))
    if kind == "response" and body[:5] == b"HTTP/":
        status, http, body = parse_response(body)
        if status != 200:
            return Skip(place, f"HTTP status {status}")
        kind_of_content, declared = http.media_type, http.charset
    elif kind == "response" and (_says_nothing(kind_of_content) or kind_of_content == "application/http"):
        return Skip(place, "broken HTTP header")
    else:
        http = Headers({})
    return _document(content_of(http, body), kind_of_content, declared, warc, place)


def _document(body: bytes, kind: str, declared: str | None, warc: Headers, place: str) -> Raw | Skip:
    identified = media_type(warc.get("warc-identified-payload-type"))
    if _says_nothing(kind):
        kind = _sniffed(body) if _says_nothing(identified) else identified
    elif kind.endswith("xml") and kind not in _PAGES and _HTML.match(body):
        kind = _PAGES[1]
    elif kind in _TEXTS and (identified in _PAGES or _WHOLE_PAGE.match(body)):
        kind = _PAGES[0]  # servers of old call every file that they do not know plain text
    html = kind in _PAGES
    if not html and kind not in _TEXTS:
        return Skip(place, "neither HTML nor text")
    if len(body) > MAX_TEXT:
        return Skip(place, "record too large")
    if not body or body.isspace():
        return Skip(place, "empty payload")
    if another := signed_kind(body) or (kind_beside_pages(body) if html else None):
        return Skip(place, another)
    text, whole = decode(body, declared)
    if is_garbled(text):
        return Skip(place, "binary payload")
    return Raw(
        text,
        place,
        size=len(body.removeprefix(MARKS[0][0])) if whole else None,
        html=html,
        page=True,
        url=warc.get("warc-target-uri").removeprefix("<").removesuffix(">"),
        date=warc.get("warc-date"),
    )


def _says_nothing(kind: str) -> bool:
    """Whether a type is none, or names no kind of content."""
    return kind in _UNKNOWN or "/" not in kind or "*" in kind or "unknown" in kind


def _sniffed(body: bytes) -> str:
    """What bytes of an unknown type look like."""
    if _HTML.match(body):
        return "text/html"
    return "application/octet-stream" if is_binary(body[:4096]) else "text/plain"
