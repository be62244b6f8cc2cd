"""MediaWiki's XML dumps: the current text of every article. A damaged page costs itself alone."""

from collections.abc import Iterator
from xml.etree import ElementTree

from headstart.corpus.readers.records import MAX_TEXT, Raw, Skip
from headstart.corpus.readers.sources import Source
from headstart.corpus.readers.storage import unpacked
from headstart.corpus.readers.wikitext import plain_text

PAGES_PER_BLOCK = 64
_OPEN, _CLOSE = b"<page>", b"</page>"


def read_wiki(source: Source, part: int, parts: int) -> Iterator[Raw | Skip]:
    """The articles of one part of a dump: pages of the main namespace that are no redirects."""
    number = -1
    for number, page in enumerate(_pages(source.address)):
        if number // PAGES_PER_BLOCK % parts != part:
            continue
        place = f"{source.label}:page {number + 1}"
        if isinstance(page, str):
            yield Skip(place, page)
            continue
        try:
            yield _article(ElementTree.fromstring(page), place)
        except ElementTree.ParseError as error:
            yield Skip(place, f"broken XML: {error}"[:200])
    if number < 0 and part == 0:
        yield Skip(source.label, "no page of a MediaWiki dump in it")


def _article(page: ElementTree.Element, place: str) -> Raw | Skip:
    if page.findtext("ns", "0") != "0":
        return Skip(place, "not an article")
    if page.find("redirect") is not None:
        return Skip(place, "redirect")
    revision = page.find("revision")
    text = plain_text((revision.findtext("text") if revision is not None else "") or "")
    if not text:
        return Skip(place, "empty text")
    title = page.findtext("title", "")
    date = (revision.findtext("timestamp") if revision is not None else "") or ""
    return Raw(text, place, id=page.findtext("id", ""), date=date, metadata={"title": title})


def _pages(address: str) -> Iterator[bytes | str]:
    """Every `<page>` element of a dump; a string in place of one names what is wrong there."""
    rest, too_long = bytearray(), False
    for chunk in unpacked(address):
        if isinstance(chunk, str):
            yield chunk
            return
        searched = max(len(rest) - len(_CLOSE), 0)
        rest += chunk
        while (end := rest.find(_CLOSE, searched)) >= 0:
            start = rest.rfind(_OPEN, 0, end)
            yield "page too large" if too_long or start < 0 else bytes(rest[start : end + len(_CLOSE)])
            del rest[: end + len(_CLOSE)]
            searched, too_long = 0, False
        if len(rest) > MAX_TEXT:
            rest, too_long = rest[-len(_CLOSE) :], True
    if _OPEN in rest or too_long:
        yield "truncated page"
