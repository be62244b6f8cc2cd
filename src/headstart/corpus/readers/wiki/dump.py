"""MediaWiki's XML dumps: the newest text of every article. A damaged page costs itself alone."""

import html
import re
from collections.abc import Iterator
from xml.etree import ElementTree

from headstart.corpus.readers.records import MAX_TEXT, Raw, Skip
from headstart.corpus.readers.sources import Source
from headstart.corpus.readers.storage import unpacked, without_mark
from headstart.corpus.readers.wiki.wikitext import NAMESPACES, UNSHOWN, plain_text

PAGES_PER_BLOCK = 64
_OPEN, _CLOSE = b"<page>", b"</page>"
_ROOT, _ROOT_END = b"<mediawiki", b"</mediawiki"
_REVISION, _REVISION_END = b"<revision>", b"</revision>"
_REDIRECT = re.compile(
    r"\s*#[^\W\d_]{4,20}\s*:?\s*\[\[[^\[\]]*\]\]", re.IGNORECASE
)  # in old dumps, without an element
_NO_CHARACTER = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")  # of XML 1.0, section 2.2
_ENTITY = re.compile(r"&(?!(?:amp|lt|gt|quot|apos);)(?:#\d{1,7}|#x[0-9A-Fa-f]{1,6}|\w{2,31});")
_HISTORY = 8_000_000  # bytes of a page from which on its old revisions are not kept
_NAMESPACE = re.compile(rb'<namespace\s+key="(-?\d+)"[^>]*>([^<]*)</namespace>')
_OF_UNSHOWN = (b"-2", b"6", b"14")


def read_wiki(source: Source, part: int, parts: int) -> Iterator[Raw | Skip]:
    """The articles of one part of a dump: pages of the main namespace that are no redirects."""
    number, dump = -1, _Dump(source.address)
    for number, page in enumerate(dump.pages()):
        if number // PAGES_PER_BLOCK % parts != part:
            continue
        place = f"{source.label}:page {number + 1}"
        if isinstance(page, str):
            yield Skip(place, page)
            continue
        try:
            yield _article(_parsed(page), place, dump)
        except ElementTree.ParseError as error:
            yield Skip(place, f"broken XML: {error}"[:200])
    if number < 0 and part == 0:
        yield Skip(source.label, "no page of a MediaWiki dump in it")


def _parsed(page: bytes) -> ElementTree.Element:
    """A page as XML; where it is none for characters that XML does not have, with U+FFFD for each of them.

    Raises:
        ElementTree.ParseError: it is no XML for another reason.
    """
    try:
        return ElementTree.fromstring(page)
    except ElementTree.ParseError:
        text = _NO_CHARACTER.sub("\ufffd", page.decode("utf-8", "replace"))
        return ElementTree.fromstring(_ENTITY.sub(_as_character, text))


def _as_character(entity: re.Match[str]) -> str:
    """What an entity stands for that XML may not know: a name of HTML's, a number of no character."""
    character = html.unescape(entity[0])
    return html.escape(_NO_CHARACTER.sub("\ufffd", character) or "\ufffd", quote=False)


def _article(page: ElementTree.Element, place: str, dump: "_Dump") -> Raw | Skip:
    title = page.findtext("title", "")
    # Dumps before 2012 (version 0.6) say the namespace in the title alone.
    if page.findtext("ns", "0") != "0" or (page.find("ns") is None and dump.is_in_namespace(title)):
        return Skip(place, "not an article")
    if page.find("redirect") is not None:
        return Skip(place, "redirect")
    # A dump of the history has them in the order of their numbers, mostly; an unfinished one need not.
    revision = max(page.findall("revision"), key=lambda one: one.findtext("timestamp", ""), default=None)
    model = revision.findtext("model", "wikitext") if revision is not None else "wikitext"
    if model != "wikitext":
        return Skip(place, f"content of the model {model}")
    wikitext = (revision.findtext("text") if revision is not None else "") or ""
    if _REDIRECT.match(wikitext):
        return Skip(place, "redirect")
    text = plain_text(wikitext, dump.unshown)
    if not text:
        return Skip(place, "empty text")
    date = (revision.findtext("timestamp") if revision is not None else "") or ""
    return Raw(text, place, id=page.findtext("id", ""), date=date, metadata={"title": title})


class _Dump:
    """A dump that is read once from its beginning.

    Attributes:
        unshown: namespaces of pictures and categories, as the dump names them.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self.unshown = UNSHOWN
        self._namespaces = NAMESPACES

    def is_in_namespace(self, title: str) -> bool:
        """Whether a title names another namespace than that of articles."""
        name, colon, _ = title.partition(":")
        return bool(colon) and name.strip().casefold() in self._namespaces

    def pages(self) -> Iterator[bytes | str]:
        """Every `<page>` element; a string in place of one names what is wrong there."""
        rest, too_long, first, rooted = bytearray(), False, True, False
        for chunk in without_mark(unpacked(self._address)):
            if isinstance(chunk, str):
                yield chunk
                return
            searched = max(len(rest) - len(_CLOSE), 0)
            rest += chunk
            while (end := rest.find(_CLOSE, searched)) >= 0:
                start = rest.rfind(_OPEN, 0, end)
                if first:
                    rooted = _ROOT in rest[: max(start, 0)]
                    self._learn(bytes(rest[: max(start, 0)]))
                    first = False
                yield "page too large" if too_long or start < 0 else bytes(rest[start : end + len(_CLOSE)])
                del rest[: end + len(_CLOSE)]
                searched, too_long = 0, False
            if len(rest) > _HISTORY:
                _forget_history(rest)
            if len(rest) > MAX_TEXT:
                rest, too_long = rest[-len(_CLOSE) :], True
        if _OPEN in rest or too_long:
            yield "truncated page"
        elif rooted and _ROOT_END not in rest:
            yield "truncated behind this page: the dump has no end"

    def _learn(self, head: bytes) -> None:
        """Learn the names of namespaces from the beginning of a dump."""
        named = {
            html.unescape(name.decode("utf-8", "replace")).casefold(): key
            for key, name in _NAMESPACE.findall(head)
        }
        self.unshown = UNSHOWN | {name for name, key in named.items() if key in _OF_UNSHOWN}
        self._namespaces = NAMESPACES | {name for name, key in named.items() if key != b"0"}


def _forget_history(page: bytearray) -> None:
    """Of a page that is being read, of which all revisions are there, leave the last whole one."""
    first, last = page.find(_REVISION), page.rfind(_REVISION_END)
    newest = page.rfind(_REVISION, 0, last) if last > 0 else -1
    if 0 <= first < newest:
        del page[first:newest]
