"""Emphasis, code and links within a line of a page, kept beside its text.

A page is read once more with a mark of one character before and behind what they hold. The marks are
characters that Unicode gives to nobody (U+FDD0 to U+FDEF), attached to text that is there anyway, so that the
page has the same lines as without them.
"""

import re
from collections import Counter
from html import unescape
from urllib.parse import urljoin

from headstart.corpus.extract.blocks import Page, read_page

_STRONG, _EMPHASIS, _CODE, _LINK, _END = map(chr, range(0xFDD0, 0xFDD5))
_DIGIT = 0xFDE0  # the number of a link's address is written behind its mark, by these
_MARK_OF = {
    **dict.fromkeys(("b", "strong"), _STRONG),
    **dict.fromkeys(("i", "em", "cite"), _EMPHASIS),
    **dict.fromkeys(("code", "kbd", "samp", "tt"), _CODE),
    "a": _LINK,
}
# Others that are part of a line and mark nothing.
_PLAIN = frozenset(("span", "u", "small", "font", "mark", "abbr", "sup", "sub", "wbr", "time", "label"))
_TAG = re.compile(r"<(/?[a-zA-Z][^\s/<>]*+)([^<>]*+)>|<")
_HREF = re.compile(r"(?<![\w-])href\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'>]+))", re.IGNORECASE)
_BASE = re.compile(r"<base\s[^>]*>", re.IGNORECASE)
_ANY = re.compile("[\ufdd0-\ufdef]")
_PARTS = re.compile(f"([{_STRONG}{_EMPHASIS}{_CODE}])|{_LINK}([\ufde0-\ufde9]+)|({_END})")
_ESCAPED = re.compile(r"[\\`*\[\]]|(?<![^\W_])_|_(?![^\W_])|<(?=[a-zA-Z/!?])|&(?=#?\w+;)")
_OPENS_BLOCK = re.compile(
    r"^(#{1,6}(?=\s|$)|>|[-+](?=\s|$)|[-=]{2,}\s*$)|^(\d{1,9})([.)])(?=\s|$)", re.MULTILINE
)


def marked_lines(html: str, page: Page, url: str) -> list[str]:
    """The lines of a page as Markdown: its text escaped, with emphasis, code and links.

    Args:
        html: the page.
        page: the same, read.
        url: where it was found, for the addresses of links.
    """
    marked, addresses = _marked(_ANY.sub("", html) + "</html>", base_of(html, url))
    lines = read_page(marked).lines
    if len(lines) != len(page.lines):
        lines = page.lines
    return [
        _markdown(line if _ANY.sub("", line) == plain else plain, addresses)
        for line, plain in zip(lines, page.lines, strict=True)
    ]


def _marked(html: str, url: str) -> tuple[str, list[str]]:
    """A page that ends in a tag, with marks, and the addresses of its links by their numbers."""
    made: list[str] = []
    addresses: list[str] = []
    opening: list[str] = []  # marks of elements that opened since the last text
    open_now: Counter[str] = Counter()  # elements of each kind, of which the outermost counts
    text_at = -1  # where in `made` the text lies behind which an element may end
    at = 0
    for match in _TAG.finditer(html):
        text = html[at : match.start()]
        at = match.end()
        if text and not text.isspace():
            lead = len(text) - len(text.lstrip())
            text_at = len(made)
            text = text[:lead] + "".join(opening) + text[lead:]
            opening.clear()
        made += (text, match[0])
        name = (match[1] or "").lower()
        kind = _MARK_OF.get(name.removeprefix("/"), "")
        if not kind:
            if name.removeprefix("/") not in _PLAIN:
                opening.clear()
                open_now.clear()
                text_at = -1
        elif not name.startswith("/"):
            open_now[kind] += 1
            if open_now[kind] == 1:
                opening.append(kind + _number(len(addresses)) if kind == _LINK else kind)
                addresses += [_address(match[2], url)] * (kind == _LINK)
        elif open_now[kind]:
            open_now[kind] -= 1
            if not open_now[kind] and opening:
                opening.pop()
            elif not open_now[kind] and text_at >= 0:
                inside = made[text_at].rstrip()
                made[text_at] = inside + _END + made[text_at][len(inside) :]
    return "".join(made), addresses


