"""A page's lines of text, each with its place among the page's elements.

The page is cut into tags and text by one regular expression that reads every character once, so that time
grows with size alone, however the page nests its elements or leaves them open. A line is the text between two
borders of block elements; a cell of a table is a line of its own, and a preformatted block is one line.
"""

import re
from dataclasses import dataclass
from html import unescape

import numpy as np

# Elements whose content is nothing to read. It ends at the end tag or, where there is none, with the page.
# fmt: off
_UNREAD = [
    "script", "style", "svg", "noscript", "template", "iframe", "textarea", "select", "object", "video",
    "audio", "canvas",
]
# fmt: on


def _caseless(name: str) -> str:
    return "".join(f"[{letter}{letter.upper()}]" for letter in name)


def _unread(name: str) -> str:
    end = rf"/{_caseless(name)}(?=[\s/>])"
    shown = "(?![^>]*shadowrootmode)" if name == "template" else ""  # a shadow root is shown
    return rf"{_caseless(name)}(?=[\s/>]){shown}[^<]*+(?:<(?!{end})[^<]*+)*(?:<{end}[^>]*+>?)?"


# A tag; its groups are its name and its attributes, in which a quoted value may hold '>'. No part is read
# again and again: single characters are repeated possessively, and what follows a repeated group may be
# missing, so that nothing fails behind it. (Groups are not possessive: Python before 3.11.5 errs there.)
# For speed alone, only names with the first letter of an unread one are compared with these, and attributes
# are first tried as nearly all pages write them.
_TAG = re.compile(
    "<(?:"
    + f"(?=[{''.join(sorted({case(name[0]) for name in _UNREAD for case in (str.lower, str.upper)}))}])"
    + f"(?:{'|'.join(map(_unread, _UNREAD))})"
    + r"|!--[^-]*+(?:-(?!->)[^-]*+)*(?:-->)?"
    + r"|[!?][^>]*+>?"
    + r"|(/?[a-zA-Z][^\s/>]*+)(?:>|("
    + r"[^>=]*+(?:=\"[^\"]*+\"[^>=]*+)*"
    + r"(?:=(?:\s*+(?:\"[^\"]*+\"?|'[^']*+'?))?[^>=]*+)*)>?)"
    + r"|/[^>]*+>?)"
)
_WORD = re.compile(r"\w")
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
_FORMULA, _FORMULA_END, _NOTE = range(118, 121)


def _actions() -> dict[str, int]:
    """By the tag's name as it stands in a page: in small letters or in capitals."""
    actions = TAG | {f"/{name}": _CLOSES + number for name, number in TAG.items()}
    actions |= {mark + name: _BORDER for name in _BORDERS for mark in ("", "/")}
    actions |= {"a": _LINK, "/a": _LINK_END, "br": _BREAK, "/br": _BREAK, "title": _TITLE}
    # What is struck out; the reading that is set above a word.
    for name in ("del", "s", "strike", "rt", "rp"):
        actions |= {name: _UNSAID, f"/{name}": _SAID}
    actions |= {"rb": _SAID, "/ruby": _SAID, "q": _QUOTE, "/q": _UNQUOTE, "sup": _RAISED, "/sup": _LEVEL}
    actions |= {"code": _CODE, "/code": _CODE_END}
    actions |= {"math": _FORMULA, "/math": _FORMULA_END, "annotation": _NOTE, "annotation-xml": _NOTE}
    return actions | {name.upper(): action for name, action in actions.items()}


