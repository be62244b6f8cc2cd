"""Templates of MediaWiki that are words of a sentence: what a reader sees of them, as far as the page says.

Nearly all templates are boxes, references and notices, and show nothing here. Those below stand in the middle
of sentences, which would lose their words: «The tower is {{convert|324|m|ft}} tall».
"""

import re
from collections.abc import Callable

_BAR = re.compile(r"\|(?![^\[\]]*\]\])")  # not one inside of a link
_NAMED = re.compile(r"\s*[\w -]{1,40}=(?!=)")
_BY_NUMBER = re.compile(r"\s*(?:[1-9]|text|quote)\s*=")  # the same as one without a name

# Functions that show what they are given.
_FUNCTION = re.compile(r"(?:formatnum|lc|uc|lcfirst|ucfirst|nowrap):(.*)", re.DOTALL | re.IGNORECASE)

# German's `{{enS|word}}`, French's `{{XIXe siècle}}`.
_LABELLED = re.compile(r"[a-z]{2,3}S")
_CENTURY = re.compile(r"[IVX]+(?:er?|re)(?: siècle)?")

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
    if given[unit + 1 :] and (given[unit], given[unit + 2 : unit + 3]) in _TWO_UNITS:
        unit += 2  # 5 ft 6 in
    return " ".join(given[: unit + 1])


_TWO_UNITS = (("ft", ["in"]), ("lb", ["oz"]), ("st", ["lb"]), ("yd", ["ft"]), ("mi", ["yd"]))


def _last(given: list[str]) -> str:
    return given[-1] if given else ""


def _money(sign: str) -> Shown:
    return lambda given: sign + " ".join(given[:1])


def _mixed(given: list[str]) -> str:
    """`frac|3|1|2` is 3 1/2."""
    return " ".join([*given[:-2], "/".join(given[-2:])])


def _element(name: str) -> Shown:
    return lambda given: f"<{name}>{''.join(given[:1])}</{name}>"


def _ordinal(given: list[str]) -> str:
    number = given[0] if given else ""
    ends = {"1": "st", "2": "nd", "3": "rd"}
    return number + ("th" if number[-2:-1] == "1" else ends.get(number[-1:], "th"))


def _before(sign: str) -> Shown:
    return lambda given: sign + "".join(given[:1])


def _century(given: list[str]) -> str:
    """`s|XIX|e` in French; in Russian `s` keeps words on one line."""
    number = "".join(given[:1])
    return f"{number}{''.join(given[1:2]) or 'e'} siècle" if re.fullmatch("[IVX]+", number) else number


def _same(text: str) -> Shown:
    return lambda _: text


def _prefixed(text: str) -> Shown:
    return lambda given: " ".join([text, *given[:1]]).strip()


