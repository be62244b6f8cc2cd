"""Formulas and numbers of lines that a page draws with elements of their own, rewritten before it is read.

A formula becomes `<math alttext="TeX"></math>`: from MathML without TeX, from what MathJax is to draw, from
an image. What KaTeX and MathJax have drawn beside it goes, and so do numbers within the lines of a listing.
"""

import re
from html import escape
from xml.etree import ElementTree

_MARKERS = ("math", "Math", "latex", "LaTeX", "katex", "lineno", "line-num", "linenum")
_MATHML = re.compile(r"<(?:\w+:)?math\b([^>]*)>(.*?)</(?:\w+:)?math\s*>", re.DOTALL | re.IGNORECASE)
_TEX_NOTE = re.compile(
    r"<annotation\b[^>]*\bencoding\s*=\s*[\"']?[\w/-]*tex[^>]*>(.*?)</annotation", re.DOTALL | re.IGNORECASE
)
_TEX_SCRIPT = re.compile(
    r"<script\b[^>]*\btype\s*=\s*[\"']?math/tex[^>]*>(.*?)</script\s*>", re.DOTALL | re.IGNORECASE
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
_LETTERS = {"mi", "mn", "mo", "mtext", "ms"}
_SIGNS = {"×": r"\times ", "⋅": r"\cdot ", "−": "-", "\u2061": "", "\u2062": "", "\u2063": ",", "\u00a0": " "}
_PREFIX = re.compile(r"(</?)[A-Za-z]+:(?=[A-Za-z])")
_ENTITY = re.compile(r"&(?!(?:amp|lt|gt|quot|apos|#\d+|#x[0-9A-Fa-f]+);)(\w*;?)")


def rewritten(html: str) -> str:
    """The page with its formulas as TeX and without drawings of them; most pages as they are."""
    if not any(marker in html for marker in _MARKERS):
        return html
    if "katex-html" in html or "MathJax" in html or "<mjx-math" in html:
        html = _without_drawings(html)
    html = _MATHML.sub(_as_tex, html)
    html = _TEX_SCRIPT.sub(lambda match: _formula(match[1]), html)
    html = _TEX_IMAGE.sub(lambda match: _formula(match[1] or match[2]), html)
    return _NUMBER_IN_LINE.sub("", html)


def _formula(tex: str) -> str:
    tex = tex.replace('"', "&quot;").replace(">", "&gt;")
    return f'<math alttext="{tex}"></math>' if tex.strip() else ""


def _without_drawings(html: str) -> str:
    """The page without the elements that draw a formula, each up to its own end tag; MathML in them stays."""
    kept: list[str] = []
    at = 0
    for match in _DRAWING.finditer(html):
        if match.start() < at:
            continue
        end = _end_of(html, match[1], match.end())
        if end is None:
            continue
        kept += [
            html[at : match.start()],
            *(formula[0] for formula in _MATHML.finditer(html, match.end(), end)),
        ]
        at = end
    return "".join([*kept, html[at:]])


def _end_of(html: str, name: str, at: int) -> int | None:
    """Where an element that began before `at` ends; None where nothing ends it."""
    depth = 1
    for tag in re.compile(rf"<(/?){name}\b[^>]*>", re.IGNORECASE).finditer(html, at):
        depth += -1 if tag[1] else 1
        if not depth:
            return tag.end()
    return None


def _as_tex(match: re.Match[str]) -> str:
    """A formula as it is where it says its TeX, else with TeX of its elements; as it is if it is broken."""
    attributes, content = match[1], match[2]
    if "alttext" in attributes or "x-tex" in content:
        return match[0]
    if said := _TEX_NOTE.search(content):
        return _formula(said[1])
    markup = _ENTITY.sub(r"&amp;\1", _PREFIX.sub(r"\1", content))
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
        text = "".join(element.itertext()).strip()
        text = "".join(_SIGNS.get(sign, sign) for sign in text)
        if name == "mtext" and text:
            return rf"\text{{{text}}}"
        return rf"\{text} " if name == "mi" and len(text) > 1 and text.isascii() and text.isalpha() else text
    if name in ("mfrac", "mroot"):
        parts = [part if part[:1] == "{" else f"{{{part}}}" for part in parts]
    if name == "mroot" and len(parts) == 2:
        return rf"\sqrt[{parts[1][1:-1]}]{parts[0]}"
    if name in _WRITTEN and len(parts) == _WRITTEN[name].count("%s"):
        return _WRITTEN[name] % tuple(parts)
    if name == "msqrt":
        return rf"\sqrt{{{_row(element)}}}"
    if name == "mspace":
        return " "
    if name in ("annotation", "annotation-xml"):
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


def _grouped(element: ElementTree.Element) -> str:
    """A part of an element, in braces if it is more than one sign."""
    tex = _tex(element)
    return tex if len(tex) == 1 else f"{{{tex.strip()}}}"
