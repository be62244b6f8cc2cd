"""Characters that belong together, the words of a text, and tags for spans of them.

A letter with its combining marks and an emoji with its modifiers are several code points and one sign for
whoever reads; no word or span begins or ends inside of one.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

from headstart.tasks.examples import WordSequence
from headstart.tasks.metrics.entities import SPAN_TAG, Entity, SpanTags, entities

Scheme = Literal["IO", "IOB1", "BIO", "BIOES"]

_ALONE = (
    "\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uac00-\ud7af\uf900-\ufaff\uff66-\uff9d\U00020000-\U0003ffff"
)
"""Letters of scripts that put no blanks between words, or hang endings on names (Thai, Lao, Tibetan, Burmese,
Khmer, kana, Han, Hangul): each is a word, so that a span may begin and end at any."""
_WORD = re.compile(
    rf"[{_ALONE}]|\d+(?:[.,:]\d+)+(?!\w)|[^\W\d_](?:\.[^\W\d_])+(?!\w)|(?:(?![{_ALONE}])\w)+|[^\w\s]"
)
_UNDERLINED, _BEHIND = re.compile(r"([BIESLUM])_(.+)"), re.compile(r"(.+)[-_]([BIESLUM])")
"""Tags that are written otherwise than B-PER: B_PER, and PER-B or PER_B."""
_JOINER = "\u200d"


class Span(NamedTuple):
    """A labelled part of a text, or of a list of words."""

    start: int
    end: int
    """Behind its last character, or its last word."""
    label: str


def inside_grapheme(text: str, place: int) -> bool:
    """Whether the border before `text[place]` cuts a sign in two (the main rules of UAX #29)."""
    if not 0 < place < len(text):
        return False
    before, after = text[place - 1], text[place]
    if before.isspace() or after < "\u0300":  # a mark behind a blank stands for itself
        return before == "\r" and after == "\n"
    if _extends(after) or after == _JOINER or (before == _JOINER and not after.isspace()):
        return True
    if _is_regional(before) and _is_regional(after):  # a flag is two of them
        first = place
        while first and _is_regional(text[first - 1]):
            first -= 1
        return (place - first) % 2 == 1
    return False


def _extends(character: str) -> bool:
    """A mark, a variation selector or a skin tone."""
    return unicodedata.category(character)[0] == "M" or "\U0001f3fb" <= character <= "\U0001f3ff"


def _is_regional(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


def outside_graphemes(text: str, start: int, end: int) -> tuple[int, int]:
    """The span widened to whole signs."""
    while inside_grapheme(text, start):
        start -= 1
    while inside_grapheme(text, end):
        end += 1
    return start, end


def words_in(text: str) -> WordSequence:
    """Runs of letters and digits, numbers such as 3,000 and initials such as U.S as one, and every other sign
    for
    itself: a label may begin or end at a hyphen or an apostrophe (Paris-based, Anna's)."""
    cuts = {0, len(text)}
    for match in _WORD.finditer(_without_marks(text)):
        cuts |= set(match.span())
    places = [place for place in sorted(cuts) if 0 <= place <= len(text) and not inside_grapheme(text, place)]
    spans = []
    for start, end in pairwise(places):
        piece = text[start:end]
        if piece.strip():
            start += len(piece) - len(piece.lstrip())
            spans.append((start, start + len(piece.strip())))
    return WordSequence(text, spans)


def _without_marks(text: str) -> str:
    """The text with a letter in the place of every mark that belongs to one."""
    if text.isascii():
        return text
    plain: list[str] = []
    for character in text:
        marks_letter = unicodedata.category(character)[0] == "M" and bool(plain) and plain[-1].isalnum()
        plain.append("x" if marks_letter else character)
    return "".join(plain)


def tags_of(words: WordSequence, spans: Sequence[Span]) -> SpanTags:
    """A BIO tag for every word from spans of the text; a word belongs to the first span that holds any of
    it."""
    tags = ["O"] * len(words)
    first = {start: i for i, (start, _) in enumerate(words.spans)}
    last = {end: i for i, (_, end) in enumerate(words.spans)}
    whole = [Entity(label, first[a], last[b]) for a, b, label in spans if a in first and b in last]
    for span in spans:
        inside = [i for i, (start, end) in enumerate(words.spans) if start < span.end and end > span.start]
        inside = [i for i in inside if tags[i] == "O"]
        for place, i in enumerate(inside):
            tags[i] = f"{'I' if place and i == inside[place - 1] + 1 else 'B'}-{span.label}"
    cut = [label for a, b, label in spans if a not in first or b not in last]
    return SpanTags(tags, whole, cut)


def usual_tags(sentences: Sequence[Sequence[str]], known: Sequence[str] = ()) -> list[list[str]] | None:
    """The tags with their marks in front, where all of them write these otherwise (B_PER, PER-B); else None.

    Args:
        known: the tags of training, which tell it where a file has few.
    """
    occurring = {tag for tags in sentences for tag in tags} - {"O"}
    for pattern, mark, kind in ((_UNDERLINED, 1, 2), (_BEHIND, 2, 1)):
        found = {tag: pattern.fullmatch(tag) for tag in occurring}
        marks = {match[mark] for match in found.values() if match}
        written = {tag: f"{match[mark]}-{match[kind]}" for tag, match in found.items() if match}
        likely = ("B" in marks and len(marks) > 1) or any(tag in known for tag in written.values())
        if likely and None not in found.values():
            return [[written.get(tag, tag) for tag in tags] for tags in sentences]
    return None


def scheme_of(sentences: Sequence[Sequence[str]]) -> tuple[Scheme, Counter[str]]:
    """In which scheme spans are tagged, and what breaks its rules, by what it is.

    BIOES marks ends and single words (BILOU's `L-` and `U-` are `E-` and `S-`, the `M-` of BMES is `I-`). BIO
    opens every span with `B-`. IOB1 opens one with `B-` only where it follows another of the same label at
    once. IO has bare labels, of which a run is a span.
    """
    if not all(SPAN_TAG.fullmatch(tag) for tags in sentences for tag in tags):
        return "IO", Counter()
    marks = {tag[0] for tags in sentences for tag in tags}
    if marks & set("ESLUM"):
        return "BIOES", _faults_of_bioes(sentences)
    opened: Counter[str] = Counter()  # how spans begin: with B- or I-, and whether B- was needed in IOB1
    for tags in sentences:
        for before, tag in zip(["O", *tags], tags, strict=False):
            if tag[0] == "B":
                opened["B needed" if before[2:] == tag[2:] and before != "O" else "B"] += 1
            elif tag[0] == "I" and (before == "O" or before[2:] != tag[2:]):
                opened["I"] += 1
    if opened["I"] and not opened["B"]:
        return "IOB1", Counter()
    return "BIO", Counter({"I- opens a span, where BIO has B-": opened["I"]} if opened["I"] else {})


def _faults_of_bioes(sentences: Sequence[Sequence[str]]) -> Counter[str]:
    faults: Counter[str] = Counter()
    for tags in sentences:
        open_label = ""
        for tag in [*tags, "O"]:
            mark, label = {"L": "E", "U": "S", "M": "I"}.get(tag[0], tag[0]), tag[2:]
            if open_label and (mark in "OBS" or label != open_label):
                faults["a span has no end, E-"] += 1
                open_label = ""
            if mark in "IE" and not open_label:
                faults[f"{mark}- without B- before it"] += 1
            open_label = label if mark in "BI" else ""
    return faults


def as_bio(tags: Sequence[str]) -> list[str]:
    """The same spans in BIO."""
    found = ["O"] * len(tags)
    for label, first, last in entities(tags):
        kind = f"-{label}" if label else ""
        found[first : last + 1] = [f"B{kind}", *[f"I{kind}"] * (last - first)]
    return found
