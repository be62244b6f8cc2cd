"""HTTP responses as crawlers store them: with the header that the server sent, and a body that may have been
unpacked and joined since (RFC 9110, RFC 9112; warcio and browsers are as lenient)."""

import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import brotli
import zstandard

from headstart.corpus.readers.charsets import WIDE_MARKS
from headstart.corpus.readers.records import MAX_TEXT

_END = re.compile(rb"\r?\n[ \t]*\r?\n")
_STATUS = re.compile(rb"HTTP/[\d.]{1,5}[ \t]+(\d{3})(?!\d)")
_FOLDED = re.compile(rb"\r?\n[ \t]+")
_CHUNK = re.compile(rb"[ \t]*([0-9a-fA-F]{1,15})[ \t]*(?:;[^\r\n]*)?\r?\n")
_STEP = 1 << 16
_LISTS = ("content-encoding", "transfer-encoding", "content-type")


class BrokenMessage(Exception):
    """A message that cannot be used, and why."""


@dataclass(frozen=True)
class Headers:
    """Header fields by their names in small letters; of several with one name the first, but of those that
    are lists all (RFC 9110, section 5.3)."""

    fields: dict[str, str]

    def get(self, name: str) -> str:
        return self.fields.get(name, "")

    @property
    def media_type(self) -> str:
        """Of the Content-Type, in small letters."""
        return media_type(self.get("content-type"))

    @property
    def charset(self) -> str | None:
        """What the Content-Type says of it."""
        return charset(self.get("content-type"))


def media_type(content_type: str) -> str:
    """`text/html` of `Text/HTML; charset=utf-8`."""
    return _types(content_type)[0]


def charset(content_type: str) -> str | None:
    """`utf-8` of `Text/HTML; Charset="utf-8"`."""
    return _types(content_type)[1]


def _types(content_type: str) -> tuple[str, str | None]:
    """The last of several types, and its charset, which it has from one before if that is the same type
    (https://fetch.spec.whatwg.org, "extract a MIME type")."""
    found, label = "", None
    for part in content_type.strip(" \t\"'").split(","):
        kind = re.split(r"[;\s]", part.strip(), maxsplit=1)[0].strip("\"'").lower()
        said = re.search(r";\s*charset\s*=\s*[\"']?([^\s\"';,]+)", part, re.IGNORECASE)
        names_type = "/" in kind and "*" not in kind
        if names_type or not found:
            label = said[1] if said else label if kind == found else None
            found = kind
    return found, label


def parse_headers(head: bytes) -> Headers:
    """The fields of a header without its first line."""
    fields: dict[str, str] = {}
    for line in _FOLDED.sub(b" ", head).split(b"\n"):
        name, colon, value = line.partition(b":")
        if colon:
            known, more = _text(name.strip()).lower(), _text(value.strip())
            before = fields.setdefault(known, more)
            if known in _LISTS and before is not more:
                fields[known] = f"{before}, {more}"
    return Headers(fields)


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def split_head(message: bytes) -> tuple[bytes, bytes] | None:
    """Header and body at the first empty line, whatever the line ends; None where there is none."""
    match = _END.search(message)
    return (message[: match.start()], message[match.end() :]) if match else None


def parse_response(message: bytes) -> tuple[int, Headers, bytes]:
    """Status, header and body, the body as it was sent.

    Raises:
        BrokenMessage: it is no response.
    """
    at = 0
    while (status := _STATUS.match(message, at)) and status[1].startswith(b"1"):
        end = _END.search(message, at)
        if end is None or not message.startswith(b"HTTP/", end.end()):
            break
        at = end.end()  # behind what only announced the response
    if status is None:
        raise BrokenMessage("broken HTTP header")
    message = message[at:]
    head, body = split_head(message) or (message, b"")
    _, _, fields = head.partition(b"\n")
    return int(status[1]), parse_headers(fields), body


def content_of(headers: Headers, body: bytes) -> bytes:
    """The content of a body, its chunks joined and its codings undone, where it still has them.

    Raises:
        BrokenMessage: it is damaged, too large, or in a coding that nobody here knows.
    """
    for coding in (*_codings(headers, "transfer-encoding"), *_codings(headers, "content-encoding")):
        body = _joined(body) if coding == "chunked" else _undone(coding, body)
    for _ in range(_UNNAMED):
        body = _undone("", body)
    return body


