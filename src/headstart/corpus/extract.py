"""The main text of an HTML page, and text made ready: normalised, without boilerplate, cut into pieces."""

import re

from resiliparse.extract.html2text import extract_plain_text

from headstart.corpus.nesting import nests_deeper
from headstart.errors import HeadstartError

# The extractor's cost grows with depth times size: 8,000 nested <div> take 0.6 s, 100,000 over a minute, and
# a call into it cannot be interrupted. Real pages stay below 100.
MAX_DEPTH = 512

_BLANK_LINES = re.compile(r"\n[ \t]*(?:\n[ \t]*)+\n")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff]")


def extract_text(html: str, url: str | None = None) -> str:
    """The main text of a page, with its paragraphs and lists on lines of their own.

    Args:
        html: the decoded page.
        url: where the page was found, for messages.

    Raises:
        HeadstartError: the page nests its elements so deeply that parsing it would not end.
    """
    if nests_deeper(html, MAX_DEPTH):
        raise HeadstartError(f"{url or 'this page'} nests elements more than {MAX_DEPTH} deep; leave it out")
    return normalise(extract_plain_text(html, main_content=True, preserve_formatting=True))


def normalise(text: str) -> str:
    """Unix line ends, no control characters, no space at line ends, at most one blank line in a row."""
    text = _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    text = "\n".join([line.rstrip() for line in text.split("\n")])
    return _BLANK_LINES.sub("\n\n", text).strip("\n")


def cut(text: str, characters: int) -> list[str]:
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
