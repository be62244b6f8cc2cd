"""Text cut into words and n-grams as arrays of 64-bit hashes: numpy over code points, no loop over words."""

import hashlib
import unicodedata
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np

from headstart.corpus.text.hashing import scramble

SPACE, PUNCTUATION, SENTENCE_END, SYMBOL, DIGIT, LETTER, SYLLABLE = range(7)  # from SYMBOL on they make words
# Unicode's Sentence_Terminal signs of the basic plane, first and last of each run, and Tibetan's shads.
_SENTENCE_ENDS = """
21 2E 3F 589 61D-61F 6D4 700-702 7F9 837 839 83D-83E 964-965 F0D-F12 104A-104B 1362 1367-1368 166E 1735-1736
17D4-17DA 1803 1809 1944-1945 1AA8-1AAB 1B5A-1B5B 1B5E-1B5F 1B7D-1B7E 1C3B-1C3C 1C7E-1C7F 203C-203D
2047-2049 2E2E 2E3C 2E53-2E54 3002 A4FF A60E-A60F A6F3 A6F7 A876-A877 A8CE-A8CF A92F A9C8-A9C9 AA5D-AA5F
AAF0-AAF1 ABEB FE52 FE56-FE57 FF01 FF0E FF1F FF61
"""
SENTENCE_ENDS = "".join(
    chr(point)
    for run in _SENTENCE_ENDS.split()
    for point in range(int(run.split("-")[0], 16), int(run.split("-")[-1], 16) + 1)
)

# Scripts written without spaces: each character counts as one word.
_SYLLABLES = [
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x3040, 0x30FF),  # Hiragana, Katakana
    (0x3400, 0x9FFF),  # CJK ideographs
    (0xF900, 0xFAFF),  # CJK compatibility ideographs
]

_THAI, _THAI_END, _CJK = 0x0E00, 0x0F00, 0x3000
_MINUS = 0x2212
_ZERO_WIDTH_SPACE = 0x200B  # a space between the words of Khmer and Thai
_BULLETS = [ord(sign) for sign in "-+*>~=|#!∗∘∙⋅×▷◁"]
_SIGMA = 0x3A3  # whose small letter depends on what follows

# Polynomial hashing modulo 2^64. An odd base has an inverse, so any span's hash comes from two prefix sums.
_BASE = 0x9E3779B97F4A7C15
_INVERSE = pow(_BASE, -1, 2**64)


@cache
def _classes() -> np.ndarray:
    """The class of each code point of the basic plane; combining marks belong to their letters."""
    table = np.full(0x10000, PUNCTUATION, np.uint8)
    for point in range(0x10000):
        category = unicodedata.category(chr(point))
        if category[0] in "LM":
            table[point] = LETTER
        elif category[0] == "N":
            table[point] = DIGIT
        elif category[0] == "Z" or chr(point).isspace():
            table[point] = SPACE
    table[[ord(sign) for sign in SENTENCE_ENDS]] = SENTENCE_END
    for first, last in _SYLLABLES:
        span = table[first : last + 1]
        span[span == LETTER] = SYLLABLE
    return table


@cache
def _class_beyond(point: int) -> int:
    """The class of a code point beyond the basic plane; what is no letter there, as emoji, is a SYMBOL."""
    return LETTER if unicodedata.category(chr(point))[0] in "LM" else SYMBOL


@cache
def _lower() -> np.ndarray:
    """The small letter of each code point of the basic plane: places are to stay, so one for each."""
    lowered = (chr(point).lower() for point in range(0x10000))
    return np.array([ord(small[0]) for small in lowered], np.uint32)


@cache
def _lowered_classes() -> np.ndarray:
    return _classes()[_lower()]


@cache
def _lowered_hashes() -> np.ndarray:
    return scramble(_lower() + np.uint64(1))


@cache
def _powers(base: int, size: int) -> np.ndarray:
    factors = np.full(size, base, np.uint64)
    factors[0] = 1
    return np.multiply.accumulate(factors)


def _runs(inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Start and end of each run of true values."""
    padded = np.zeros(len(inside) + 2, np.int8)
    padded[1:-1] = inside
    edges = np.flatnonzero(padded[1:] != padded[:-1])
    return edges[::2], edges[1::2]


@dataclass(frozen=True)
class Words:
    """One text's words.

    Attributes:
        points: the code points of the text in small letters.
        capital: whether it has another letter there.
        classes: SPACE, PUNCTUATION, SENTENCE_END, SYMBOL, DIGIT, LETTER or SYLLABLE for each.
        hashes: one 64-bit hash a word; a word is a run of letters, digits and symbols, or one syllable sign.
        starts: where each word begins.
        lengths: characters of each word.
        sums: polynomial sums of the text before each character, from which any span has its hash.
    """

    points: np.ndarray
    capital: np.ndarray
    classes: np.ndarray
    hashes: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray
    sums: np.ndarray

    def hash(self, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """One 64-bit hash for each span of characters."""
        return scramble((self.sums[ends] - self.sums[starts]) * _powers(_INVERSE, _size(self.points))[starts])

    @property
    def unspaced(self) -> bool:
        """Whether the text is written without spaces between words, by and large."""
        return bool(np.count_nonzero(self.classes == SYLLABLE) > 0.3 * len(self.points))

    @cached_property
    def signs_of_word(self) -> int:
        """How many signs a word has on average that are counted as a word each: 1 where words have spaces.

        Two in Chinese and Japanese, four in Thai, Lao, Burmese and Khmer with their vowels.
        """
        if not self.unspaced:
            return 1
        alone = self.points[self.classes == SYLLABLE]
        return 4 if 2 * np.count_nonzero(alone < _CJK) > len(alone) else 2

    @property
    def without_full_stops(self) -> bool:
        """Whether the text is in Thai or Lao by and large, which have no sign that ends a sentence."""
        return self.unspaced and bool(
            2 * np.count_nonzero((self.points >= _THAI) & (self.points < _THAI_END)) > len(self.points)
        )

    def ngrams(self, n: int) -> np.ndarray:
        """One hash for each run of n words; empty where there are fewer than n."""
        return ngrams(self.hashes, n)

    def digest(self) -> bytes:
        """16 bytes that are equal for texts with equal words, whatever their case, spaces and punctuation.

        The signs of programs and formulas count, for `a + b` is not `a < b`, and where they stand; a hyphen
        does as the sign of a number, `!` before a word and `#` behind a letter. Of a text without words all
        signs count.
        """
        if not len(self.hashes):
            return hashlib.blake2b(self.points.tobytes(), digest_size=16).digest()
        content = hashlib.blake2b(self.hashes.tobytes(), digest_size=16)
        at = np.flatnonzero(_operators().take(self.points, mode="clip"))
        if len(at):
            points, classes = self.points, self.classes
            before = np.maximum(at - 1, 0)
            after = np.minimum(at + 1, len(points) - 1)
            behind, points_behind = classes[after], points[after]
            minus = (behind == DIGIT) & ((at == 0) | (classes[before] < SYMBOL))
            sign = np.where(points[at] == _MINUS, ord("-"), points[at])
            # Some that open a line are bullets; a price or a formula may open one, too.
            inside = (at > 0) & (points[before] != ord("\n")) | ~np.isin(sign, _BULLETS)
            # `!found` and `!=`; `C#`. Elsewhere these are signs of a sentence and of a heading.
            negation = (
                inside & (classes[before] < SYMBOL) & ((behind >= SYMBOL) | (points_behind == ord("=")))
            )
            sharp = classes[before] == LETTER
            counts = np.select(
                [sign == ord("-"), sign == ord("!"), sign == ord("#")], [minus, negation, sharp], inside
            )
            at, sign = at[counts], sign[counts]
        if len(at):
            content.update(np.searchsorted(self.starts, at).astype(np.int64).tobytes())
            content.update(sign.astype(np.uint32).tobytes())
        return content.digest()


@cache
def _operators() -> np.ndarray:
    """Which signs of the basic plane count: of ASCII's those of programs, of mathematics, money and units.

    Arrows do not, for they are drawn behind links.
    """
    table = np.zeros(0x10000, bool)
    for point in range(0x80, 0x10000):
        table[point] = unicodedata.category(chr(point)) in ("Sm", "Sc")
    table[0x2190:0x2200] = False
    table[0x2100:0x2150] = table[0x3200:0x3400] = True  # ℃, ㎏; what are letters there are words, too
    table[[ord(sign) for sign in "$+-*/%<>=&|^~!#"]] = True
    return table


def ngrams(hashes: np.ndarray, n: int) -> np.ndarray:
    """One hash for each run of n hashes; empty where there are fewer than n."""
    grams = hashes.copy()
    for size in range(2, n + 1):
        grams = lengthened(grams[: max(len(hashes) - size + 1, 0)], hashes[size - 1 :])
    return grams


def lengthened(grams: np.ndarray, hashes: np.ndarray) -> np.ndarray:
    """Hashes of n-grams that are longer by one: each of `grams` and the hash that follows it."""
    return grams * np.uint64(_BASE) + hashes


def code_points(text: str) -> np.ndarray:
    """The code points of a text; of half a surrogate pair that of a question mark."""
    return np.frombuffer(text.encode("utf-32-le", "replace"), np.uint32)


def split_words(text: str) -> Words:
    """Cut a text into words."""
    cased = code_points(text)
    basic = np.minimum(cased, 0xFFFF).astype(np.intp)
    points, classes, hashed = (
        table.take(basic) for table in (_lower(), _lowered_classes(), _lowered_hashes())
    )
    odd = np.flatnonzero((cased > 0xFFFF) | (cased == _SIGMA))
    if len(odd):
        points[odd] = code_points(text.replace("\u0130", "I").lower())[odd]
        classes[odd] = [_class_beyond(point) for point in points[odd].tolist()]
        hashed[odd] = scramble(points[odd] + np.uint64(1))
    if (classes == SYLLABLE).any():
        classes[points == _ZERO_WIDTH_SPACE] = SPACE
        inside = classes >= SYMBOL
        alone = classes == SYLLABLE
        starts = inside.copy()
        starts[1:] &= ~inside[:-1] | alone[1:] | alone[:-1]
        ends = inside.copy()
        ends[:-1] &= ~inside[1:] | alone[1:] | alone[:-1]
        first, last = np.flatnonzero(starts), np.flatnonzero(ends) + 1
    else:
        first, last = _runs(classes >= SYMBOL)
    sums = np.zeros(len(points) + 1, np.uint64)
    np.cumsum(hashed * _powers(_BASE, _size(points))[: len(points)], out=sums[1:])
    hashes = scramble((sums[last] - sums[first]) * _powers(_INVERSE, _size(points))[first])
    return Words(points, cased != points, classes, hashes, first, last - first, sums)


def _size(points: np.ndarray) -> int:
    """Of the powers that a text needs: few sizes, so that they can be cached."""
    return 1 << max(16, len(points).bit_length())
