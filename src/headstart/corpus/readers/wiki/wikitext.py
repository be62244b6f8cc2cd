"""Plain text from wikitext, the markup of MediaWiki: what a reader would read of an article.

Templates go but for those that are words of a sentence, and so do tables, references and pictures, for what
they show is not in the page itself; links keep their words, headings, paragraphs and lists their lines. See
mediawiki.org/wiki/Help:Formatting.
"""

import html
import re
from collections.abc import Collection
from functools import partial

from headstart.corpus.readers.wiki.templates import shown
from headstart.corpus.text.exponents import LOWERED, raised
from headstart.corpus.text.language_codes import is_language

_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
# Elements that go with their content.
_GONE = (
    "ref|gallery|timeline|imagemap|score|templatestyles|hiero|graph|mapframe|maplink|table|includeonly|del|s|strike"
    "|rt|rp|rtc|categorytree|inputbox|templatedata|indicator|dynamicpagelist|quiz|phonos"
)
# Elements whose content is no markup.
_VERBATIM = re.compile(
    r"<(nowiki|pre|syntaxhighlight|source|math|chem|ce)\b(?:[^<>/]|/(?!>))*>(.*?)</\1\s*>",
    re.DOTALL | re.IGNORECASE,
)
_PUT_BY = re.compile("\0(\\d+)\0")
_ELEMENT = re.compile(rf"<(/?)({_GONE})\b[^<>]*?(/?)>", re.IGNORECASE)
_BREAK = re.compile(
    r"<br\s*/?>|</?(?:div|p|li|ul|ol|dl|dt|dd|center|blockquote|poem|h[1-6])\b[^<>]*>", re.IGNORECASE
)
_RAISED = re.compile(r"(.{0,2})<sup\b[^<>]*>([^<>]*)</sup\s*>", re.IGNORECASE | re.DOTALL)
_FRACTION = re.compile(r"(\d?)<sup>(\d+)</sup>(?:/|⁄|&frasl;)<sub>(\d+)</sub>", re.IGNORECASE)
_LOWERED = re.compile(r"(?<=\d)<sub\b[^<>]*>(\d{1,4})</sub\s*>", re.IGNORECASE)
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>")
_PARAMETER = re.compile(r"\{\{\{[^{}|]*(?:\|([^{}]*))?\}\}\}")
_RULE = re.compile(r"^-{4,}", re.MULTILINE)
_BRACES = re.compile(r"\{\{|\}\}|\{\||\|\}")
_LINK = re.compile(r"\[\[([^\[\]]*)\]\]")
_ADDRESS = re.compile(r"\[(?:(?:https?:|ftps?:|irc:|news:)?//|mailto:)[^\s\[\]]++(?:\s++([^\[\]]*+))?\]")
# Another language's page, as articles named them at their end before 2013.
_OTHER_LANGUAGE = re.compile(
    r"^\[\[(?:[a-z]{2,3}(?:-[a-z-]{2,12})?|simple):[^\[\]|]+\]\][ 	]*$", re.MULTILINE
)
_QUOTES = re.compile(r"('{2,})")
_ITEM = re.compile(r"^([*#:;]+)\s*", re.MULTILINE)
_SWITCH = re.compile(r"__([^\W\d_]+(?:_[^\W\d_]+)*)__")
# Names in programs that look like a switch.
_NO_SWITCHES = ("FILE", "LINE", "FUNCTION", "CLASS", "DIR", "METHOD", "NAMESPACE", "DATE", "TIME", "COUNTER")
_VARIANTS = re.compile(r"-\{([^{}]*)\}-")
_FLAGS = re.compile(r"^([A-Za-z;-]{0,80})\|")
_UNSHOWN_FLAGS = {"H", "T", "-"}  # rules for what follows, and the title
_VARIANT = re.compile(r"\s*(?:zh(?:-[a-z]+)?|sr(?:-[a-z]+)?|kk(?:-[a-z]+)?|ku(?:-[a-z]+)?)\s*:([^;]*)")
# Names of all namespaces but that of articles, in English; a dump says its own.
NAMESPACES = frozenset(
    f"{name}{talk}"
    for name in ("user", "wikipedia", "file", "image", "mediawiki", "template", "help", "category", "portal")
    for talk in ("", " talk")
) | {"talk", "special", "media"}
# Names of the namespaces of pictures and categories, in the languages of large wikis; a dump says its own.
UNSHOWN = frozenset(
    [
        "file",
        "image",
        "media",
        "category",
        "datei",
        "bild",
        "kategorie",
        "fichier",
        "catégorie",
        "archivo",
        "imagen",
        "categoría",
        "immagine",
        "categoria",
        "ficheiro",
        "imagem",
        "bestand",
        "afbeelding",
        "categorie",
        "plik",
        "grafika",
        "kategoria",
        "файл",
        "изображение",
        "категория",
        "категорія",
        "ファイル",
        "画像",
        "カテゴリ",
        "文件",
        "圖像",
        "图像",
        "分类",
        "分類",
        "파일",
        "분류",
        "ملف",
        "تصنيف",
        "fil",
        "billede",
        "kuva",
        "tiedosto",
        "luokka",
        "dosya",
        "resim",
        "kategori",
        "soubor",
        "slika",
    ]
)
# What a template that shows nothing leaves: `( ; born 1900)`.
_LEFT_BEGINS = re.compile(r"\(\s{0,9}[;,](?=\s)[\s;,]{1,9}")
_LEFT_ENDS = re.compile(r"(?<!\s)\s{0,9}[;,]\s{1,9}\)")
_LEFT_EMPTY = re.compile(r"\(\s{0,9}[;,]?\s{0,9}\)")


