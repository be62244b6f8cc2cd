"""Rows with named fields as records."""

import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

import orjson

from headstart.corpus.readers.content_kinds import is_garbled
from headstart.corpus.readers.records import FIELDS, MAX_TEXT, Raw, Skip
from headstart.corpus.text.language_codes import declared_language
from headstart.folder import JSONObject

_OTHER = {*FIELDS, "source", "metadata", "meta"}
_SURROGATE = re.compile("[\ud800-\udfff]")


def from_row(row: Mapping[str, Any], place: str, fields: Mapping[str, str]) -> Raw | Skip:
    """A record from named fields. Where there is no text in `text`, `html` is extracted.

    Args:
        row: the fields. Those of an object `metadata` or `meta` count where the row has none of that name.
        place: where the row stands.
        fields: for some of `FIELDS` the name that the row has for it; `meta.url` looks inside `meta`.
    """
    within = _metadata(row.get("meta"), "meta") | _metadata(row.get("metadata"), "metadata")
    named = {name: _looked_up(row, fields[name]) if name in fields else row.get(name) for name in FIELDS}
    for name in ("url", "date", "language"):
        if not named[name] and name not in fields and isinstance(within.get(name), str):
            named[name] = within.pop(name)
    html = _is_blank(named["text"]) and not _is_blank(named["html"])
    text = named["html" if html else "text"]
    if text is None:
        wanted = " or ".join(fields.get(name, name) for name in ("text", "html"))
        nameless = fields.get("text", "text") not in row and "text" not in fields
        return Skip(place, f"no {wanted} field{_longest_string(row) if nameless else ''}")
    if not isinstance(text, str):
        return Skip(place, "text is not a string")
    if len(text) > MAX_TEXT:
        return Skip(place, "text too long")
    if _is_blank(text):
        return Skip(place, "empty text")
    if html and is_garbled(text):
        return Skip(place, "binary html")
    known = {name: _plain(named[name]) for name in ("id", "url", "date")}
    domain = named["domain"] or row.get("source")
    taken = {name.partition(".")[0] for name in fields.values()}
    beside = {name: value for name, value in row.items() if name not in _OTHER and name not in taken}
    rest = {name: value for name, value in within.items() if _is_json(value)}
    rest |= {name: value for name, value in beside.items() if isinstance(value, str | int | float | date)}
    rest |= {name: str(value) for name, value in beside.items() if isinstance(value, Decimal)}
    return Raw(
        text,
        place,
        html=html,
        page=html or bool(known["url"]),
        id=known["id"],
        url=known["url"],
        date=known["date"],
        domain=domain if isinstance(domain, str) else "",
        language=declared_language(_plain(named["language"])),
        metadata=rest,
    )


def _longest_string(row: Mapping[str, Any]) -> str:
    """Where the text of a row may be that has none under the usual names, and the setting that says so.

    One name and no list of all: rows of one file differ in what they leave out, and a reason is counted.
    """
    strings = {name: len(value) for name, value in row.items() if isinstance(value, str) and value}
    if not strings:
        return ""
    longest = max(strings, key=lambda name: strings[name])
    return f"; the longest string is in {longest!r}: fields={{text: {longest}}} reads it"


def _plain(value: Any) -> str:
    """A value as text; bytes that are none, as of a UUID, by their digits."""
    return "" if value is None else value.hex() if isinstance(value, bytes) else str(value).strip()


def _is_json(value: Any) -> bool:
    try:
        return value is not None and bool(orjson.dumps(value))
    except orjson.JSONEncodeError:
        return False


def _is_blank(value: Any) -> bool:
    return value is None or (isinstance(value, str) and (not value or value.isspace()))


def _metadata(given: Any, name: str) -> JSONObject:
    """What a row says in the field of this name, as an object or as JSON."""
    if isinstance(given, str) and given.lstrip().startswith("{"):
        try:
            given = orjson.loads(given)
        except orjson.JSONDecodeError:
            return {name: given}
    if isinstance(given, Mapping) or _is_map(given):
        return dict(given)
    return {} if given is None else {name: given}


def _is_map(given: Any) -> bool:
    """Whether it is a map as Arrow gives it: a list of pairs."""
    return isinstance(given, list) and all(
        isinstance(one, tuple) and isinstance(one[0], str) for one in given
    )


def without_half_pairs(value: Any) -> Any:
    """A value of JSON, in its strings U+FFFD for each half of a surrogate pair without the other."""
    if isinstance(value, str):
        if not _SURROGATE.search(value):
            return value
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, dict):
        return {without_half_pairs(name): without_half_pairs(one) for name, one in value.items()}
    return [without_half_pairs(one) for one in value] if isinstance(value, list) else value


def _looked_up(row: Mapping[str, Any], name: str) -> Any:
    if name in row:
        return row[name]
    first, _, rest = name.partition(".")
    within = row.get(first)
    return _looked_up(within, rest) if rest and isinstance(within, Mapping) else None
