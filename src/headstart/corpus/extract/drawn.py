"""What a page draws with elements of their own, rewritten before it is read.

A formula becomes `<math alttext="TeX"></math>`: from MathML without TeX, from what MathJax is to draw, from
an image. What KaTeX and MathJax have drawn beside it goes, and so do the numbers of a listing's lines. Of
XHTML, a script or the like that ends in its own tag gets an end tag, and CDATA is text.
"""

import re
from html import escape, unescape
from xml.etree import ElementTree

_MARKERS = ("math", "Math", "latex", "LaTeX", "katex", 'class="tex"', "lineno", "line-num", "linenum", "<xmp")
_XHTML, _ROOT = "http://www.w3.org/1999/xhtml", 2_000  # characters in which a page says what it is
# Elements whose content is no markup, ended in their own tag.
_ENDED = re.compile(
    r"<(script|style|title|noscript|template|iframe|textarea|select|object|video|audio|canvas)\b([^<>]*)/>",
    re.IGNORECASE,
)
_CDATA = re.compile(r"<!\[CDATA\[([^]<]*+(?:(?!\]\]>|<!\[CDATA\[)[]<][^]<]*+)*+)\]\]>")
# An element is taken up to the next tag of its kind, so that many that never end cost no more than one.
_VERBATIM = re.compile(r"<xmp\b[^>]*>([^<]*+(?:<(?!/?xmp\b)[^<]*+)*)</xmp\s*>", re.IGNORECASE)
_MATHML = re.compile(
    r"<(?:\w+:)?math\b([^>]*)>([^<]*+(?:<(?!/?(?:\w+:)?math\b)[^<]*+)*)</(?:\w+:)?math\s*>", re.IGNORECASE
)
_TEX_NOTE = re.compile(
    r"<annotation\b[^>]*\bencoding\s*=\s*[\"']?[\w/-]*tex[^>]*>(.*?)</annotation", re.DOTALL | re.IGNORECASE
)
_TEX_SCRIPT = re.compile(
    r"<script\b[^>]*\btype\s*=\s*[\"']?math/tex[^>]*>([^<]*+(?:<(?!/?script\b)[^<]*+)*)</script\s*>",
    re.IGNORECASE,
)
_TEX_IMAGE = re.compile(
    r"<img\b(?=[^>]*\bclass\s*=\s*[\"']?[^\"'>]*(?<![\w-])(?:latex|tex|math)(?![\w-]))(?=[^>]*\balt\s*=\s*(?:\"([^\"]*)\"|'([^']*)'))"
    r"[^>]*>",
    re.IGNORECASE,
)
# Elements that hold a drawing of what a formula beside them says.
_DRAWING = re.compile(
    r"<(span|div|nobr|mjx-math)\b[^>]*(?:class\s*=\s*[\"']?(?:katex-html|MathJax(?:_Preview|_CHTML|_SVG|_Display)?)(?=[\"'\s>])"
    r"|(?<=<mjx-math)(?=[\s>]))[^>]*>"
)
_NUMBER_IN_LINE = re.compile(
    r"<(span|a|i|b|code)\b[^>]*\bclass\s*=\s*[\"']?[^\"'>]*\b(?:linenos?|line-?numbers?|linenum|ln-num)\b[^>]*>"
    r"\s*\d{0,6}\s*</\1\s*>",
    re.IGNORECASE,
)
# Cells that hold the numbers of all lines of the listing beside them.
_NUMBERS = re.compile(
    r"<td\b[^>]*\bclass\s*=\s*[\"']?[^\"'>]*\b(?:gutter|linenos?|line-?numbers?)\b[^>]*>"
    r"(?:[\s\d]|<(?!/?td\b)[^>]*>)*</td\s*>",
    re.IGNORECASE,
)
_LETTERS = {"mi", "mn", "mo", "mtext", "ms"}
_SIGNS = {"×": r"\times ", "⋅": r"\cdot ", "−": "-", "\u2061": "", "\u2062": "", "\u2063": ",", "\u00a0": " "}
_SIGNS |= {sign: f"\\{sign}" for sign in "{}%#&$_"} | {"\\": r"\backslash "}
# Names that TeX knows as commands.
_FUNCTIONS = (
    *(
        "arccos",
        "arcsin",
        "arctan",
        "arg",
        "cos",
        "cosh",
        "cot",
        "det",
        "dim",
        "exp",
        "gcd",
        "inf",
        "ker",
        "lim",
    ),
    *("ln", "log", "max", "min", "sec", "sin", "sinh", "sup", "tan", "tanh"),
)
# What stands above a letter, by itself or as a combining sign.
_ACCENTS = {
    sign: name
    for name, signs in {
        "bar": "\u00af\u203e\u02c9\u0304", "hat": "^\u02c6\u0302", "tilde": "~\u02dc\u0303",
        "vec": "\u2192\u20d7", "dot": "\u02d9\u0307", "ddot": "\u00a8\u0308", "overbrace": "\u23de",
    }.items()
    for sign in signs
}  # fmt: skip
_PREFIX = re.compile(r"(</?)[A-Za-z]+:(?=[A-Za-z])")
_ENTITY = re.compile(r"&(?!(?:amp|lt|gt|quot|apos|#\d+|#x[0-9A-Fa-f]+);)(\w*;?)")


