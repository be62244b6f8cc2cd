"""Raw records: what every reader makes of its input, and how bytes and named fields become one."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from resiliparse.parse.encoding import bytes_to_str, detect_encoding

# Of one text, line or web record, in bytes: as characters of four bytes it still fits into a worker's memory.
MAX_TEXT = 64_000_000
FIELDS = ("text", "html", "id", "url", "language", "date", "domain")
_OTHER = {*FIELDS, "source", "metadata"}
_META_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([\w-]{2,30})", re.IGNORECASE)
_MARK = b"\xef\xbb\xbf"  # that of UTF-8
_WIDE = (b"\xff\xfe", b"\xfe\xff")  # the marks of UTF-16


@dataclass(slots=True)
class Raw:
    """One decoded record. `page` marks the open web, where the rules for pages hold."""

    text: str
    source: str
    html: bool = False
    page: bool = False
    id: str = ""
    url: str = ""
    domain: str = ""
    language: str = ""
    date: str = ""
    size: int | None = None  # bytes of the text in UTF-8, where the reader knows
    metadata: dict[str, Any] = field(default_factory=dict)


class Skip(NamedTuple):
    """A record that could not be used."""

    source: str
    reason: str


def decode(payload: bytes, charset: str | None = None) -> str:
    """Bytes as text: UTF-8 where they are valid UTF-8, else what was declared, else what they look like."""
    return decode_sized(payload, charset)[0]


def decode_sized(payload: bytes, charset: str | None = None) -> tuple[str, int | None]:
    """The same, and how many bytes the text has in UTF-8 where that is what they were."""
    try:
        return payload.decode("utf-8-sig"), len(payload.removeprefix(_MARK))
    except UnicodeDecodeError:
        meta = _META_CHARSET.search(payload[:4096])
        declared = charset or (meta[1].decode("ascii") if meta else None)
        if declared and not payload.startswith(_WIDE):
            try:
                return payload.decode(declared, "replace"), None
            except (LookupError, ValueError):
                pass
        encoding = detect_encoding(payload) or "utf-8"
        return bytes_to_str(payload, encoding=encoding, errors="replace"), None


def is_binary(beginning: bytes) -> bool:
    """Whether bytes are no text: zero bytes, unless marked as UTF-16."""
    return b"\0" in beginning[:4096] and not beginning.startswith(_WIDE)


def from_row(row: Mapping[str, Any], place: str, fields: Mapping[str, str]) -> Raw | Skip:
    """A record from named fields. Where there is no `text`, `html` is extracted.

    Args:
        row: the fields.
        place: where the row stands.
        fields: for some of `FIELDS` the name that the row has for it; `meta.url` looks inside `meta`.
    """
    named = {name: _looked_up(row, fields[name]) if name in fields else row.get(name) for name in FIELDS}
    html = named["text"] is None
    text = named["html" if html else "text"]
    if text is None:
        wanted = " or ".join(fields.get(name, name) for name in ("text", "html"))
        return Skip(place, f"no {wanted} field")
    if not isinstance(text, str):
        return Skip(place, "text is not a string")
    if len(text) > MAX_TEXT:
        return Skip(place, "text too long")
    if not text or text.isspace():
        return Skip(place, "empty text")
    known = {name: "" if named[name] is None else str(named[name]) for name in ("id", "url", "date")}
    language = str(named["language"] or "").lower().replace("_", "-").split("-")[0]
    domain = named["domain"] or row.get("source")
    taken = {name.partition(".")[0] for name in fields.values()}
    rest = {
        name: value
        for name, value in row.items()
        if name not in _OTHER and name not in taken and isinstance(value, str | int | float)
    }
    return Raw(
        text,
        place,
        html=html,
        page=html or named["url"] is not None,
        id=known["id"],
        url=known["url"],
        date=known["date"],
        domain=domain if isinstance(domain, str) else "",
        language=language,
        metadata=rest,
    )


def _looked_up(row: Mapping[str, Any], name: str) -> Any:
    if name in row:
        return row[name]
    first, _, rest = name.partition(".")
    within = row.get(first)
    return _looked_up(within, rest) if rest and isinstance(within, Mapping) else None