def plain_text(wikitext: str, unshown: Collection[str] = UNSHOWN) -> str:
    """The words of an article, one paragraph, heading or list item a line.

    Args:
        wikitext: the markup.
        unshown: namespaces in small letters whose links show no words: pictures and categories.
    """
    text = _COMMENT.sub("", wikitext.replace("\0", ""))
    verbatim: list[str] = []
    text = _VERBATIM.sub(lambda match: _put_by(match, verbatim), text)
    text = _without_elements(text)
    for _ in range(3):
        text, found = _PARAMETER.subn(lambda match: match[1] or "", text)
        if not found:
            break
    text = _without_braces(text)
    text = _VARIANTS.sub(_first_variant, text)
    words_of_link = partial(_words_of_link, unshown)
    text = _OTHER_LANGUAGE.sub("", text)
    # From the innermost link out: a picture's caption holds links itself.
    for _ in range(8):
        text, links = _LINK.subn(words_of_link, text)
        text, addresses = _ADDRESS.subn(lambda match: match[1] or "", text)
        if not links and not addresses:
            break
    if "<su" in text:
        text = _FRACTION.sub(lambda match: f"{match[1]}{' ' * len(match[1])}{match[2]}/{match[3]}", text)
        text = _LOWERED.sub(lambda match: match[1].translate(LOWERED), _RAISED.sub(_exponent, text))
    text = _TAG.sub("", _BREAK.sub("\n", text))
    if "''" in text:
        text = "\n".join(map(_without_quotes, text.split("\n")))
    text = _RULE.sub("", _SWITCH.sub(_not_a_switch, text))
    text = _ITEM.sub(lambda match: "- " if match[1][-1] in "*#" else "", text)
    text = html.unescape(text).replace("\u00a0", " ")
    text = _LEFT_ENDS.sub(")", _LEFT_BEGINS.sub("(", _LEFT_EMPTY.sub("", text)))
    lines = [_line(line.strip()) for line in text.split("\n")]
    text = re.sub(r"\n{3,}", "\n\n", "\n".join(line for line in lines if line != "-")).strip()
    return _PUT_BY.sub(lambda match: verbatim[int(match[1])], text)


def _put_by(match: re.Match[str], verbatim: list[str]) -> str:
    """A mark in place of content that is no markup, which is put by: code as it is, a formula as its TeX."""
    name, content = match[1].lower(), html.unescape(match[2])
    if name in ("math", "chem", "ce"):
        tex = " ".join(content.split())
        content = f"${tex}$" if name == "math" else tex
    elif name != "nowiki":
        content = content.strip("\n").rstrip()
    verbatim.append(content)
    return f"\0{len(verbatim) - 1}\0"


def _exponent(match: re.Match[str]) -> str:
    base, exponent = match[1], html.unescape(match[2]).strip()
    written = raised(exponent, base)
    return base + (exponent if written is None else written)