# Those that show their first parameter.
_FIRST = """
nowrap nobr small smaller big larger em strong sic abbr vanchor quote blockquote cquote quotation math mvar
formatnum angbr ill lc uc smallcaps sc keypress key mono code tt samp var kbd typo underline u
ins center span dfn gloss bold italic flag flagcountry flagu ipa tooltip nts chem2 le plainlist
flatlist nombre nb formatnombre nobold nocaps lit ruby 仮リンク zitat cita citat
bq poemquote nobreak awrap unicode polytonic iast hebrew angle grapheme noitalic translit overline pc
columns-list
versalita versalitas esd j w нп3 нп4 нп5 нп iw comment цитата cytat citação citazione zitat-de guillemets
ruby-ja ruby-zh ルビ ふりがな 要出典範囲 要検証範囲 補助漢字フォント
jis2004フォント cp932フォント 僻字 專名號 書名號 وإو اقتباس
"""
# Prefixes of ships' names, which are templates of their own.
_SHIPS = "HMS USS SS RMS MV HMAS HMCS HMNZS USNS INS SMS MS MT RV USCGC"
_TABLE: dict[str, Shown] = {
    **dict.fromkeys(_FIRST.split(), _one(0)),
    **dict.fromkeys(("visible anchor", "interlanguage link", "not a typo", "as written"), _one(0)),
    **dict.fromkeys(
        ("poem quote", "block quote", "verse translation", "citation bloc", "terme défini"), _one(0)
    ),
    **dict.fromkeys(("citation needed span", "cn span", "clarify span", "columns list", "col list"), _one(0)),
    **dict.fromkeys(("не переведено", "не перекладено", "link-interwiki", "citation étrangère"), _one(0)),
    "nihongo": lambda given: " ".join([*given[:1], *(f"({', '.join(given[1:3])})" for _ in given[1:2])]),
    "bd": lambda given: (
        f"（{'—'.join(''.join(given[at : at + 2]) for at in range(0, min(len(given), 4), 2))}）"
    ),
    **dict.fromkeys(
        ("lang", "langx", "transl", "transliteration", "font", "color", "colour", "nativename"), _one(1)
    ),
    **dict.fromkeys(("llang", "wikt-lang", "tlit", "script"), _one(1)),
    **dict.fromkeys(("convert", "cvt"), _measure),
    **dict.fromkeys(("frac", "sfrac", "fraction"), _mixed),
    **{name.lower(): _prefixed(name) for name in _SHIPS.split()},
    "ship": _joined(" "),
    **dict.fromkeys(("sort", "tsl", "translink"), _last),
    **{name: _element(name) for name in ("sup", "sub")},
    "読み仮名": lambda given: given[0] + "".join(f"（{one}）" for one in given[1:2]) if given else "",
    **dict.fromkeys(("gaps", "chem"), _joined("")),
    "e": lambda given: "×10^" + given[0] if given else "e",  # in French the end of an ordinal
    **{name: _prefixed(name) for name in ("p.", "siglo", "vol.")},
    "10^": _before("10^"),
    "x10^": _before("×10^"),
    **dict.fromkeys(("sqrt", "radic"), _before("√")),
    **dict.fromkeys(("n°", "numéro"), _prefixed("no")),
    **dict.fromkeys(("séc", "séculos"), _prefixed("século")),
    "exp": _element("sup"),
    "ind": _element("sub"),
    '"': lambda given: f"„{''.join(given[:1])}“",
    "citation": lambda given: f"« {given[0]} »" if given else "",  # of French; in English it is a reference
    **{one.lower(): _same(one) for one in ("er", "re", "M.", "Mme", "Mlle", "av. J.-C.", "ap. J.-C.", "1re")},
    "music": lambda given: {"flat": "♭", "sharp": "♯", "natural": "♮"}.get("".join(given[:1]).lower(), ""),
    **dict.fromkeys(("ubl", "unbulleted list", "hlist"), _joined(", ")),
    **dict.fromkeys(("linktext", "bibleverse", "unité", "unidad", "unit", "unite", "nunit"), _joined(" ")),
    **dict.fromkeys(("ordinal", "ord"), _ordinal),
    **dict.fromkeys(("birth date", "death date", "dts", "film date"), _joined("-")),
    **dict.fromkeys(("floruit", "fl."), _prefixed("fl.")),
    **dict.fromkeys(("reign", "r."), lambda given: "r. " + "–".join(given)),
    **dict.fromkeys(("s-", "s", "siècle", "-s-"), _century),
    "1er": _same("1er"),
    "sic": lambda given: given[0] if given else "[sic]",
    "circa": _prefixed("c."),
    "c.": _prefixed("c."),
    "as of": _prefixed("As of"),
    "start date": _joined("-"),
    "end date": _joined("-"),
    "date": _joined(" "),
    **dict.fromkeys(("usd", "$"), _money("$")),
    "us$": _money("US$"),
    **dict.fromkeys(("gbp", "£", "pound sterling"), _money("£")),
    **dict.fromkeys(("eur", "€", "euro"), _money("€")),
    "inr": _money("₹"),
    **dict.fromkeys(("jpy", "¥", "yen", "cny"), _money("¥")),
    "okina": _same("ʻ"),
    "'s": _same("'s"),
    **dict.fromkeys(("em dash", "—"), _same("—")),
    **dict.fromkeys(("en dash", "–"), _same("–")),
    **dict.fromkeys(("break", "br", "crlf"), _same("\n")),
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
    by_place = [_BY_NUMBER.sub("", one) for one in given if _BY_NUMBER.match(one) or not _NAMED.match(one)]
    plain = [one.strip() for one in by_place if one.strip()]
    named = {
        key.strip(): value.strip()
        for key, is_named, value in (one.partition("=") for one in given)
        if is_named
    }
    if (name.startswith("lang-") and name != "lang-") or _LABELLED.fullmatch(
        template.partition("|")[0].strip()
    ):
        return plain[0] if plain else ""
    if match := _FUNCTION.match(template.strip()):
        return match[1].strip()
    if _CENTURY.fullmatch(template.strip()):
        return template.strip()
    if name == "val":
        power = f"×10^{named['e']}" if "e" in named else ""
        return f"{''.join(plain[:1])}{power} {named.get('u', named.get('ul', ''))}".strip()
    if name == "lien":
        return named.get("texte") or named.get("fr") or "".join(plain[:1]) or named.get("trad", "")
    if name.startswith(("link-", "internal link helper")):
        return plain[0] if plain else ""
    if name in _TABLE:
        return _TABLE[name](plain)
    return ""
