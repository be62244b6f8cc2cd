"""A page's lines of text, each with its place among the page's elements.

The page is cut into tags and text by one regular expression (`tags`), so that time grows with size alone,
however the page nests its elements or leaves them open. A line is the text between two borders of block
elements; a cell of a table is a line of its own, and a preformatted block is one line.
"""

import re
from dataclasses import dataclass
from html import unescape

import numpy as np

from headstart.corpus.extract.drawn import is_xhtml, rewritten
from headstart.corpus.extract.tags import PIECES
from headstart.corpus.text.exponents import LOWERED, fraction, raised

_WORD = re.compile(r"\w")
# A line's end in the source between two wide signs is no space (CSS Text 3, section 4.1.3), whatever marks
# of `inline_marks` stand beside it.
_WIDE = "\u2e80-\ua4cf\uf900-\ufaff\ufe30-\ufe6f\uff00-\uffef\U00020000-\U0003ffff"
_CUT_LINE = re.compile(rf"([{_WIDE}][\ufdd0-\ufdef]*+)[ \t\r]*+\n\s*+([\ufdd0-\ufdef]*+)(?=[{_WIDE}])")
_NOSCRIPT = re.compile(r"<(/?)noscript(?=[\s/>])", re.IGNORECASE)
_LITTLE = 500  # characters: of a page with less text, what it shows without scripts is looked at
_NOT_SHOWN = re.compile(r"display\s*:\s*none")
_HIDDEN = re.compile(r"hidden(?:(?<![\w-]hidden)(?![\w-])(?!\s*=\s*[\"']?false)|(?<=aria-hidden)=.?true)")

# fmt: off
TAGS = [
    "body", "div", "p", "ul", "ol", "li", "dl", "dt", "dd", "table", "tr", "td", "th", "caption", "h1",
    "h2", "h3", "h4", "h5", "h6", "section", "article", "main", "header", "footer", "nav", "aside",
    "form", "fieldset", "legend", "figure", "figcaption", "blockquote", "pre", "address", "center",
    "details", "summary", "dialog", "button", "menu", "hgroup",
]
# fmt: on
TAG = {name: number for number, name in enumerate(TAGS)}
# Borders of lines that are not kept as elements.
# fmt: off
_BORDERS = [
    "html", "body", "head", "thead", "tbody", "tfoot", "hr", "frameset", "noframes", "search",
    "optgroup", "option", "template", "title",
]
# fmt: on

# What an element and all that it holds is marked as.
# fmt: off
FLAGS = [
    "nav", "header", "footer", "aside", "form", "article", "main", "table", "list", "figure", "quote",
    "pre", "hidden", "button", "heading", "details",
]
# fmt: on
FLAG = {name: 1 << number for number, name in enumerate(FLAGS)}
_FLAGS_BY_NAME = {
    **{name: bit for name, bit in FLAG.items() if name in TAG},
    **dict.fromkeys(("ul", "ol", "dl", "menu"), FLAG["list"]),
    **dict.fromkeys(("h1", "h2", "h3", "h4", "h5", "h6", "legend", "caption"), FLAG["heading"]),
    "blockquote": FLAG["quote"],
}
_FLAGS_OF = [_FLAGS_BY_NAME.get(name, 0) for name in TAGS]
PRE, HEADING = FLAG["pre"], FLAG["heading"]

# Which tags close an open element without an end tag of its own, by number.
_CLOSED_BY_NAME = {
    "p": TAGS,
    "li": ["li"],
    "tr": ["tr"],
    "dt": ["dt", "dd"],
    "dd": ["dt", "dd"],
    "td": ["td", "th", "tr"],
    "th": ["td", "th", "tr"],
}
_CLOSED_BY = [frozenset(TAG[tag] for tag in _CLOSED_BY_NAME.get(name, ())) for name in TAGS]

# What a tag does: opens the element TAGS[n] (n), closes it (_CLOSES + n), or one of these; others do nothing.
_NOTHING, _BORDER, _LINK, _LINK_END, _BREAK, _TITLE, _CLOSES = -1, 100, 101, 102, 103, 104, 200
# Elements in a line that change what is read of it.
_UNSAID, _SAID, _QUOTE, _UNQUOTE, _RAISED, _LEVEL, _CODE, _CODE_END = range(110, 118)
_LOWERED, _NO_LOWER = 118, 119
_READINGS, _NO_READINGS = 108, 109
_FORMULA, _FORMULA_END, _NOTE = range(120, 123)


