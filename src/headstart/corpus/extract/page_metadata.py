"""What a page says of itself: title, date, author, headings and links, for those who want it as metadata.

Looked for in this order: data of the page (schema.org in JSON-LD), the tags of its head (Open Graph, Dublin
Core and the like), and the elements that show it.
"""

import re
from collections.abc import Iterable
from html import unescape
from typing import Any, Literal
from urllib.parse import urljoin

from headstart.corpus.extract.inline_marks import base_of
from headstart.corpus.extract.json_ld import objects

Wanted = Literal["title", "date", "author", "headings", "links"]

_META = re.compile(r"<meta\b([^>]{1,2000})>", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"([\w:-]+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'>]+))")
_TITLE = re.compile(r"<title\b[^>]*>(.*?)</title", re.IGNORECASE | re.DOTALL)
_HEADING = re.compile(r"<h([1-6])\b[^>]*>(.*?)</h\1\s*>", re.IGNORECASE | re.DOTALL)
_LINK = re.compile(r"<a\b([^>]*\bhref\s*=[^>]*)>", re.IGNORECASE)
_TIME = re.compile(r"<time\b[^>]*\bdatetime\s*=\s*[\"']?([^\"'>]+)", re.IGNORECASE)
_UNREAD = re.compile(r"<(script|style|template)\b.*?</\1\s*>|<!--.*?-->", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<[^<>]*>")
_DATE = re.compile(r"\d{4}-\d{2}(?:-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?)?")
_SLASHES = re.compile(r"(\d{4})/(\d\d)(/\d\d)?")
# Names of tags, the most reliable first.
_NAMES = {
    "title": ("og:title", "twitter:title", "dc.title", "dcterms.title", "citation_title"),
    "date": (
        "article:published_time",
        "datepublished",
        "date",
        "dc.date",
        "dcterms.date",
        "dcterms.created",
        "citation_publication_date",
        "pubdate",
        "article:modified_time",
    ),
    "author": ("author", "article:author", "dc.creator", "dcterms.creator", "citation_author", "byl"),
}
_IN_DATA = {"title": ("headline",), "date": ("datePublished", "dateCreated"), "author": ("author", "creator")}
_MOST = 1_000  # headings and links


def page_metadata(html: str, url: str, wanted: Iterable[Wanted]) -> dict[str, Any]:
    """What of the wanted things a page says; what it does not say is left out.

    Args:
        html: the decoded page.
        url: where it was found, from which its links go.
        wanted: `date` is ISO 8601, `headings` lists pairs of level and words, `links` whole addresses.
    """
    names = list(wanted)
    said: dict[str, Any] = {}
    if any(name in _NAMES for name in names):
        data, head = list(objects(html)), _tags(html)
        for name in (one for one in names if one in _NAMES):
            found = _in_data(data, _IN_DATA[name]) or next(
                (head[tag] for tag in _NAMES[name] if tag in head), ""
            )
            if not found and name == "title" and (match := _TITLE.search(html)):
                found = _words(match[1])
            if name == "date":
                given = found.strip()
                if _SLASHES.fullmatch(given):  # as Google Scholar wants it
                    given = given.replace("/", "-")
                date = _DATE.match(given) or ((time := _TIME.search(html)) and _DATE.match(time[1].strip()))
                found = date[0] if date else ""
            if found and not (name == "author" and found.startswith("http")):
                said[name] = found
    read = _UNREAD.sub("", html) if "headings" in names or "links" in names else ""
    if "headings" in names:
        headings = [[int(level), _words(content)] for level, content in _HEADING.findall(read)[:_MOST]]
        said["headings"] = [one for one in headings if one[1]]
    if "links" in names:
        said["links"] = _links(read, url)
    return said


def _tags(html: str) -> dict[str, str]:
    """The content of the tags of a head by their names, of several with one name the first; all authors."""
    head: dict[str, str] = {}
    for match in _META.finditer(html):
        given = {name.lower(): a or b or c for name, a, b, c in _ATTRIBUTE.findall(match[1])}
        name = given.get("property") or given.get("name") or given.get("itemprop") or ""
        name = name.lower()
        if content := _words(given.get("content", "")):
            if name in _NAMES["author"] and name in head and f", {content}, " not in f", {head[name]}, ":
                head[name] += f", {content}"
            head.setdefault(name, content)
    return head


def _in_data(data: list[dict[str, Any]], names: tuple[str, ...]) -> str:
    for one in data:
        for name in names:
            if found := _named(one.get(name)):
                return found
    return ""


def _named(value: Any) -> str:
    """A text, or the name of a person, or the names of several."""
    if isinstance(value, str):
        return _words(value)
    if isinstance(value, dict):
        return _named(value.get("name"))
    return ", ".join(filter(None, map(_named, value))) if isinstance(value, list) else ""


def _links(html: str, url: str) -> list[str]:
    """Addresses in their order, each once."""
    found: dict[str, None] = {}
    url = base_of(html, url)
    for match in _LINK.finditer(html):
        given = {name.lower(): a or b or c for name, a, b, c in _ATTRIBUTE.findall(match[1])}
        try:
            address = urljoin(url, unescape(given.get("href", "")).strip()).partition("#")[0]
        except ValueError:
            continue
        if address.startswith(("http://", "https://")):
            found[address.replace(" ", "%20")] = None
        if len(found) == _MOST:
            break
    return list(found)


def _words(markup: str) -> str:
    return " ".join(unescape(_TAG.sub(" ", markup)).split())
