"""A text cut into words and signs, as rules about quality count them.

The borders follow those of spaCy's tokenizer, by which the published thresholds were found (datatrove splits
words with it), as far as whole arrays of code points can say: a sign stands alone, unless it holds together
what is around it, as in `3.5`, `12:30`, `example.com`, `U.S.` or an address. They are those of English, and
those of other languages where these differ often enough to change what a rule decides.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from headstart.corpus.text.segments import Segmenter, word_borders
from headstart.corpus.text.words import (
    DIGIT,
    LETTER,
    SENTENCE_END,
    SENTENCE_ENDS,
    SPACE,
    SYLLABLE,
    SYMBOL,
    Words,
    split_words,
)

# What a sign between two letters or digits does: hold them together (the default), or part them.
_PARTS, _PARTS_LETTERS, _PARTS_BEFORE_LETTER, _PARTS_DIGITS, _HYPHEN, _OPENS, _CLOSES = range(1, 8)
# Between words in place of a space, and part of the one before: the tsheg of Tibetan, Ethiopic's wordspace.
_SPACERS = "\u0f0b\u0f0c\u1361"
# Belongs to what is beside it: invisible characters, mostly.
_CLINGS = "†‡⟨⟩\xad\ufeff" + "".join(
    map(chr, (*range(0x80, 0xA0), *range(0x200B, 0x2010), *range(0x2060, 0x2070)))
)
_LEADING = "-/@+.~|\\^" + _CLINGS  # belongs to the word behind it, as in -5, @name
_TRAILING = "-/@+|\\^~=" + _SPACERS + _CLINGS  # belongs to the word before it, as in C+, sub-
_REPEATED = ".-+/|\\~^@" + _CLINGS  # a run of it is one sign
_CLOSING = ".,;:!?)]}\"'”’»"  # not part of an address that it follows
_UNITS = "km km² km³ m m² m³ dm cm cm² mm mm² ha nm yd in ft kg g mg µg t lb oz mph mb kb gb tb k"
_ABBREVIATIONS = """
adm apr aug bros calif co colo conn corp dec dr feb fla gen gov inc jan jr jul jun ltd mar mass messrs mich mr
mrs ms mt nov oct ph prof rep rev sen sep sept sr st vs
"""
_COMPOUNDS = ("da", "de", "es", "fi", "hu", "nl", "pt", "sv")  # where a hyphen between letters parts nothing
_GERMAN_ABBREVIATIONS = """
abs bzw ca co dr evtl ggf hr inkl jh mio mrd nr prof sog st std str tel u usw vgl zzgl
"""


@cache
def _joints() -> np.ndarray:
    """What each sign of the basic plane does between two letters or digits."""
    table = np.zeros(0x10000, np.uint8)
    table[0x2190:0x2C00] = _PARTS  # arrows, boxes, pictures
    for signs, does in (
        ("…", _PARTS),
        (",", _PARTS_LETTERS),
        (":<>=/", _PARTS_BEFORE_LETTER),
        ("+*^", _PARTS_DIGITS),
        ("-–—~", _HYPHEN),
        ("'’", _OPENS),
        (_SPACERS, _CLOSES),
        ("".join(sign for sign in SENTENCE_ENDS if not sign.isascii()) + "،؛፣፤፥፦", _PARTS),
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
    return np.unique(split_words(words).hashes)


def _among(hashes: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Which hashes are among some that are in order."""
    return known.take(np.searchsorted(known, hashes), mode="clip") == hashes


@dataclass(frozen=True)
class Tokens:
    """Words and signs of one text, in order.

    Attributes:
        starts, ends: their places in the text.
        hashes: 64 bits each.
        worded: whether there is a letter or a digit in it.
        lettered: whether there is a letter in it.
        ends_sentence: whether it is a sign that ends a sentence.
        segmented: whether they are words of a script without spaces, and not its signs.
    """

    starts: np.ndarray
    ends: np.ndarray
    hashes: np.ndarray
    worded: np.ndarray
    lettered: np.ndarray
    ends_sentence: np.ndarray
    segmented: bool = False