def _actions() -> dict[str, int]:
    """By the tag's name as it stands in a page: in small letters or in capitals."""
    actions = TAG | {f"/{name}": _CLOSES + number for name, number in TAG.items()}
    actions |= {mark + name: _BORDER for name in _BORDERS for mark in ("", "/")}
    actions |= {"a": _LINK, "/a": _LINK_END, "br": _BREAK, "/br": _BREAK, "title": _TITLE}
    # What is struck out; the reading that is set above a word.
    for name in ("del", "s", "strike", "rt", "rp"):
        actions |= {name: _UNSAID, f"/{name}": _SAID}
    actions |= {"rb": _SAID, "rtc": _READINGS, "/rtc": _NO_READINGS, "/ruby": _NO_READINGS}
    actions |= {"q": _QUOTE, "/q": _UNQUOTE, "sup": _RAISED, "/sup": _LEVEL}
    actions |= {"sub": _LOWERED, "/sub": _NO_LOWER}
    actions |= {"code": _CODE, "/code": _CODE_END}
    actions |= {"math": _FORMULA, "/math": _FORMULA_END, "annotation": _NOTE, "annotation-xml": _NOTE}
    return actions | {name.upper(): action for name, action in actions.items()}


_ACTIONS = _actions()
_TABLE = TAG["table"]
_PREFORMATTED = TAG["pre"]
_OF_LISTINGS = frozenset({_PREFORMATTED, _TABLE})
# What makes a listing apart from <code>: nothing, a table or a cell, a preformatted block alone.
_NONE, _OF_CELLS, _ALONE = range(3)
_OF_ROWS = frozenset({TAG["td"], TAG["th"]})
_OF_TABLES = _OF_ROWS | {_TABLE}
_SEPARATORS = "|/\\·•»›>«‹<:,."  # between cells that are drawn as one line
_BR, _LINK_ENDED = "\0", ""
# Blocks that a listing may be made of, a line each.
_LINES_OF_CODE = frozenset(TAG[name] for name in ("div", "p", "li", "ol", "ul", "tr"))
_IN_LISTING = _LINES_OF_CODE | {TAG["td"], TAG["th"]}
# Tables that are a listing, a row a line.
_LISTING = re.compile(
    r"class\s*=\s*[\"']?[^\"'>]*\b(?:highlight|js-file-line-container|blob-code|hljs-ln)(?![\w-])",
    re.IGNORECASE,
)
# A cell that is one, a block a line.
_CELL_OF_CODE = re.compile(r"class\s*=\s*[\"']?(?:code|de1)(?![\w-])", re.IGNORECASE)
# Cells that hold the numbers of lines beside a listing.
_LINE_NUMBERS = re.compile(
    r"class\s*=\s*[\"']?[^\"'>]*\b(?:linenos?|line-?numbers?|lineno|blob-num|gutter|hljs-ln-numbers)\b",
    re.IGNORECASE,
)
# What a formula says of itself, in TeX mostly.
_ALTERNATIVE = re.compile(r"\balttext\s*=\s*(?:\"([^\"]*)\"|'([^']*)')", re.IGNORECASE)
# An emoji as two references, one to each half of a surrogate pair.
_HALVES = re.compile(
    r"&#(?:(5[5-7]\d{3})|[xX]([dD][89abAB][0-9a-fA-F]{2}));"
    r"&#(?:(5[5-7]\d{3})|[xX]([dD][c-fC-F][0-9a-fA-F]{2}));"
)


def _one_of_halves(match: re.Match[str]) -> str:
    high = int(match[1] or match[2], 10 if match[1] else 16)
    low = int(match[3] or match[4], 10 if match[3] else 16)
    if not (0xD800 <= high < 0xDC00 <= low < 0xE000):
        return match[0]
    return chr(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))


def _is_between(before: str, behind: str) -> bool:
    """Whether what stands between two texts stands between two words."""
    return before[-1:].isalnum() and behind[:1].isalnum()


