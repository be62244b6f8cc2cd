"""Where in a text a signal comes from: what a rule that fired is about, as spans of characters.

Signals are numbers; a person who checks a rule wants to see the line that is there twice, the bullet, the
bracket. Signals that are of the whole text (its number of words) have no span.
"""

import re
from collections.abc import Callable, Iterator

import numpy as np

from headstart.corpus.filters.signals import BULLETS, ELLIPSES, SHORT_LINE
from headstart.corpus.text.words import SENTENCE_ENDS, Words, split_words

Span = tuple[int, int]
_NGRAM = re.compile(r"(top|duplicate)_(\d+)_gram")


def spans(text: str, signal: str) -> list[Span]:
    """The spans that a signal counts, in order and without overlap; none where it is of the whole text."""
    if match := _NGRAM.match(signal):
        words = split_words(text)
        size = int(match[2]) * words.signs_of_word
        return _joined(_most_frequent(words, size) if match[1] == "top" else _again(words, size))
    if signal in _SIGNS:
        return [match.span() for match in _SIGNS[signal].finditer(text)]
    if signal in _LINES:
        return [(start, start + len(line)) for start, line in _lines(text) if _LINES[signal](line)]
    if signal.startswith("duplicate_line") or signal == "duplicate_characters_of_lines":
        return _repeats(_lines(text))
    if signal.startswith("duplicate_paragraph"):
        return _repeats(_parts(text, "\n\n"))
    return []


_SIGNS = {
    "hashes_per_word": re.compile("#"),
    "ellipses_per_word": re.compile(r"\.\.\.|…"),
    "curly_brackets": re.compile(r"\{"),
    "lorem_ipsum": re.compile("lorem ipsum", re.IGNORECASE),
    "alphabetic_words": re.compile(r"(?<!\S)(?:[\d_]|[^\w\s])+(?!\S)"),
    "newlines_per_word": re.compile(r"\n+"),
}
_LINES: dict[str, Callable[[str], bool]] = {
    "bullet_lines": lambda line: line[0] in BULLETS,
    "ellipsis_lines": lambda line: line.endswith(ELLIPSES),
    "punctuated_lines": lambda line: line[-1] not in SENTENCE_ENDS,
    "short_lines": lambda line: len(line) <= SHORT_LINE,
}


def _parts(text: str, separator: str) -> Iterator[tuple[int, str]]:
    start = 0
    for part in text.split(separator):
        if bare := part.strip():
            yield start + part.index(bare), bare
        start += len(part) + len(separator)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    return _parts(text, "\n")


def _repeats(parts: Iterator[tuple[int, str]]) -> list[Span]:
    """The parts that stood there before."""
    seen: set[str] = set()
    found = []
    for start, part in parts:
        if part in seen:
            found.append((start, start + len(part)))
        seen.add(part)
    return found


def _most_frequent(words: Words, size: int) -> list[Span]:
    grams = words.ngrams(size)
    if not len(grams):
        return []
    values, counts = np.unique(grams, return_counts=True)
    return _of_words(words, np.flatnonzero(grams == values[counts.argmax()]), size)


def _again(words: Words, size: int) -> list[Span]:
    grams = words.ngrams(size)
    _, first = np.unique(grams, return_index=True)
    return _of_words(words, np.setdiff1d(np.arange(len(grams)), first), size)


def _of_words(words: Words, starts: np.ndarray, size: int) -> list[Span]:
    ends = words.starts + words.lengths
    return [(int(words.starts[at]), int(ends[at + size - 1])) for at in starts.tolist()]


def _joined(found: list[Span]) -> list[Span]:
    """Overlapping spans as one."""
    joined: list[Span] = []
    for start, end in found:
        if joined and start <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined
