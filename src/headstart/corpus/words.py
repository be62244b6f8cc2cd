"""Text cut into words and n-grams as arrays of 64-bit hashes: numpy over code points, no loop over words."""

import hashlib
import unicodedata
from dataclasses import dataclass
from functools import cache

import numpy as np

SPACE, PUNCTUATION, SENTENCE_END, DIGIT, LETTER, SYLLABLE = range(6)
SENTENCE_ENDS = ".!?…。！？｡؟۔।॥"

# Scripts written without spaces: each character counts as one word.
_SYLLABLES = [
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x3040, 0x30FF),  # Hiragana, Katakana
    (0x3400, 0x9FFF),  # CJK ideographs
    (0xF900, 0xFAFF),  # CJK compatibility ideographs
]

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
def _powers(base: int, size: int) -> np.ndarray:
    factors = np.full(size, base, np.uint64)
    factors[0] = 1
    return np.multiply.accumulate(factors)


def _scramble(values: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64 (Steele 2014): every input bit reaches every output bit."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


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
        points: the code points of the lower-cased text.
        classes: SPACE, PUNCTUATION, SENTENCE_END, DIGIT, LETTER or SYLLABLE for each.
        hashes: one 64-bit hash a word; a word is a run of letters and digits, or one syllable sign.
        starts: where each word begins; places in the lower-cased text are places in the text itself.
        lengths: characters of each word.
    """

    points: np.ndarray
    classes: np.ndarray
    hashes: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray

    def spaced(self) -> tuple[np.ndarray, np.ndarray]:
        """Start and end of each run of characters between white space: words as Gopher counts them."""
        return _runs(self.classes != SPACE)

    @property
    def unspaced(self) -> bool:
        """Whether the text is written without spaces between words, by and large."""
        return bool(np.count_nonzero(self.classes == SYLLABLE) > 0.3 * len(self.points))

    @property
    def count(self) -> int:
        """How many words there are: as Gopher counts them, or signs where there are no spaces."""
        return len(self.hashes) if self.unspaced else len(self.spaced()[0])

    def ngrams(self, n: int) -> np.ndarray:
        """One hash for each run of n words; empty where there are fewer than n."""
        size = len(self.hashes) - n + 1
        if size <= 0:
            return self.hashes[:0]
        grams = self.hashes[:size].copy()
        for offset in range(1, n):
            grams *= np.uint64(_BASE)
            grams += self.hashes[offset : offset + size]
        return grams

    def digest(self) -> bytes:
        """16 bytes that are equal for texts with equal words, whatever their case, spaces and punctuation."""
        content = self.hashes if len(self.hashes) else self.points
        return hashlib.blake2b(content.tobytes(), digest_size=16).digest()


def split(text: str) -> Words:
    """Cut a text into words."""
    # The one letter that two characters make in lower case; places would shift.
    lowered = text.replace("\u0130", "I").lower()
    points = np.frombuffer(lowered.encode("utf-32-le", "replace"), np.uint32)
    classes = _classes()[np.minimum(points, 0xFFFF)]
    classes[points > 0xFFFF] = LETTER
    if (classes == SYLLABLE).any():
        inside = classes >= DIGIT
        alone = classes == SYLLABLE
        starts = inside.copy()
        starts[1:] &= ~inside[:-1] | alone[1:] | alone[:-1]
        ends = inside.copy()
        ends[:-1] &= ~inside[1:] | alone[1:] | alone[:-1]
        first, last = np.flatnonzero(starts), np.flatnonzero(ends) + 1
    else:
        first, last = _runs(classes >= DIGIT)
    size = 1 << max(16, len(points).bit_length())  # few sizes, so that the cached powers are shared
    sums = np.zeros(len(points) + 1, np.uint64)
    scrambled = _scramble(points.astype(np.uint64) + np.uint64(1))
    np.cumsum(scrambled * _powers(_BASE, size)[: len(points)], out=sums[1:])
    hashes = _scramble((sums[last] - sums[first]) * _powers(_INVERSE, size)[first])
    return Words(points, classes, hashes, first, last - first)