def _not_a_switch(match: re.Match[str]) -> str:
    """What looks like `__NOTOC__` in whatever language: nothing, but for names in programs."""
    name = match[1]
    return match[0] if name != name.upper() or name in _NO_SWITCHES else ""


def _without_quotes(line: str) -> str:
    """A line without the quotes that mean bold and italic, as MediaWiki tells them from apostrophes.

    Of four quotes the first is an apostrophe, of six and more all but five. Where neither bold nor italic
    ends, the first three that follow a word are an apostrophe and the beginning of an italic: `l'''art''`.
    """
    parts = _QUOTES.split(line)
    for place in range(1, len(parts), 2):
        count = len(parts[place])
        more = 1 if count == 4 else max(count - 5, 0)
        parts[place - 1] += "'" * more
        parts[place] = "'" * (count - more)
    counts = [len(quotes) for quotes in parts[1::2]]
    bold, italic = sum(count in (3, 5) for count in counts), sum(count in (2, 5) for count in counts)
    if bold % 2 and italic % 2:
        places = [place for place in range(1, len(parts), 2) if len(parts[place]) == 3]
        if places:
            parts[min(places, key=lambda place: _rank(parts[place - 1])) - 1] += "'"
    return "".join(parts[::2])


def _rank(before: str) -> int:
    """How likely an apostrophe follows: best after a word of one letter, at least after a space."""
    return 2 if before[-1:] == " " else 0 if before[-2:-1] == " " else 1


def _line(line: str) -> str:
    """A line, and of a heading `== Life ==` its words."""
    return line.strip("= ") if line[:1] == line[-1:] == "=" else line


def _without_elements(text: str) -> str:
    """The text without elements that go with their content; one that is never closed stays."""
    kept: list[str] = []
    inside: str | None = None
    at = 0
    tags = list(_ELEMENT.finditer(text))
    last_closing = {match[2].lower(): place for place, match in enumerate(tags) if match[1]}
    for place, match in enumerate(tags):
        closing, name, empty = match[1], match[2].lower(), match[3]
        if inside is None:
            kept.append(text[at : match.start()])
            at = match.end()
            if not closing and not empty and last_closing.get(name, -1) > place:
                inside = name
        elif closing and name == inside:
            inside, at = None, match.end()
    kept.append(text[at:])
    return "".join(kept)


def _without_braces(text: str) -> str:
    """The text with templates `{{…}}` as a reader sees them and without tables `{|…|}`, however they nest.

    One that never ends stays."""
    kept: list[str] = []
    open_at: list[tuple[str, int]] = []  # what closes each open pair, and where in `kept` it began
    at = 0
    while match := _BRACES.search(text, at):
        kept.append(text[at : match.start()])
        sign, at = match[0], match.end()
        if sign == "|}" and open_at and open_at[-1][0] == "}}" and text.startswith("}", at):
            kept.append("|")  # an empty last parameter, and the end of the template
            sign, at = "}}", at + 1
        if sign in ("{{", "{|"):
            open_at.append(("}}" if sign == "{{" else "|}", len(kept)))
            kept.append(sign)
        elif open_at and open_at[-1][0] == sign:
            first = open_at.pop()[1]
            words = shown("".join(kept[first + 1 :])) if sign == "}}" else ""
            kept[first:] = [words]
        else:
            kept.append(sign)
    kept.append(text[at:])
    return "".join(kept)


def _first_variant(match: re.Match[str]) -> str:
    """Of `-{zh-hans:计算机; zh-hant:電腦}-` the first one; nothing of what only sets a rule."""
    flags = _FLAGS.match(match[1])
    if flags and not _UNSHOWN_FLAGS.isdisjoint(flags[1].split(";")):
        return ""
    text = _FLAGS.sub("", match[1])
    variant = _VARIANT.match(text)
    return variant[1].strip() if variant else text


def _words_of_link(unshown: Collection[str], match: re.Match[str]) -> str:
    """`[[target|words]]` and `[[target]]`; nothing of pictures, categories and other languages' pages."""
    target, bar, words = match[1].partition("|")
    namespace, colon, title = target.partition(":")
    name = namespace.strip().casefold().replace("_", " ")
    if colon and (
        name in unshown or (not bar and namespace.islower() and is_language(name) and title[:1] != " ")
    ):
        return ""
    return words.rpartition("|")[2] if words else target.lstrip(":")
