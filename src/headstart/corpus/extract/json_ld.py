"""The article that a page holds as data (schema.org in JSON-LD), for pages that only scripts show."""

import json
import re
from collections.abc import Iterator
from html import unescape
from typing import Any

import orjson

_SCRIPT = re.compile(
    r"<script\b[^>]*\btype\s*=\s*[\"']?application/ld\+json[^>]*>(.*?)</script", re.DOTALL | re.IGNORECASE
)
_BREAK = re.compile(r"</?(?:p|div|br|li|h[1-6])\b[^>]*>", re.IGNORECASE)
_TAG = re.compile(r"<[^<>]*>")
_BODIES = ("articleBody", "reviewBody", "text")
_DEPTH = 20


def article_body(html: str) -> str:
    """The longest text that the page says to be its article, a paragraph between blank lines; "" if none."""
    if "ld+json" not in html:
        return ""
    found = [body for script in _SCRIPT.findall(html) for body in _bodies(_parsed(script), 0)]
    text = _TAG.sub("", _BREAK.sub("\n", unescape(max(found, key=len, default=""))))
    return "\n\n".join(line for line in (" ".join(line.split()) for line in text.split("\n")) if line)


def objects(html: str) -> Iterator[dict[str, Any]]:
    """All objects that a page holds as data, those that hold others before these."""
    if "ld+json" in html:
        for script in _SCRIPT.findall(html):
            yield from _objects(_parsed(script), 0)


def _objects(value: Any, depth: int) -> Iterator[dict[str, Any]]:
    if depth > _DEPTH:
        return
    if isinstance(value, dict):
        yield value
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for one in inner:
        yield from _objects(one, depth + 1)


def _parsed(script: str) -> Any:
    """The data of a script: an object or a list of them, which may stand in a comment or in CDATA."""
    first, last = script.find("{"), script.rfind("}")
    before, inside = script[: max(first, 0)].rstrip(), script[first : last + 1]
    if before.endswith("[") and not before.endswith("CDATA["):
        inside = f"[{inside}]"
    try:
        return orjson.loads(inside)
    except orjson.JSONDecodeError:
        pass
    try:
        return json.loads(inside, strict=False)  # with line ends within strings
    except (ValueError, RecursionError):
        return None


def _bodies(value: Any, depth: int) -> Iterator[str]:
    if depth > _DEPTH:
        return
    if isinstance(value, list):
        for one in value:
            yield from _bodies(one, depth + 1)
    elif isinstance(value, dict):
        for name, one in value.items():
            if name in _BODIES and isinstance(one, str):
                yield one
            else:
                yield from _bodies(one, depth + 1)
