"""Lines of web pages that are no text, which a recipe may drop before anything is measured.

C4 (Raffel 2020, section 2.2) drops notices about scripts, cookies and terms, lines of few words and lines
that do not end like a sentence; RefinedWeb (Penedo 2023, appendix G.2) what belongs to an interface:
counters, lone words, lines in capitals. The patterns of words are English.
"""

import re

from pydantic import Field

from headstart.corpus.extract.page import joined
from headstart.recipe import Recipe

_NOTICES = (
    "javascript",
    "terms of use",
    "privacy policy",
    "cookie policy",
    "uses cookies",
    "use of cookies",
    "use cookies",
)
# Before a bracket or a semicolon it may be an element of a program within a sentence, and stays.
_CITATION = re.compile(r"\[(?:\d{1,3}(?!\][();-])|edit|citation needed)\]")
# What tells a line of a program, in which [12] is an element: it is indented, ends like a statement, counts
# from 0, has the element in an operation, in a call or of a name that is none of a sentence.
_PROGRAM = re.compile(
    r"^(?: {4}|\t)|[;{}]\s*$|\[0\]|\[\d{1,3}\]\s*(?:[=+*/<>]|\.[a-z_])"
    r"|\b[^\W_]*+_\w*+\[\d|[\w)]\([^()\[]*\w\[\d"
)
_COUNTER = re.compile(
    r"\W*\d[\d,.]*[KkMmBb]?\s+(?:likes|shares|comments|retweets|reposts|quotes|bookmarks|upvotes|downvotes"
    r"|downloads|views|followers)\b"
)
_BUTTON = re.compile(r"^sign-in\b|\bitems in cart\b|read more(?:\.\.\.|…)$", re.IGNORECASE)
_BUTTON_WORDS = 10
_SENTENCE_CLOSES = (".", "?", "!", '"', "'", "”", "’")


class Lines(Recipe):
    """Which lines of web pages are dropped."""

    notices: bool = True
    """Drop lines about scripts, cookies and terms."""
    citations: bool = True
    """Drop marks within lines, except in programs: [12], [edit]."""
    interface: bool = False
    """Drop RefinedWeb's interface lines: mostly capitals, only digits, counters, one word, short lines with
    the words of a button."""
    unpunctuated: bool = False
    """Drop lines that do not end like a sentence, or end in three dots."""
    min_words: int = Field(default=0, ge=0)
    """Lines with fewer words are dropped."""
    max_word_characters: int | None = Field(default=None, ge=1)
    """Lines with a longer word are dropped; None: none are."""


def drop_lines(text: str, lines: Lines) -> tuple[str, float]:
    """A page's normalised text without the lines that the recipe drops, and their share of its words."""
    if lines.citations and "[" in text:
        text = "\n".join(map(_without_citations, text.split("\n")))
    every = lines.interface or lines.unpunctuated or lines.min_words or lines.max_word_characters
    small = text.lower() if lines.notices else ""
    notices = [notice for notice in _NOTICES if notice in small]
    if not every and not notices:
        return text.strip("\n"), 0.0
    fewest, longest = lines.min_words, lines.max_word_characters
    kept: list[str] = []
    gone: list[str] = []
    for line in text.split("\n"):
        first = line.split(None, fewest)  # words enough to tell whether there are fewer
        if first and (
            len(first) < fewest
            or (longest is not None and len(line) > longest and max(map(len, line.split())) > longest)
            or (lines.unpunctuated and _unpunctuated(line.strip()))
            or (lines.interface and _interface(line.strip(), line.split()))
            or (notices and _has_one(notices, line.lower()))
        ):
            gone.append(line)
        else:
            kept.append(line)
    if not gone:
        return text.strip("\n"), 0.0
    return joined(kept), sum(len(line.split()) for line in gone) / len(text.split())


def _without_citations(line: str) -> str:
    if "[" not in line or not _CITATION.search(line) or _PROGRAM.search(line):
        return line
    return _CITATION.sub("", line)


def _has_one(notices: list[str], line: str) -> bool:
    return any(notice in line for notice in notices)


def _unpunctuated(line: str) -> bool:
    return not line.endswith(_SENTENCE_CLOSES) or line.endswith("...")


def _interface(line: str, words: list[str]) -> bool:
    return (
        len(words) == 1
        or 2 * sum(map(str.isupper, line)) > len(line)
        or bool(_COUNTER.match(line))
        or "".join(words).isdigit()
        or (len(words) <= _BUTTON_WORDS and bool(_BUTTON.search(line)))
    )