def rewritten(html: str) -> str:
    """The page with its formulas as TeX and without drawings of them; most pages as they are."""
    if is_xhtml(html):
        html = _CDATA.sub(lambda match: escape(match[1], quote=False), html)
        html = _ENDED.sub(r"<\1\2></\1>", html)
    if not any(marker in html for marker in _MARKERS):
        return html
    if "katex-html" in html or "MathJax" in html or "<mjx-math" in html:
        html = _without_drawings(html)
    html = _MATHML.sub(_as_tex, html)
    html = _TEX_SCRIPT.sub(lambda match: _formula(match[1]), html)
    html = _TEX_IMAGE.sub(lambda match: _formula(match[1] or match[2]), html)
    html = _VERBATIM.sub(lambda match: f"<pre>{escape(match[1], quote=False)}</pre>", html)
    return _NUMBER_IN_LINE.sub("", _NUMBERS.sub("", html))


def is_xhtml(html: str) -> bool:
    """Whether a page says that it is XML, in which a slash ends any element."""
    beginning = html[:_ROOT]
    return _XHTML in beginning or beginning.lstrip("\ufeff \r\n\t").startswith("<?xml")


def _formula(tex: str) -> str:
    tex = tex.replace('"', "&quot;").replace(">", "&gt;")
    return f'<math alttext="{tex}"></math>' if tex.strip() else ""


def _without_drawings(html: str) -> str:
    """The page without the elements that draw a formula, each up to its own end tag; MathML in them stays."""
    kept: list[str] = []
    at = 0
    ends: dict[str, dict[int, int]] = {}
    for match in _DRAWING.finditer(html):
        if match.start() < at:
            continue
        if match[1] not in ends:
            ends[match[1]] = _ends(html, match[1])
        end = ends[match[1]].get(match.start())
        if end is None:
            continue
        kept += [
            html[at : match.start()],
            *(formula[0] for formula in _MATHML.finditer(html, match.end(), end)),
        ]
        at = end
    return "".join([*kept, html[at:]])


def _ends(html: str, name: str) -> dict[int, int]:
    """Where the elements of a name end, by where they begin; without those that nothing ends."""
    found: dict[int, int] = {}
    unended: list[int] = []
    for tag in re.compile(rf"<(/?){name}\b[^>]*>", re.IGNORECASE).finditer(html):
        if not tag[1]:
            unended.append(tag.start())
        elif unended:
            found[unended.pop()] = tag.end()
    return found


def _as_tex(match: re.Match[str]) -> str:
    """A formula as it is where it says its TeX, else with TeX of its elements; as it is if it is broken."""
    attributes, content = match[1], match[2]
    if "alttext" in attributes or "x-tex" in content:
        return match[0]
    if said := _TEX_NOTE.search(content):
        return _formula(said[1])
    markup = _ENTITY.sub(lambda found: escape(unescape(found[0])), _PREFIX.sub(r"\1", content))
    try:
        tree = ElementTree.fromstring(f"<math>{markup}</math>")
    except ElementTree.ParseError:
        return match[0]
    tex = " ".join(_row(tree).split())
    return f'<math alttext="{escape(tex)}"></math>' if tex else ""


def _row(element: ElementTree.Element) -> str:
    return "".join(map(_tex, element))


def _tex(element: ElementTree.Element) -> str:
    """An element of MathML (https://www.w3.org/TR/mathml-core) as TeX."""
    name, parts = element.tag, [_grouped(part) for part in element]
    if name in _LETTERS:
        text = "".join(element.itertext())
        if name != "mtext":
            text = text.strip()
        if name == "mi" and len(text) > 1 and text.isascii() and text.isalpha():
            return rf"\{text} " if text in _FUNCTIONS else rf"\mathrm{{{text}}}"
        text = "".join(_SIGNS.get(sign, sign) for sign in text)
        return rf"\text{{{text}}}" if name == "mtext" and text.strip() else text
    if name in ("mfrac", "mroot"):
        parts = [part if part[:1] == "{" else f"{{{part}}}" for part in parts]
    if name == "mroot" and len(parts) == 2:
        return rf"\sqrt[{parts[1][1:-1]}]{parts[0]}"
    if name == "mover" and len(parts) == 2 and (accent := _ACCENTS.get(parts[1])):
        return rf"\{accent}{{{_tex(element[0]).strip()}}}"
    if name in _WRITTEN and len(parts) == _WRITTEN[name].count("%s"):
        return _WRITTEN[name] % tuple(parts)
    if name == "mmultiscripts" and parts:
        return _with_scripts([child.tag for child in element], parts)
    if name == "msqrt":
        return rf"\sqrt{{{_row(element)}}}"
    if name == "mspace":
        return " "
    if name in ("annotation", "annotation-xml", "mphantom", "none"):
        return ""
    if name == "mfenced":
        return "(" + ",".join(map(_tex, element)) + ")"
    if name == "mtable":
        rows = (" & ".join(_row(cell) for cell in row) for row in element)
        return r"\begin{matrix}" + r" \\ ".join(rows) + r"\end{matrix}"
    return _row(element)


# How elements with a fixed number of parts are written.
_WRITTEN = {
    "msup": "%s^%s",
    "msub": "%s_%s",
    "msubsup": "%s_%s^%s",
    "munder": "%s_%s",
    "mover": "%s^%s",
    "munderover": "%s_%s^%s",
    "mfrac": r"\frac%s%s",
}


def _with_scripts(tags: list[str], parts: list[str]) -> str:
    """A base with pairs of scripts behind it and, from `mprescripts` on, before it."""
    parted = tags.index("mprescripts") if "mprescripts" in tags else len(tags)
    behind, before = parts[1:parted], parts[parted + 1 :]
    return ("{}" if before else "") + _scripts(before) + parts[0] + _scripts(behind)


def _scripts(parts: list[str]) -> str:
    return "".join(f"{'_^'[place % 2]}{part}" for place, part in enumerate(parts) if part not in ("", "{}"))


def _grouped(element: ElementTree.Element) -> str:
    """A part of an element, in braces if it is more than one sign."""
    tex = _tex(element)
    return tex if len(tex) == 1 else f"{{{tex.strip()}}}"