_ACTIONS = _actions()
_PRE, _TABLE = TAG["pre"], TAG["table"]
_OF_TABLES = frozenset({TAG["td"], TAG["th"], _TABLE})
_BR, _LINK_ENDED = "\0", ""
_EXPONENT = re.compile(r"[+−-]?[\d]{1,4}|n")
_RAISE = str.maketrans("0123456789+-−n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻ⁿ")
# Blocks that a listing may be made of, a line each.
_LINES_OF_CODE = frozenset(TAG[name] for name in ("div", "p", "li", "ol", "ul", "tr"))
_IN_LISTING = _LINES_OF_CODE | {TAG["td"], TAG["th"]}
# Tables that are a listing, a row a line.
_LISTING = re.compile(
    r"class\s*=\s*[\"']?[^\"'>]*\b(?:highlight|js-file-line-container|blob-code|hljs-ln)(?![\w-])",
    re.IGNORECASE,
)
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
    first: np.ndarray  # [E] the first line in the element
    last: np.ndarray  # [E] the line behind its last one


def read_page(html: str) -> Page:
    """The lines of a page. Any string is one: tags that end nothing are passed over.

    A page that scripts build may hold all its text in <noscript>, as forums do: then that is read.
    """
    page = _read(html)
    if _has_little(page) and _NOSCRIPT.search(html):
        without_scripts = _read(_NOSCRIPT.sub(r"<\1div", html))
        if not _has_little(without_scripts):
            return without_scripts
    return page


def _has_little(page: Page) -> bool:
    return sum(map(len, page.lines)) < _LITTLE