def base_of(html: str, url: str) -> str:
    """The address from which the links of a page go: its own, or what it says in place of that."""
    hrefs = (_HREF.search(base[0]) for base in _BASE.finditer(html))
    given = next((one for match in hrefs if match for one in match.groups() if one), "")
    try:
        return urljoin(url, unescape(given).strip())
    except ValueError:
        return url


def _number(value: int) -> str:
    return "".join(chr(_DIGIT + int(digit)) for digit in str(value))


def _address(attributes: str, url: str) -> str:
    """Where a link leads; empty for one that leads nowhere else."""
    found = _HREF.search(attributes)
    given = unescape(next((one for one in found.groups() if one), "")).strip() if found else ""
    try:
        address = urljoin(url, given)
    except ValueError:
        return ""
    if not given or given.startswith("#") or not address.startswith(("http://", "https://", "mailto:")):
        return ""
    return re.sub(r"[\s()<>\\]", lambda match: f"%{ord(match[0]):02X}", address)


def _markdown(line: str, addresses: list[str]) -> str:
    """A line with marks as Markdown; what is open at its end ends there."""
    if not _ANY.search(line):
        return escaped(line)
    open_marks = [""]
    inside: list[list[str]] = [[]]
    parts = _PARTS.split(line)
    texts, marks = parts[::4], [*zip(parts[1::4], parts[2::4], parts[3::4], strict=True), ("", "", "")]
    behind = [""] * (len(texts) + 1)  # of every text, the first sign from there on
    for place in range(len(texts) - 1, -1, -1):
        behind[place] = texts[place][:1] or behind[place + 1]
    for place, (text, (mark, number, end)) in enumerate(zip(texts, marks, strict=True)):
        inside[-1].append(text if _CODE in open_marks else escaped(text, begins=place == 0))
        if mark or number:
            open_marks.append(mark or number)
            inside.append([])
        elif end and len(inside) > 1:
            _end(inside, open_marks, addresses, behind[place + 1])
    while len(inside) > 1:
        _end(inside, open_marks, addresses, "")
    return "".join(inside[0])


def _end(inside: list[list[str]], open_marks: list[str], addresses: list[str], behind: str) -> None:
    """End the innermost element: add it, as Markdown, to what holds it."""
    text, mark = "".join(inside.pop()), open_marks.pop()
    before = next((piece[-1] for one in reversed(inside) for piece in reversed(one) if piece), "")
    outer = inside[-1]
    if not text or mark in open_marks or _CODE in open_marks:
        outer.append(text)
    elif mark == _CODE:
        fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
        pad = " " if text.startswith("`") or text.endswith("`") else ""
        outer.append(f"{fence}{pad}{text}{pad}{fence}")
    elif mark in (_STRONG, _EMPHASIS):
        sign = "**" if mark == _STRONG else "*"
        # Signs beside letters are no emphasis where what they hold begins or ends with another sign.
        joined = (before.isalnum() and not text[0].isalnum()) or (behind.isalnum() and not text[-1].isalnum())
        outer.append(text if joined or before == "*" or text.isspace() else f"{sign}{text}{sign}")
    else:
        address = addresses[int("".join(str(ord(digit) - _DIGIT) for digit in mark))]
        in_link = any("\ufde0" <= one[:1] <= "\ufde9" for one in open_marks)
        if address and before == "!":  # or it would be a picture
            outer[-1] = outer[-1][:-1] + "\\!" if outer and outer[-1] else ""
        outer.append(f"[{text}]({address})" if address and not in_link else text)


def escaped(text: str, begins: bool = True) -> str:
    """Text in which no sign means anything in Markdown.

    Args:
        text: some lines.
        begins: whether the first of them is whole.
    """
    text = _ESCAPED.sub(r"\\\g<0>", text)
    first, parted, rest = ("", "", text) if begins else text.partition("\n")
    rest = _OPENS_BLOCK.sub(lambda match: f"{match[2]}\\{match[3]}" if match[2] else f"\\{match[0]}", rest)
    return first + parted + rest
