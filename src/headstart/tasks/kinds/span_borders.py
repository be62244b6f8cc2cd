"""How a file counts the borders of its spans: from 0 or 1, with ends behind or on the last character, in
characters, UTF-16 code units (JavaScript, Java, .NET) or bytes.

A label begins and ends with a word. So the right way to count is the one by which the spans of a file do.
"""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import NamedTuple

from headstart.errors import HeadstartError
from headstart.tasks.kinds.span_forms import RawSpan
from headstart.tasks.kinds.spans import words_in

FEW_TELLING = 3
"""Spans that are whole words by one count and not by another; fewer may be chance."""
SURE, DOUBTFUL = 0.9, 0.5
"""Shares of the telling spans that have to be whole words by a count that is taken up, and by characters at
most."""
UNITS = {"characters": "", "utf-16": "utf-16-le", "utf-8": "utf-8"}
UNIT_NAMES = {"characters": "characters", "utf-16": "UTF-16 code units", "utf-8": "bytes of UTF-8"}


class Counting(NamedTuple):
    """A way to count."""

    unit: str = "characters"
    start: int = 0
    """What is added to the first border, and to the second."""
    end: int = 0

    def borders(self, text: str, span: RawSpan) -> tuple[int, int] | None:
        """The span's first character and the one behind its last; None where it lies outside of the text."""
        start, end = span.start + self.start, span.end + self.end
        if UNITS[self.unit] and not text.isascii():
            places = _places(text, self.unit)
            if start not in places or end not in places:
                return None
            start, end = places[start], places[end]
        return (start, end) if 0 <= start < end <= len(text) else None

    def within(self, where: str, text: str, span: RawSpan) -> tuple[int, int]:
        """The same; a span outside of its text is a `HeadstartError`."""
        found = self.borders(text, span)
        if found is None:
            raise HeadstartError(
                f"{where}: the span {span.start} to {span.end} lies outside its text of {len(text):,} "
                f"characters; "
                "spans count characters from 0, and end behind their last one"
            )
        return found

    @property
    def name(self) -> str:
        """For a task folder to remember."""
        return f"{self.unit} {self.start:+d} {self.end:+d}"

    @classmethod
    def named(cls, name: str) -> "Counting":
        unit, start, end = name.split()
        return cls(unit, int(start), int(end))

    def __str__(self) -> str:
        shift = {
            (0, 0): "",
            (0, 1): "ends are the last character's own, and one was added",
            (-1, -1): "counted from 1, and one was taken off",
            (-1, 0): "counted from 1 with ends on the last character, and one was taken off their starts",
        }[self.start, self.end]
        unit = "" if self.unit == "characters" else f"counted in {UNIT_NAMES[self.unit]}"
        return ", ".join(filter(None, (unit, shift))) or "as they are"


COUNTINGS = [Counting(unit, *shift) for shift, unit in product([(0, 0), (0, 1), (-1, -1), (-1, 0)], UNITS)]
"""The usual one first."""


def counting_of(
    texts: Sequence[tuple[str, Sequence[RawSpan]]], known: Counting | None = None
) -> tuple[Counting, int, int]:
    """How spans are counted in a file; how many spans that sets right, and how many are no whole words still.

    Args:
        texts: every text with its spans.
        known: how they were counted in training, which holds where the file does not tell otherwise.
    """
    usual = COUNTINGS.index(known) if known in COUNTINGS else 0
    whole: list[list[bool]] = []
    for text, spans in texts:
        if not spans:
            continue
        words = words_in(text).spans
        starts, ends = {start for start, _ in words}, {end for _, end in words}
        for span in spans:
            whole.append([_is_whole(text, span, counting, starts, ends) for counting in COUNTINGS])
    if not whole:
        return COUNTINGS[usual], 0, 0
    right = [sum(column) for column in zip(*whole, strict=True)]
    best = max(range(len(COUNTINGS)), key=lambda i: (right[i], -i))
    telling = [row for row in whole if row[best] != row[0]]
    better = sum(row[best] for row in telling)
    if (
        best
        and len(telling) >= FEW_TELLING
        and better >= SURE * len(telling)
        and right[best] >= DOUBTFUL * len(whole)
    ):
        return COUNTINGS[best], better, len(whole) - right[best]
    if right[usual] < right[0]:
        usual = 0
    return COUNTINGS[usual], right[usual] - right[0], len(whole) - right[usual]


def _is_whole(text: str, span: RawSpan, counting: Counting, starts: set[int], ends: set[int]) -> bool:
    found = counting.borders(text, span)
    if found is None:
        return False
    start, end = found
    if span.text is not None:
        return text[start:end].strip() == span.text.strip()
    if counting == COUNTINGS[0]:  # blanks around a span do no harm
        part = text[start:end]
        start, end = start + len(part) - len(part.lstrip()), end - len(part) + len(part.rstrip())
    return start in starts and end in ends


def _places(text: str, unit: str) -> Mapping[int, int]:
    """The character at each border, by how many units stand before it."""
    found, units = {0: 0}, 0
    for place, character in enumerate(text, 1):
        units += len(character.encode(UNITS[unit], errors="surrogatepass")) // (2 if unit == "utf-16" else 1)
        found[units] = place
    return found
