"""The main text of an HTML page, and text made ready: normalised, without boilerplate, cut into pieces."""

import hashlib
import re
from importlib.util import find_spec
from pathlib import Path
from unicodedata import is_normalized
from unicodedata import normalize as to_normal_form

from resiliparse.extract.html2text import extract_plain_text

from headstart.corpus.extract.line_classifier import SHIPPED, load
from headstart.corpus.extract.main_text import main_text
from headstart.corpus.extract.markdown import main_markdown
from headstart.corpus.readers.nesting import nests_deeper
from headstart.errors import HeadstartError, nearest

EXTRACTORS = ("headstart", "resiliparse", "trafilatura", "union")
NO_MARKDOWN = "the extractor {!r} writes no Markdown; take headstart or leave markdown out"
TRAINED = ".safetensors"  # the end of the name of a classifier of one's own

# What builds a tree of the page costs depth times size: resiliparse takes 0.6 s for 8,000 nested <div>, over
# a minute for 100,000, and a call into it cannot be interrupted. Real pages stay below 100.
MAX_DEPTH = 512

# Where a line may break, in which direction it runs, or a mark of a file's beginning: nothing to read, and it
# parts words. A zero-width space before a letter of a script without spaces says where a word ends, and
# stays.
_SIGNS = "\xad\u034f\u061c\u180e\u200e\u200f\ufeff" + "".join(
    map(chr, (*range(0x202A, 0x202F), *range(0x2060, 0x206A)))
)
_INVISIBLE = re.compile(rf"[{_SIGNS}]|\u200b(?![\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u9fff])")
_BLANK_LINES = re.compile("\n\n\n+")
# Other ends of lines, of pages and of fields; where they are none, control characters mean nothing.
_BREAKS = "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1b\x1f\x7f\ufffe\uffff]")


def extract_text(
    html: str, url: str | None = None, extractor: str = "headstart", markdown: bool = False
) -> str:
    """Extract the main text of a page, with paragraphs, lists, tables and code on lines of their own.

    Args:
        html: the decoded page.
        url: where the page was found, for messages and for trafilatura.
        extractor: `headstart` (a classifier of lines), `resiliparse` (faster, less exact), `trafilatura`,
            `union` (the main text of any of these), or a file of `headstart corpus train-extractor`.
        markdown: whether the text is Markdown; only headstart's own extractor writes it.

    Raises:
        HeadstartError: the extractor does not exist, is not installed, or writes no Markdown. Or the page
            nests its elements too deeply to build a tree, which all extractors need except the classifier.
    """
    if reason := unavailable(extractor):
        raise HeadstartError(reason)
    if extractor == "headstart" or extractor.endswith(TRAINED):
        classifier = None if extractor == "headstart" else load(Path(extractor))
        return normalise(
            main_markdown(html, url or "", classifier) if markdown else main_text(html, classifier)
        )
    if markdown:
        raise HeadstartError(NO_MARKDOWN.format(extractor))
    if nests_deeper(html, MAX_DEPTH):
        raise HeadstartError(f"{url or 'this page'} nests elements more than {MAX_DEPTH} deep; leave it out")
    if extractor == "union":
        return union(
            [normalise(text) for text in (main_text(html), _resiliparse(html), _trafilatura(html, url))]
        )
    return normalise(_resiliparse(html) if extractor == "resiliparse" else _trafilatura(html, url))


def unavailable(extractor: str) -> str | None:
    """Why an extractor cannot be used, or None if it can."""
    if extractor.endswith(TRAINED):
        try:
            load(Path(extractor))
        except HeadstartError as error:
            return str(error)
        return None
    if extractor not in EXTRACTORS:
        return f"there is no extractor {extractor!r}{nearest(extractor, EXTRACTORS)}"
    if extractor in ("trafilatura", "union") and find_spec("trafilatura") is None:
        return f"the extractor {extractor!r} needs trafilatura: pip install 'headstart[trafilatura]'"
    return None


def classifier_fingerprint(extractor: str) -> str | None:
    """Tells apart the classifiers that an extractor asked under one name; None: it asks none."""
    if extractor in ("resiliparse", "trafilatura"):
        return None
    file = Path(extractor) if extractor.endswith(TRAINED) else SHIPPED
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16]


def _resiliparse(html: str) -> str:
    text: str = extract_plain_text(html, main_content=True, preserve_formatting=True)
    return text


def _trafilatura(html: str, url: str | None) -> str:
    from trafilatura import extract

    return extract(html, url=url) or ""


def union(texts: list[str]) -> str:
    """The first text, and of the others the lines that it does not have, behind the line they follow there.

    Lines are compared by their letters and digits alone, and one that is part of another counts as had.
    """
    merged = texts[0].split("\n") if texts[0] else []
    for text in texts[1:]:
        keys = [_key(line) for line in merged]
        had = "\n".join(keys)
        place = {key: at for at, key in enumerate(keys) if key}
        behind: dict[int, list[str]] = {}
        at = -1
        for line in text.split("\n"):
            key = _key(line)
            if key in place:
                at = place[key]
            elif key and key not in had:
                behind.setdefault(at, []).append(line)
                had += "\n" + key
        merged = behind.get(-1, []) + [
            one for at, line in enumerate(merged) for one in (line, *behind.get(at, ()))
        ]
    return "\n".join(merged)


def _key(line: str) -> str:
    return "".join(filter(str.isalnum, line)).casefold()


def composed(text: str) -> str:
    """A text with composed letters, as nearly all are written, and without unseen signs that part words."""
    if text.isascii():
        return text
    if not is_normalized("NFC", text):
        text = to_normal_form("NFC", text)
    return _INVISIBLE.sub("", text) if any(sign in text for sign in _SIGNS + "\u200b") else text


def normalise(text: str) -> str:
    """Unix line ends, composed letters (NFC), nothing invisible that parts words, no control characters, no
    space at line ends, at most one blank line in a row."""
    text = composed(text)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    for sign in _BREAKS:  # one by one is many times faster than all at once
        if sign in text:
            text = text.replace(sign, "\n")
    text = _CONTROL.sub("", text)
    return joined(text.split("\n"))


def joined(lines: list[str]) -> str:
    """Lines as one text: no space at their ends, at most one blank line in a row, none at the text's ends."""
    return _BLANK_LINES.sub("\n\n", "\n".join([line.rstrip() for line in lines])).strip("\n")


def cut_into_pieces(text: str, characters: int) -> list[str]:
    """Cut a long text into pieces of about equal size, each at most `characters` long.

    Cuts fall between paragraphs where possible, else between lines, sentences or words. Pieces let a shuffle
    mix books, and bound the work for one document.
    """
    if len(text) <= characters:
        return [text]
    size = -(-len(text) // -(-len(text) // characters))  # as many pieces as needed, equally long
    pieces, start = [], 0
    while len(text) - start > characters:
        window = text[start : start + characters]
        for separator in ("\n\n", "\n", ". ", " "):
            if (end := _nearest(window, separator, size)) > characters // 2:
                break
        else:
            end = characters
        pieces.append(text[start : start + end].strip("\n"))
        start += end
    pieces.append(text[start:].strip("\n"))
    return [piece for piece in pieces if piece.strip()]


def _nearest(window: str, separator: str, target: int) -> int:
    """The end of the separator that lies nearest to `target`, or 0."""
    before = window.rfind(separator, 0, target)
    after = window.find(separator, target)
    ends = [at + len(separator) for at in (before, after) if at >= 0]
    return min(ends, key=lambda end: abs(end - target), default=0)
