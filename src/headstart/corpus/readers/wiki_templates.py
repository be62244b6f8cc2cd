"""Templates of MediaWiki that are words of a sentence: what a reader sees of them, as far as the page says.

Nearly all templates are boxes, references and notices, and show nothing here. Those below stand in the middle
of sentences, which would lose their words: «The tower is {{convert|324|m|ft}} tall».
"""

import re
from collections.abc import Callable

_BAR = re.compile(r"\|(?![^\[\]]*\]\])")  # not one inside of a link
_NAMED = re.compile(r"\s*[\w -]{1,40}=(?!=)")

Shown = Callable[[list[str]], str]


def _one(number: int) -> Shown:
    return lambda given: given[number] if len(given) > number else ""


def _joined(sign: str) -> Shown:
    return lambda given: sign.join(one for one in given if one)


def _measure(given: list[str]) -> str:
    """`convert|324|m|ft` and `convert|3|to|5|km`."""
    unit = next(
        (at for at, one in enumerate(given) if not re.match(r"[\d.,+−-]|to$|and$|or$|by$|x$|–$|-$", one)), 0
    )
    return " ".join(given[: unit + 1])


def _same(text: str) -> Shown:
    return lambda _: text


def _prefixed(text: str) -> Shown:
    return lambda given: " ".join([text, *given[:1]]).strip()


# Those that show their first parameter.
_FIRST = """
nowrap nobr small smaller big larger em strong sic abbr vanchor quote blockquote cquote quotation math mvar
formatnum sup sub angbr ill nihongo lc uc smallcaps sc keypress key mono code tt samp var kbd typo underline u
ins center span dfn gloss bold italic
"""
_TABLE: dict[str, Shown] = {
    **dict.fromkeys(_FIRST.split(), _one(0)),
    **dict.fromkeys(("visible anchor", "interlanguage link", "not a typo", "as written"), _one(0)),
    **dict.fromkeys(
        ("lang", "langx", "transl", "transliteration", "font", "color", "colour", "nativename"), _one(1)
    ),
    **dict.fromkeys(("convert", "cvt"), _measure),
    "val": _one(0),
    "frac": _joined("/"),
    "sfrac": _joined("/"),
    "fraction": _joined("/"),
    "circa": _prefixed("c."),
    "c.": _prefixed("c."),
    "as of": _prefixed("As of"),
    "start date": _joined("-"),
    "end date": _joined("-"),
    "date": _joined(" "),
    "usd": _prefixed("$"),
    "gbp": _prefixed("£"),
    "eur": _prefixed("€"),
    "inr": _prefixed("₹"),
    "!": _same("|"),
    "=": _same("="),
    "ndash": _same("–"),
    "snd": _same(" – "),
    "spnd": _same(" – "),
    "spaced ndash": _same(" – "),
    "mdash": _same("—"),
    "nbsp": _same(" "),
    "spaces": _same(" "),
    "dot": _same(" · "),
    "·": _same(" · "),
    "•": _same(" • "),
    "pi": _same("π"),
    "'": _same("'"),
    "-": _same(""),
}


def shown(template: str) -> str:
    """What a reader sees of a template, given what stands between its braces; nothing of an unknown one."""
    name, *given = _BAR.split(template)
    name = name.strip().lower().replace("_", " ")
    # Named parameters say how something is shown.
    plain = [one.strip() for one in given if one.strip() and not _NAMED.match(one)]
    if name.startswith("lang-") and name != "lang-":
        return plain[0] if plain else ""
    if name.startswith("formatnum:"):
        return name.removeprefix("formatnum:").strip()
    if name in _TABLE:
        return _TABLE[name](plain)
    return ""