def tokenize(text: str, words: Words, language: str, segmenter: Segmenter = "signs") -> Tokens:
    """The words and signs of a text in a language, whose words are known from `words.split`.

    Of a text that is written without spaces by and large, words are what the segmenter says.
    """
    signs = _signs_of(words)
    segmented = segmenter == "icu" and words.unspaced
    starts = np.zeros(len(words.points), bool)
    starts[words.starts] = starts[signs.at] = True
    if segmented:
        alone = words.classes == SYLLABLE
        inside = np.append(False, alone[1:] & alone[:-1])
        starts[inside] = word_borders(text, words.points, language)[inside]
    starts[signs.at[signs.doubled & _signs(_REPEATED)[signs.points]]] = False
    _join_between(starts, words, signs, language)
    _join_beside(starts, words, signs)
    _join_full_stops(starts, words, signs, language)
    _part_units(starts, words)
    if "://" in text:
        _join_addresses(starts, words, signs)
    begin = np.flatnonzero(starts)
    end = np.append(begin[1:], len(starts))[: len(begin)]
    spaced = np.arange(len(end))
    while len(spaced := spaced[words.classes[end[spaced] - 1] == SPACE]):
        end[spaced] -= 1
    return of_spans(words, begin, end, segmented)


def count_words(text: str, language: str, segmenter: Segmenter = "signs") -> int:
    """How many words a text has: the signal `words`."""
    return int(np.count_nonzero(tokenize(text, split_words(text), language, segmenter).worded))


def of_spans(words: Words, starts: np.ndarray, ends: np.ndarray, segmented: bool = False) -> Tokens:
    """Tokens with borders from elsewhere."""
    highest, long = words.classes[starts], ends - starts > 1
    mixed = np.flatnonzero(long & (highest < LETTER))
    if len(mixed):
        borders = np.stack((starts[mixed], ends[mixed]), axis=1).ravel()
        highest[mixed] = np.maximum.reduceat(np.append(words.classes, np.uint8(SPACE)), borders)[::2]
    ends_sentence = (words.classes[starts] == SENTENCE_END) & ~long
    hashes = words.hash(starts, ends)
    return Tokens(starts, ends, hashes, highest >= SYMBOL, highest >= LETTER, ends_sentence, segmented)


@dataclass(frozen=True)
class Signs:
    """The signs of a text.

    Attributes:
        at: their places.
        points: their code points, all beyond the basic plane as one.
        joined: whether there is a sign directly before.
        doubled: whether it is the same sign.
        before, behind: the classes of the characters beside them; SPACE at the ends of the text.
    """

    at: np.ndarray
    points: np.ndarray
    joined: np.ndarray
    doubled: np.ndarray
    before: np.ndarray
    behind: np.ndarray


def _signs_of(words: Words) -> Signs:
    classes = words.classes
    at = np.flatnonzero((classes > SPACE) & (classes < SYMBOL))
    before, behind = classes.take(at - 1, mode="clip"), classes.take(at + 1, mode="clip")
    if len(at):
        before[:1] = before[0] if at[0] else SPACE
        behind[-1:] = behind[-1] if at[-1] + 1 < len(classes) else SPACE
    points = np.minimum(words.points[at], 0xFFFF).astype(np.intp)
    joined = np.zeros(len(at), bool)
    joined[1:] = at[1:] - at[:-1] == 1
    doubled = joined.copy()
    doubled[1:] &= points[1:] == points[:-1]
    return Signs(at, points, joined, doubled, before, behind)


def _join_between(starts: np.ndarray, words: Words, signs: Signs, language: str) -> None:
    """Take out the starts of tokens at signs that hold together what is on both sides of them."""
    inside = (signs.before >= SYMBOL) & (signs.behind >= SYMBOL)
    at, points, before, behind = (one[inside] for one in (signs.at, signs.points, signs.before, signs.behind))
    does = _joints()[points]
    letter_before, letter_behind = before >= LETTER, behind >= LETTER
    hyphen = (does == _HYPHEN) & (letter_behind | ((points == ord("-")) & ~letter_before))
    if language in _COMPOUNDS:
        hyphen &= (points != ord("-")) | ~letter_before
    parts = (
        (does == _PARTS)
        | hyphen
        | ((does == _PARTS_LETTERS) & letter_before & letter_behind)
        | ((does == _PARTS_BEFORE_LETTER) & letter_behind)
        | ((does == _PARTS_DIGITS) & ~letter_before & ~letter_behind)
        | ((points == ord("/")) & (language == "de"))
        | (before == SYLLABLE)
        | (behind == SYLLABLE)
        | ((points == ord(".")) & letter_before & ~words.capital[at - 1] & words.capital[at + 1])
    )
    opens, closes = (does == _OPENS) & letter_behind, does == _CLOSES
    starts[at[~parts & ~opens]] = False
    starts[at[~parts & ~closes] + 1] = False
    _join_over_runs(starts, words, signs)


