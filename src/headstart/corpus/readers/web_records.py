"""Web pages and their texts from the records of WARC, WET and ARC files."""

from collections.abc import Iterator

from fastwarc.warc import WarcRecord

from headstart.corpus.readers.compressed_members import Broken
from headstart.corpus.readers.records import MAX_TEXT, Raw, Skip, decode_sized
from headstart.corpus.readers.sources import Source
from headstart.corpus.readers.warc import records

_CHUNK = 1 << 20


def read_web(source: Source, part: int, parts: int) -> Iterator[Raw | Skip]:
    """The pages of one part of a file."""
    for position, content in records(source.address, part, parts):
        place = f"{source.label}@{position}"
        if isinstance(content, Broken):
            yield Skip(place, str(content))
            continue
        try:
            record = _page(content, place)
        except (OSError, ValueError) as error:
            record = Skip(place, f"broken WARC record: {error}")
        if record is not None:
            yield record


def _payload(record: WarcRecord) -> bytes:
    """What a record holds, a piece at a time: the reader sets aside as much memory as it is asked for."""
    chunks: list[bytes] = []
    size = 0
    while size <= MAX_TEXT and (chunk := record.reader.read(_CHUNK)):
        chunks.append(chunk)
        size += len(chunk)
    return b"".join(chunks)


def _page(content: bytes, place: str) -> Raw | Skip | None:
    """The page or text in a WARC record; None for records that never hold one (requests, crawler notes)."""
    record = WarcRecord.from_bytes(content)
    kind = (record.headers.get("WARC-Type") or "").lower()
    if kind not in ("response", "resource", "conversion"):
        return None
    media_type, charset = (record.headers.get("Content-Type") or "").split(";")[0].strip(), None
    if kind == "response":
        try:
            record.parse_http(auto_decode="all", quirks_mode=True)
        except OSError:
            return Skip(place, "broken HTTP header")
        status = record.http_headers.status_code if record.http_headers else None
        if status != 200:
            return Skip(place, f"HTTP status {status}" if status else "broken HTTP header")
        media_type, charset = record.http_content_type or "", record.http_charset
    html = media_type in ("text/html", "application/xhtml+xml")
    if not html and media_type != "text/plain":
        return Skip(place, "neither HTML nor text")
    try:
        payload = _payload(record)
    except OSError:
        return Skip(place, "broken HTTP payload")
    if len(payload) > MAX_TEXT:
        return Skip(place, "record too large")
    if not payload or payload.isspace():
        return Skip(place, "empty payload")
    text, size = decode_sized(payload, charset)
    return Raw(
        text,
        place,
        size=size,
        html=html,
        page=True,
        url=record.headers.get("WARC-Target-URI") or "",
        date=record.headers.get("WARC-Date") or "",
    )
