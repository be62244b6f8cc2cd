"""A text cut into words and signs, as rules about quality count them.

The borders follow the English of spaCy's tokenizer, by which the published thresholds were found (datatrove
splits words with it), as far as whole arrays of code points can say: a sign stands alone, unless it holds
together what is around it, as in `3.5`, `12:30`, `example.com`, `U.S.` or an address.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from headstart.corpus.words import (
    DIGIT,
    LETTER,
    SENTENCE_END,
    SPACE,
    SYLLABLE,
    Words,
    code_points,
    split,
)

# What a sign between two letters or digits does: hold them together (the default), or part them.
_PARTS, _PARTS_LETTERS, _PARTS_BEFORE_LETTER, _PARTS_DIGITS, _HYPHEN, _OPENS = range(1, 7)
_LEADING = "-/@+.~|\\^"  # belongs to the word behind it, as in -5, @name
_TRAILING = "-/@+|\\^~="  # belongs to the word before it, as in C+, sub-
_REPEATED = ".-+/|\\~^@"  # a run of it is one sign
_CLOSING = ".,;:!?)]}\"'”’»"  # not part of an address that it follows
_UNITS = "km km² km³ m m² m³ dm cm cm² mm mm² ha nm yd in ft kg g mg µg t lb oz mph mb kb gb tb k"
_ABBREVIATIONS = """
adm apr aug bros calif co colo conn corp dec dr feb fla gen gov inc jan jr jul jun ltd mar mass messrs mich mr
mrs ms mt nov oct ph prof rep rev sen sep sept sr st vs
"""


@cache
def _joints() -> np.ndarray:
    """What each sign of the basic plane does between two letters or digits."""
    table = np.zeros(0x10000, np.uint8)
    table[0x2190:0x2C00] = _PARTS  # arrows, boxes, pictures
    for signs, does in (
        ("…•·|", _PARTS),
        (",", _PARTS_LETTERS),
        (":<>=/", _PARTS_BEFORE_LETTER),
        ("+*^", _PARTS_DIGITS),
        ("-–—~", _HYPHEN),
        ("'’", _OPENS),
    ):
        table[[ord(sign) for sign in signs]] = does
    return table


@cache
def _signs(signs: str) -> np.ndarray:
    """Which code points below 0x10000 are among some signs."""
    table = np.zeros(0x10000, bool)
    table[[ord(sign) for sign in signs]] = True
    return table


@cache
def _hashes(words: str) -> np.ndarray:
    return np.unique(split(words).hashes)


@dataclass(frozen=True)
class Tokens:
    """Words and signs of one text, in order.

    Attributes:
        starts, ends: their places in the text.
        hashes: 64 bits each.
        worded: whether there is a letter or a digit in it.
        lettered: whether there is a letter in it.
        ends_sentence: whether it is a sign that ends a sentence.
    """

    starts: np.ndarray
    ends: np.ndarray
    hashes: np.ndarray
    worded: np.ndarray
    lettered: np.ndarray
    ends_sentence: np.ndarray


def tokenize(text: str, words: Words) -> Tokens:
    """The words and signs of a text, whose words are known from `words.split`."""
    if not len(words.points):
        return of_spans(words, np.zeros(0, np.int64), np.zeros(0, np.int64))
    points = np.minimum(words.points, 0xFFFF)
    worded, space = words.classes >= DIGIT, words.classes == SPACE
    starts = ~space
    starts[1:] &= ~(worded[1:] & worded[:-1])
    if (alone := words.classes == SYLLABLE).any():
        starts |= alone
        starts[1:] |= alone[:-1] & ~space[1:]
    starts[1:] &= (points[1:] != points[:-1]) | ~_signs(_REPEATED)[points[1:]]
    _join_between(starts, text, words, points)
    _join_beside(starts, points, worded)
    _join_full_stops(starts, words, worded)
    _part_units(starts, words, worded)
    if "://" in text:
        _join_addresses(starts, points, worded, space)
    marks = np.flatnonzero(starts | space)
    behind = np.append(marks[1:], len(points))
    begins = starts[marks]
    return of_spans(words, marks[begins], behind[begins])


def count_words(text: str) -> int:
    """How many words a text has: the signal `words`."""
    return int(np.count_nonzero(tokenize(text, split(text)).worded))


def of_spans(words: Words, starts: np.ndarray, ends: np.ndarray) -> Tokens:
    """Tokens with borders from elsewhere."""
    counts = np.zeros((2, len(words.classes) + 1), np.int32)
    np.cumsum(words.classes >= DIGIT, out=counts[0, 1:])
    np.cumsum(words.classes >= LETTER, out=counts[1, 1:])
    worded, lettered = counts[:, ends] > counts[:, starts]
    ends_sentence = (words.classes[starts] == SENTENCE_END) & (ends - starts == 1)
    return Tokens(starts, ends, words.hash(starts, ends), worded, lettered, ends_sentence)


def _join_between(starts: np.ndarray, text: str, words: Words, points: np.ndarray) -> None:
    """Take out the starts of tokens at signs that hold together what is on both sides of them."""
    classes = words.classes
    sign = (classes < DIGIT) & (classes > SPACE)
    at = np.flatnonzero(sign[1:-1] & (classes[:-2] >= DIGIT) & (classes[2:] >= DIGIT)) + 1
    does = _joints()[points[at]]
    before, after = classes[at - 1] >= LETTER, classes[at + 1] >= LETTER
    parts = (
        (does == _PARTS)
        | ((does == _PARTS_LETTERS) & before & after)
        | ((does == _PARTS_BEFORE_LETTER) & after)
        | ((does == _PARTS_DIGITS) & ~before & ~after)
        | ((does == _HYPHEN) & (after | ((points[at] == ord("-")) & ~before)))
        | (classes[at - 1] == SYLLABLE)
        | (classes[at + 1] == SYLLABLE)
    )
    if len(cased := code_points(text)) == len(points):
        capital = cased != words.points
        parts |= (points[at] == ord(".")) & before & ~capital[at - 1] & capital[at + 1]
    opens = (does == _OPENS) & after
    starts[at[~parts & ~opens]] = False
    starts[at[~parts] + 1] = False
    _join_over_runs(starts, sign, points, classes)


def _join_over_runs(starts: np.ndarray, sign: np.ndarray, points: np.ndarray, classes: np.ndarray) -> None:
    """Several signs without a space hold together, as in `f("x` and `a::b`, if none of them always parts."""
    begin = np.flatnonzero(sign[1:-1] & sign[2:] & (classes[:-2] >= DIGIT)) + 1
    if not len(begin):
        return
    others = np.append(np.flatnonzero(~sign), len(sign))
    for first, end in zip(begin.tolist(), others[np.searchsorted(others, begin)].tolist(), strict=True):
        run = points[first:end]
        parts = (_joints()[run] == _PARTS).any() or (run[1:][run[1:] == run[:-1]] <= ord(".")).any()
        if end < len(sign) and classes[end] >= DIGIT and not parts:
            starts[first : end + 1] = False


def _join_beside(starts: np.ndarray, points: np.ndarray, worded: np.ndarray) -> None:
    """Leading signs join the word behind them, trailing ones the word before."""
    first = np.flatnonzero(_signs(_LEADING)[points[:-1]] & worded[1:])
    starts[first[(first == 0) | ~worded[first - 1]] + 1] = False
    last = np.flatnonzero(_signs(_TRAILING)[points[1:]] & worded[:-1]) + 1
    behind = np.minimum(last + 1, len(points) - 1)
    plus, ends = points[last] == ord("+"), last + 1 == len(points)
    doubled = (points[behind] == points[last]) & ~plus & ~ends
    counted = plus & _signs("0123456789")[points[last - 1]]  # 10+
    starts[last[(ends | ~worded[behind]) & ~doubled & ~counted]] = False
    starts[np.flatnonzero((points[1:] == ord(":")) & (points[:-1] == ord(")"))) + 1] = False


def _join_full_stops(starts: np.ndarray, words: Words, worded: np.ndarray) -> None:
    """The full stops of `J.`, `e.g.`, `Mr.` belong to their words."""
    stops = np.flatnonzero((words.points[1:] == ord(".")) & worded[:-1]) + 1
    stops = stops[starts[stops]]
    runs = np.flatnonzero(worded & ~np.append(False, worded[:-1]))  # where letters and digits begin
    begin = runs[np.searchsorted(runs, stops) - 1] if len(stops) else stops
    single = (stops - begin == 1) & (words.classes[begin] >= LETTER)
    known = np.isin(words.hash(begin, stops), _hashes(_ABBREVIATIONS))
    starts[stops[single | known]] = False


def _part_units(starts: np.ndarray, words: Words, worded: np.ndarray) -> None:
    """`5km` is a number and a unit."""
    letters = np.flatnonzero((words.classes[:-1] == DIGIT) & (words.classes[1:] == LETTER)) + 1
    if len(letters):
        ends = np.append(np.flatnonzero(worded[:-1] & ~worded[1:]) + 1, len(words.points))
        end = ends[np.searchsorted(ends, letters, "right")]
        unit = np.isin(words.hash(letters, end), _hashes(_UNITS))
        starts[letters[unit]] = True


def _join_addresses(starts: np.ndarray, points: np.ndarray, worded: np.ndarray, space: np.ndarray) -> None:
    """`https://a.org/b` is one word, without the signs that close behind it."""
    slashes = (points[2:-1] == ord("/")) & (points[3:] == ord("/"))
    colon = np.flatnonzero(worded[:-3] & (points[1:-2] == ord(":")) & slashes) + 1
    spaces = np.append(np.flatnonzero(space), len(points))
    for place in colon.tolist():
        end = int(spaces[np.searchsorted(spaces, place)])
        while end > place and _signs(_CLOSING)[points[end - 1]]:
            end -= 1
        starts[place:end] = False