def _join_over_runs(starts: np.ndarray, words: Words, signs: Signs) -> None:
    """Several signs without a space hold together, as in `f("x` and `a::b`, if none of them always parts."""
    first = np.flatnonzero(~signs.joined)  # of each run
    last = np.append(first[1:], len(signs.at))[: len(first)] - 1
    parts = np.zeros(len(signs.at) + 1, np.int64)
    parting = (_joints()[signs.points] == _PARTS) | (signs.doubled & _signs("-.")[signs.points])
    np.cumsum(parting, out=parts[1:])
    holds = (last > first) & (signs.before[first] >= SYMBOL) & (signs.behind[last] >= SYMBOL)
    holds &= parts[last + 1] == parts[first]
    holds &= (signs.before[first] != SYLLABLE) & (signs.behind[last] != SYLLABLE)
    starts[signs.at[np.repeat(holds, last - first + 1)]] = False
    starts[signs.at[last[holds]] + 1] = False


def _join_beside(starts: np.ndarray, words: Words, signs: Signs) -> None:
    """Leading signs join the word behind them, trailing ones the word before."""
    leading = _signs(_LEADING)[signs.points] & (signs.behind >= SYMBOL) & (signs.before < SYMBOL)
    starts[signs.at[leading] + 1] = False
    trailing = np.flatnonzero(_signs(_TRAILING)[signs.points] & (signs.before >= SYMBOL))
    last, points = signs.at[trailing], signs.points[trailing]
    plus = points == ord("+")
    doubled = (words.points.take(last + 1, mode="clip") == points) & (last + 1 < len(starts)) & ~plus
    counted = plus & _signs("0123456789")[np.minimum(words.points[last - 1], 0xFFFF)]  # 10+
    starts[last[(signs.behind[trailing] < SYMBOL) & ~doubled & ~counted]] = False
    closed = (signs.points[1:] == ord(":")) & (signs.points[:-1] == ord(")")) & signs.joined[1:]
    starts[signs.at[1:][closed]] = False


def _join_full_stops(starts: np.ndarray, words: Words, signs: Signs, language: str) -> None:
    """The full stops of `J.`, `e.g.`, `Mr.` belong to their words; those of `1.` and `bzw.` in German."""
    stops = signs.at[(signs.points == ord(".")) & (signs.before >= SYMBOL)]
    stops = stops[starts[stops]]
    word = np.searchsorted(words.starts, stops) - 1
    before = words.classes[stops - 1]
    joins = (words.lengths[word] == 1) & (before == LETTER)
    joins |= _among(words.hashes[word], _hashes(_ABBREVIATIONS))
    if language == "de":
        joins |= (before == DIGIT) | _among(words.hashes[word], _hashes(_GERMAN_ABBREVIATIONS))
    starts[stops[joins]] = False


def _part_units(starts: np.ndarray, words: Words) -> None:
    """`5km` is a number and a unit."""
    letters = np.flatnonzero((words.classes[:-1] == DIGIT) & (words.classes[1:] == LETTER)) + 1
    if len(letters):
        word = np.searchsorted(words.starts, letters) - 1
        end = words.starts[word] + words.lengths[word]
        starts[letters[_among(words.hash(letters, end), _hashes(_UNITS))]] = True


def _join_addresses(starts: np.ndarray, words: Words, signs: Signs) -> None:
    """`https://a.org/b` is one word, without the signs that close behind it."""
    spaces = np.append(np.flatnonzero(words.classes == SPACE), len(starts))
    slash = signs.points == ord("/")
    colon = (signs.points == ord(":"))[:-2] & slash[1:-1] & slash[2:] & (signs.before[:-2] >= SYMBOL)
    for place in signs.at[:-2][colon & signs.joined[1:-1] & signs.joined[2:]].tolist():
        end = int(spaces[np.searchsorted(spaces, place)])
        while end > place and _signs(_CLOSING)[min(words.points[end - 1], 0xFFFF)]:
            end -= 1
        starts[place:end] = False