@dataclass(frozen=True)
class Page:
    """L lines of text in the order of the page, and E elements in the order in which they open."""

    title: str
    lines: list[str]
    element: np.ndarray  # [L] the innermost element that holds the line
    linked: np.ndarray  # [L] share of its characters that are links
    links: np.ndarray  # [L] number of links
    tag: np.ndarray  # [E] index into TAGS; element 0 is the page
    parent: np.ndarray  # [E] that of the page is the page
    depth: np.ndarray  # [E] how many elements it lies in
    flags: np.ndarray  # [E] bits of FLAGS, inherited
    attributes: list[str]  # [E] as they stand in the page
    signs: dict[int, str]  # of cells that hold no word: the sign that they hold, as ✓
    first: np.ndarray  # [E] the first line in the element
    last: np.ndarray  # [E] the line behind its last one


def read_page(html: str) -> Page:
    """The lines of a page. Any string is one: tags that end nothing are passed over.

    A page that scripts build may hold all its text in <noscript>, as forums do: then that is read.
    """
    html = rewritten(html)
    page = _Reader().read(html)
    if _has_little(page) and _NOSCRIPT.search(html):
        without_scripts = _Reader().read(_NOSCRIPT.sub(r"<\1div", html))
        if not _has_little(without_scripts):
            return without_scripts
    return page


def _has_little(page: Page) -> bool:
    return sum(map(len, page.lines)) < _LITTLE


class _Reader:
    """Reads one page, from its first tag to its last."""

    __slots__ = (
        *("title", "lines", "element", "linked", "links"),
        *("tags", "parents", "depths", "flags", "attributes", "first", "last"),
        *("stack", "top", "tag", "inherited", "open_tags"),
        *("pieces", "link", "link_characters", "link_count", "unsaid", "readings", "raised"),
        *("lowered", "signs", "xhtml"),
        *("code", "listing", "of_code", "skipped", "formula", "tex"),
    )

    def __init__(self) -> None:
        # What is found: the columns of a `Page`.
        self.title = ""
        self.lines: list[str] = []
        self.element: list[int] = []
        self.linked: list[float] = []
        self.links: list[int] = []
        self.tags, self.parents, self.depths, self.flags = [0], [0], [0], [0]
        self.attributes = [""]
        self.signs: dict[int, str] = {}
        self.first, self.last = [0], [0]
        # Which elements are open; the innermost one, its tag and its flags.
        self.stack = [0]
        self.top = self.tag = self.inherited = 0
        self.open_tags = [0] * len(TAGS)
        # The line that is being read.
        self.pieces: list[str] = []
        self.link = 0  # how deep the open link lies, or 0
        self.link_characters = self.link_count = 0
        self.unsaid = False  # whether what comes is struck out or a reading
        self.readings = False  # whether that is one of several, which end together
        self.raised: list[tuple[int, int]] = []  # of each open <sup>, what was before it: pieces, links
        self.lowered = -1  # where an open <sub> began
        self.formula: list[str] | None = None  # the signs of the one that is open
        self.tex = ""
        self.xhtml = False  # whether a slash ends every element
        # Listings.
        self.code = False  # whether it is in one
        self.listing = _NONE  # what makes it one, but for <code>
        self.of_code = 0  # blocks that are open there, which are lines
        self.skipped = 0  # how deep the cell of line numbers lies that is open, or 0

    def read(self, html: str) -> Page:
        """The lines and elements of a page."""
        self.xhtml = is_xhtml(html)
        pieces = self.pieces
        parts = PIECES.split("<!>" + html.replace("\0", ""))  # text, name, attributes, text, ...
        for name, attribute, text in zip(parts[1::3], parts[2::3], parts[3::3], strict=True):
            action = _ACTIONS.get(name, _NOTHING)
            if action < 0:
                # An element that the page defines is mostly a block; a picture may stand between two words.
                if pieces and name and ("-" in name or (name == "img" and _is_between(pieces[-1], text))):
                    pieces.append(" ")
            elif self.code and (action in _IN_LISTING or (action - _CLOSES in _IN_LISTING and self.of_code)):
                self._line_of_code(action)
            elif action < _BORDER:
                self._open(action, attribute or "")
            elif action >= _CLOSES:
                self._end(action - _CLOSES)
            elif action == _BORDER:
                if pieces:
                    self._end_line()
            elif action == _TITLE:
                self.title = self.title or " ".join(unescape(text).split())
                continue
            elif action == _LINK_END:
                self.link = 0
                if pieces and not text:
                    pieces.append(_LINK_ENDED)
            elif action < _TITLE:
                self._link_or_break(action, attribute)
            elif action < _FORMULA:
                self._in_line(action)
            else:
                text = self._of_formula(action, attribute or "", text)
            if self.unsaid:
                if self.formula is not None and text.strip():
                    self.formula.append(text.strip())
            elif text and (not text.isspace() or (pieces and pieces[-1] is not _BR)):
                pieces.append(text)
                if self.link:
                    self.link_characters += len(text.strip())
        if pieces:
            self._end_line()
        while self.top:
            self._close(self.tag)
        self.last[0] = len(self.lines)
        return self._page()

    def _page(self) -> Page:
        return Page(
            self.title,
            self.lines,
            np.array(self.element, np.int64),
            np.array(self.linked, np.float64),
            np.array(self.links, np.int64),
            np.array(self.tags, np.int64),
            np.array(self.parents, np.int64),
            np.array(self.depths, np.int64),
            np.array(self.flags, np.int64),
            self.attributes,
            self.signs,
            np.array(self.first, np.int64),
            np.array(self.last, np.int64),
        )

    # Lines

    def _end_line(self) -> None:
        if self.formula is not None:
            self._end_formula()
        self.unsaid, self.readings, self.lowered = False, False, -1
        if self.raised:
            self.raised.clear()
        text = "".join(self.pieces)
        if "\n" in text and not text.isascii() and not self.inherited & PRE:
            # Elements that have nothing but space between them are apart.
            text = _CUT_LINE.sub(
                r"\1\2", "".join([" " if piece.isspace() else piece for piece in self.pieces])
            )
        self.pieces.clear()
        if not self.skipped:
            if "&" in text:
                if "&#" in text:
                    text = _HALVES.sub(_one_of_halves, text)
                text = unescape(text)
            if self.inherited & PRE:
                text = text.replace(_BR, "\n").replace("\r\n", "\n").replace("\u00a0", " ")
                text = text.strip("\r\n").rstrip()
            elif _BR in text:
                text = "\n".join([" ".join(part.split()) for part in text.split(_BR)]).strip("\n")
            else:
                text = " ".join(text.split())
            if text and (text[0].isalpha() or _WORD.search(text)):
                self.lines.append(text)
                self.element.append(self.top)
                linked = self.link_characters
                self.linked.append(min(1.0, linked / len(text)) if linked else 0.0)
                self.links.append(self.link_count)
            elif text and self.tag in _OF_ROWS and text not in _SEPARATORS:
                self.signs[self.top] = text
        self.link_characters = self.link_count = 0

    def _line_of_code(self, action: int) -> None:
        """A block within a listing, which is a line of it."""
        self.of_code += 1 if action < _BORDER else -1
        is_line = action in _LINES_OF_CODE or action - _CLOSES in _LINES_OF_CODE
        pieces = self.pieces
        if is_line and pieces and pieces[-1] is not _BR and not pieces[-1].endswith("\n"):
            pieces.append(_BR)

    # Elements

    def _open(self, tag: int, attributes: str) -> None:
        if self.code and self.listing == _ALONE and not self.of_code:
            self.code, self.listing = False, _NONE
        if self.pieces:
            self._end_line()
        while tag in _CLOSED_BY[self.tag]:
            self._close(self.tag)
        inherited = self.inherited | _FLAGS_OF[tag]
        if attributes and (
            ("hidden" in attributes and _HIDDEN.search(attributes))
            or ("none" in attributes and _NOT_SHOWN.search(attributes))
        ):
            inherited |= FLAG["hidden"]
        self.parents.append(self.top)
        self.depths.append(len(self.stack))
        self.top, self.tag = len(self.tags), tag
        self.stack.append(self.top)
        if attributes and tag in _OF_TABLES:
            if tag != _TABLE:
                if not self.skipped and _LINE_NUMBERS.search(attributes):
                    self.skipped = len(self.stack)
                elif _CELL_OF_CODE.search(attributes):
                    self.code, self.listing, self.of_code = True, _OF_CELLS, 0
                    inherited |= PRE
            elif _LISTING.search(attributes):
                self.code, self.listing, self.of_code = True, _OF_CELLS, 0
                inherited |= PRE
        elif tag == _PREFORMATTED and not self.code:
            self.code, self.listing, self.of_code = True, _ALONE, 0
        self.inherited = inherited
        self.tags.append(tag)
        self.flags.append(inherited)
        self.attributes.append(attributes)
        self.first.append(len(self.lines))
        self.last.append(0)
        self.open_tags[tag] += 1
        if self.xhtml and attributes.endswith("/"):
            self._close(tag)

    def _end(self, tag: int) -> None:
        """An end tag: of the innermost element of its kind, and of all that is open in it."""
        if tag in _OF_LISTINGS:
            self.code, self.listing, self.of_code = False, _NONE, 0
        if self.pieces:
            self._end_line()
        if self.open_tags[tag]:
            self._close(tag)

    def _close(self, outermost: int) -> None:
        """Close elements from the innermost one to the first of this tag; one is open."""
        stack, tags, open_tags, line = self.stack, self.tags, self.open_tags, len(self.lines)
        top, closed = self.top, -1
        while closed != outermost:
            if self.skipped == len(stack):
                self.skipped = 0
            closed = tags[top]
            if closed == _PREFORMATTED:
                self.code, self.listing, self.of_code = False, _NONE, 0
            self.last[top] = line
            open_tags[closed] -= 1
            stack.pop()
            top = stack[-1]
        self.top, self.tag, self.inherited = top, tags[top], self.flags[top]
        if self.link > len(stack):
            self.link = 0

    # Elements in a line

    def _link_or_break(self, action: int, attributes: str | None) -> None:
        pieces = self.pieces
        if action == _LINK:
            if attributes and ("href" in attributes or "HREF" in attributes):
                self.link = len(self.stack)
                self.link_count += 1
                if pieces and pieces[-1] is _LINK_ENDED:
                    pieces.append(" ")
        elif pieces and pieces[-1] is _BR and not self.inherited & PRE:
            self._end_line()
        elif pieces:
            pieces.append(_BR)

    def _in_line(self, action: int) -> None:
        pieces = self.pieces
        if action in (_UNSAID, _SAID):
            self.unsaid = action == _UNSAID or self.readings
        elif action in (_READINGS, _NO_READINGS):
            self.unsaid = self.readings = action == _READINGS
        elif action in (_QUOTE, _UNQUOTE):
            pieces.append("“" if action == _QUOTE else "”")
        elif action == _RAISED:
            self.raised.append((len(pieces), self.link_count))
        elif action == _LEVEL:
            if self.raised:
                at, links_before = self.raised.pop()
                exponent = unescape("".join(pieces[at:])).strip(" \u2060\u200b")
                base = pieces[at - 1][-2:] if at else ""
                written = raised(exponent, base) if self.link_count == links_before else None
                if written is not None:
                    pieces[at:] = [written]
                else:  # nor is what holds it one
                    self.raised.clear()
        elif action == _LOWERED:
            self.lowered = len(pieces)
        elif action == _NO_LOWER:
            at = self.lowered
            index = "".join(pieces[at:]).strip() if at > 0 else ""
            before = pieces[at - 3] if at > 2 else ""
            parts = fraction(pieces[at - 2], unescape(pieces[at - 1]), index, before) if at > 1 else None
            # Of a number it would be a digit; of a letter it is written so (H2O).
            if parts is not None:
                pieces[at - 2 :] = [parts]
            elif index.isdecimal() and pieces[at - 1][-1:].isdecimal():
                pieces[at:] = [index.translate(LOWERED)]
            self.lowered = -1
        elif action == _CODE:
            self.code = self.code or bool(self.inherited & PRE)
            if self.listing == _ALONE:
                self.listing = _NONE
        elif self.listing == _NONE:
            if self.open_tags[_PREFORMATTED]:
                self.listing = _ALONE
            else:
                self.code, self.of_code = False, 0

    def _of_formula(self, action: int, attributes: str, text: str) -> str:
        """A formula, which is read as the TeX that it says of itself, or else sign by sign; returns what of
        the text behind the tag is still to be read."""
        if action == _FORMULA:
            self.formula, self.unsaid, self.tex = [], True, ""
            self.pieces.append("")  # so that a block ends the line, and one without an end with it
            if alternative := _ALTERNATIVE.search(attributes):
                self.tex = alternative[1] or alternative[2] or ""
            if attributes.endswith("/"):  # of no HTML, so that a slash ends it
                self._end_formula()
        elif action == _NOTE:
            if self.formula is not None and "x-tex" in attributes:
                self.tex = text
            return ""
        else:
            self._end_formula()
        return text

    def _end_formula(self) -> None:
        if self.formula is not None:
            tex = " ".join(self.tex.split())
            self.pieces.append(f"${tex}$" if tex else " ".join(self.formula))
        self.formula, self.unsaid = None, False