def _read(html: str) -> Page:
    title = ""
    lines: list[str] = []
    element: list[int] = []
    linked: list[float] = []
    links: list[int] = []
    tags, parents, depths, flags, attributes = [0], [0], [0], [0], [""]
    first, last = [0], [0]
    stack = [0]
    top = tag = inherited = 0  # the innermost open element, its tag and its flags
    open_tags = [0] * len(TAGS)

    pieces: list[str] = []  # of the line that is being read
    link = 0  # how deep the open link lies, or 0
    link_characters = link_count = 0
    unsaid = False  # whether what comes is struck out or a reading
    raised = -1  # where in `pieces` an open <sup> began
    code = False  # whether it is in <code> in a preformatted block
    of_code = 0  # blocks that are open there, which are lines
    skipped = 0  # how deep the cell of line numbers lies that is open, or 0

    def end_line() -> None:
        nonlocal link_characters, link_count, unsaid, raised
        unsaid, raised = False, -1
        text = "".join(pieces)
        pieces.clear()
        if skipped:
            link_characters = link_count = 0
            return
        if "&" in text:
            if "&#" in text:
                text = _HALVES.sub(_one_of_halves, text)
            text = unescape(text)
        if inherited & PRE:
            text = text.replace(_BR, "\n").replace("\r\n", "\n").strip("\r\n").rstrip()
        elif _BR in text:
            text = "\n".join([" ".join(part.split()) for part in text.split(_BR)]).strip("\n")
        else:
            text = " ".join(text.split())
        if _WORD.search(text):
            lines.append(text)
            element.append(top)
            linked.append(min(1.0, link_characters / len(text)))
            links.append(link_count)
        link_characters = link_count = 0

    def close() -> None:
        nonlocal link, top, tag, inherited, skipped
        if skipped and skipped == len(stack):
            skipped = 0
        last[top] = len(lines)
        open_tags[tag] -= 1
        stack.pop()
        top = stack[-1]
        tag, inherited = tags[top], flags[top]
        if link > len(stack):
            link = 0

    links_before = 0
    formula: list[str] | None = None  # the signs of the one that is open
    tex = ""
    parts = _TAG.split("<!>" + html.replace("\0", ""))  # text, name, attributes, text, ...
    for name, attribute, text in zip(parts[1::3], parts[2::3], parts[3::3], strict=True):
        action = _ACTIONS.get(name, _NOTHING)
        if action < 0:
            if pieces and name and "-" in name:  # an element that the page defines: mostly a block
                pieces.append(" ")
        elif code and (action in _IN_LISTING or (action - _CLOSES in _IN_LISTING and of_code)):
            of_code += 1 if action < _BORDER else -1
            is_line = action in _LINES_OF_CODE or action - _CLOSES in _LINES_OF_CODE
            if is_line and pieces and pieces[-1] is not _BR and not pieces[-1].endswith("\n"):
                pieces.append(_BR)
        elif action < _BORDER:
            if pieces:
                end_line()
            while action in _CLOSED_BY[tag]:
                close()
            inherited |= _FLAGS_OF[action]
            if not attribute:
                attribute = ""
            elif ("hidden" in attribute and _HIDDEN.search(attribute)) or (
                "none" in attribute and _NOT_SHOWN.search(attribute)
            ):
                inherited |= FLAG["hidden"]
            parents.append(top)
            depths.append(len(stack))
            top, tag = len(tags), action
            stack.append(top)
            tags.append(tag)
            flags.append(inherited)
            attributes.append(attribute)
            first.append(len(lines))
            last.append(0)
            open_tags[tag] += 1
            if tag in _OF_TABLES and attribute:
                if tag != _TABLE:
                    if not skipped and _LINE_NUMBERS.search(attribute):
                        skipped = len(stack)
                elif _LISTING.search(attribute):
                    code, of_code = True, 0
                    inherited |= PRE
                    flags[top] = inherited
        elif action >= _CLOSES:
            if action in (_CLOSES + _PRE, _CLOSES + _TABLE):
                code, of_code = False, 0
            if pieces:
                end_line()
            if open_tags[action - _CLOSES]:
                while tag != action - _CLOSES:
                    close()
                close()
        elif action == _LINK:
            if attribute and ("href" in attribute or "HREF" in attribute):
                link = len(stack)
                link_count += 1
                if pieces and pieces[-1] is _LINK_ENDED:
                    pieces.append(" ")
        elif action == _LINK_END:
            link = 0
            if pieces and not text:
                pieces.append(_LINK_ENDED)
        elif action == _BREAK:
            if pieces and pieces[-1] is _BR and not inherited & PRE:
                end_line()
            elif pieces:
                pieces.append(_BR)
        elif action == _TITLE:
            title = title or " ".join(unescape(text).split())
            continue
        elif action == _UNSAID:
            unsaid = True
        elif action == _SAID:
            unsaid = False
        elif action == _QUOTE:
            pieces.append("“")
        elif action == _UNQUOTE:
            pieces.append("”")
        elif action == _RAISED:
            raised, links_before = len(pieces), link_count
        elif action == _LEVEL:
            exponent = "".join(pieces[raised:]).strip() if raised >= 0 else ""
            if link_count == links_before and _EXPONENT.fullmatch(exponent):
                pieces[raised:] = [exponent.translate(_RAISE)]
            raised = -1
        elif action == _FORMULA:
            formula, unsaid, tex = [], True, ""
            if alternative := _ALTERNATIVE.search(attribute or ""):
                tex = alternative[1] or alternative[2] or ""
        elif action == _NOTE:
            if formula is not None and "x-tex" in (attribute or ""):
                tex = text
            text = ""
        elif action == _FORMULA_END:
            if formula is not None:
                pieces.append(f"${' '.join(tex.split())}$" if tex.strip() else " ".join(formula))
            formula, unsaid = None, False
        elif action == _CODE:
            code = bool(inherited & PRE)
        elif action == _CODE_END:
            code, of_code = False, 0
        elif pieces:
            end_line()
        if formula is not None and unsaid and text.strip():
            formula.append(text.strip())
        if text and not unsaid and (not text.isspace() or (pieces and pieces[-1] is not _BR)):
            pieces.append(text)
            if link:
                link_characters += len(text.strip())
    if pieces:
        end_line()
    while top:
        close()
    last[0] = len(lines)
    return Page(
        title,
        lines,
        np.array(element, np.int64),
        np.array(linked, np.float64),
        np.array(links, np.int64),
        np.array(tags, np.int64),
        np.array(parents, np.int64),
        np.array(depths, np.int64),
        np.array(flags, np.int64),
        attributes,
        np.array(first, np.int64),
        np.array(last, np.int64),
    )