def _codings(headers: Headers, field: str) -> list[str]:
    """The codings that a field names, the one that was applied last first."""
    named = headers.get(field).lower().split(",")
    return [coding.partition(";")[0].strip(" \t\"'") for coding in reversed(named)]


def _joined(body: bytes) -> bytes:
    """The chunks of a body as one; a body that does not begin with one has been joined."""
    chunks: list[bytes] = []
    at = 0
    while at < len(body):
        match = _CHUNK.match(body, at)
        if match is None:
            if not chunks:
                return body
            if not body[at:].strip():
                break
            raise BrokenMessage("broken HTTP payload")
        size = int(match[1], 16)
        if not size:
            break
        if not chunks and body[match.end() + size : match.end() + size + 1] not in (b"\r", b"\n", b""):
            return body  # it only looked like a size
        chunks.append(body[match.end() : match.end() + size])
        at = match.end() + size
        while body[at : at + 1] in (b"\r", b"\n"):
            at += 1
    return b"".join(chunks)


def _undone(coding: str, body: bytes) -> bytes:
    """A body without one coding. What it begins with says more than the header, which is often wrong."""
    if coding in _NOT_READ and not _is_text(body):
        raise BrokenMessage(f"content coding {coding}, which is not read")
    if body.startswith(b"\x1f\x8b"):
        return _unpacked(body, lambda: zlib.decompressobj(wbits=31))
    if body.startswith(b"\x28\xb5\x2f\xfd"):
        return _unpacked(body, lambda: zstandard.ZstdDecompressor().decompressobj())
    if coding not in _CODINGS or not body:
        return body
    if coding not in _WITHOUT_MAGIC and _is_text(body):
        return body  # as the crawler unpacked it
    for undo in _WITHOUT_MAGIC.get(coding, _GUESSED):
        with suppress(BrokenMessage):
            return undo(body)
    if _is_text(body):
        return body
    raise BrokenMessage("broken HTTP payload")


def _inflated(body: bytes) -> bytes:
    """zlib's format, as the standard has it, or what many servers mean: deflate without a frame."""
    if len(body) >= 2 and body[0] & 0x0F == 8 and int.from_bytes(body[:2], "big") % 31 == 0:
        return _unpacked(body, zlib.decompressobj)
    return _unpacked(body, lambda: zlib.decompressobj(wbits=-15))


def _unbrotli(body: bytes) -> bytes:
    return _unpacked(body, brotli.Decompressor)


_CODINGS = ("gzip", "x-gzip", "deflate", "x-deflate", "br", "zstd")
# Of IANA's registry, and those that were in use before it.
_NOT_READ = (
    *("compress", "x-compress", "dcb", "dcz", "exi", "aes128gcm", "pack200-gzip"),
    *("sdch", "bzip2", "x-bzip2", "xz", "lzma"),
)
_UNNAMED = 2  # codings beside those that the header names: servers pack what is packed
_GUESSED = (_inflated, _unbrotli)
_WITHOUT_MAGIC = {"deflate": (_inflated,), "x-deflate": (_inflated,), "br": (_unbrotli, _inflated)}


def _is_text(body: bytes) -> bool:
    """Whether bytes may be a text: no packed format does without control characters."""
    controls = any(byte < 9 or 13 < byte < 27 or 27 < byte < 32 for byte in body[:512])
    return not controls or body.startswith(WIDE_MARKS)


def _unpacked(body: bytes, new: Callable[[], Any]) -> bytes:
    """All members of a packed body.

    Raises:
        BrokenMessage: one is damaged or cut, or they hold too much.
    """
    return b"".join(_pieces(body, new))


def _pieces(body: bytes, new: Callable[[], Any]) -> Iterator[bytes]:
    unpacker, size, at = new(), 0, 0
    brotlied = new is brotli.Decompressor
    while at < len(body):
        packed = body[at : at + _STEP]
        at += len(packed)
        try:
            piece = unpacker.process(packed) if brotlied else unpacker.decompress(packed)
        except (zlib.error, zstandard.ZstdError, brotli.error):
            raise BrokenMessage("broken HTTP payload") from None
        size += len(piece)
        if size > MAX_TEXT:
            raise BrokenMessage("record too large")
        yield piece
        if not brotlied and unpacker.eof:
            at -= len(unpacker.unused_data)
            if not body[at:].startswith(body[:2]):
                return
            unpacker = new()
    if not (unpacker.is_finished() if brotlied else unpacker.eof):
        raise BrokenMessage("truncated HTTP payload")
