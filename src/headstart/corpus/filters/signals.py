"""The signals of a document: numbers computed once, over which the recipe's rules decide.

Gopher (Rae 2021, appendix A.1), C4 (Raffel 2020, section 2.2) and FineWeb (Penedo 2024, section 3.5) leave
open what a word is, or what a share is a share of; there the signals mean what datatrove counts, because the
thresholds were found with it. A signal that means nothing for a document (stop words of a language without a
list) is NaN.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

from headstart.corpus.text.segments import Segmenter
from headstart.corpus.text.word_tokens import Tokens, tokenize
from headstart.corpus.text.words import SENTENCE_ENDS, SPACE, SYLLABLE, Words, lengthened, split_words

BULLETS = "•-‣⁃◦▪●*–"
ELLIPSES = ("...", "…")
SHORT_LINE, LONG_LINE = 30, 200
SHORT_WIDE_LINE, LONG_WIDE_LINE = 12, 80  # of Chinese and Japanese, whose signs say more each
_HANGUL, _HANGUL_END, _FINALS = 0xAC00, 0xD7A4, 28
LISTED = 12  # words of a sentence that may be a list of names
NEWLINE = ord("\n")
_LOREM_IPSUM = "lorem ipsum".encode("utf-32-le")
_ENDS = frozenset(SENTENCE_ENDS)

# Gopher's eight English words, and as frequent function words for the other large languages of the web.
STOP_WORDS: dict[str, str] = {
    "en": "the be to of and that have with",
    "de": "der die das und in zu den nicht von mit",
    "fr": "le la les de et des en un une que",
    "es": "el la los de y en que un una por",
    "it": "il la di e che in un per non del",
    "pt": "o a de e que do da em um para",
    "nl": "de het een van en in is dat op te",
    "sv": "och i att en som det är av för på",
    "da": "og i at en det som er af for på",
    "pl": "w i na z do się nie że to jest",
    "ru": "и в не на что с по как это к",
}


@dataclass(frozen=True, slots=True)
class Measured:
    """A text, and all that signals are measured from.

    Attributes:
        stop_words: the hashes of the stop words of its language, from `stop_word_hashes`; none: unknown.
        dropped: the share of its words that stood in lines which were dropped before.
        foreign: the share of it that is in other languages than its own.
    """

    text: str
    words: Words
    tokens: Tokens
    stop_words: np.ndarray
    dropped: float = 0.0
    foreign: float = 0.0


@dataclass(frozen=True)
class Signal:
    """A number that every document has.

    Attributes:
        meaning: what it says.
        measure: measures it, and others that come of the same work; one that it leaves out is 0.
    """

    meaning: str
    measure: Callable[[Measured], dict[str, float]]


def compute_signals(
    text: str,
    words: Words,
    stop_words: np.ndarray,
    language: str,
    dropped: float = 0.0,
    foreign: float = 0.0,
    segmenter: Segmenter = "signs",
) -> dict[str, float]:
    """All signals of one text; the tokens are those of its language. See `Measured`."""
    tokens = tokenize(text, words, language, segmenter)
    return measure(Measured(text, words, tokens, stop_words, dropped, foreign))


def measure(measured: Measured) -> dict[str, float]:
    """All signals of one text whose tokens are known."""
    signals = dict.fromkeys(SIGNALS, 0.0)
    for function in _measures():
        signals |= function(measured)
    return signals


@cache
def _measures() -> tuple[Callable[[Measured], dict[str, float]], ...]:
    """The functions of all signals, each once."""
    return tuple(dict.fromkeys(signal.measure for signal in SIGNALS.values()))


def _of_words(measured: Measured) -> dict[str, float]:
    text, words, tokens = measured.text, measured.words, measured.tokens
    signals: dict[str, float] = {}
    count, every = int(np.count_nonzero(tokens.worded)), max(len(tokens.starts), 1)
    signals["words"] = count
    if measured.tokens.segmented and count:
        signals["mean_word_length"] = float((tokens.ends - tokens.starts)[tokens.worded].mean())
        signals["alphabetic_words"] = np.count_nonzero(tokens.lettered) / count
        signals["alphabetic_tokens"] = np.count_nonzero(tokens.lettered) / every
    elif words.unspaced or not count:
        for name in ("mean_word_length", "alphabetic_words", "alphabetic_tokens"):
            signals[name] = math.nan
    else:
        # A syllable of Hangul is one sign of two or three letters.
        blocks = words.points[(words.points >= _HANGUL) & (words.points < _HANGUL_END)]
        more = len(blocks) + np.count_nonzero((blocks - _HANGUL) % _FINALS)
        # Signs that are a word each, in a text with both, say nothing of the length of words.
        spelled = tokens.worded & (words.classes[tokens.starts] != SYLLABLE)
        length = float((tokens.ends - tokens.starts)[spelled].sum())
        signals["mean_word_length"] = (length + more) / max(int(np.count_nonzero(spelled)), 1)
        parts = np.flatnonzero(np.append(True, tokens.starts[1:] != tokens.ends[:-1]))  # between spaces
        lettered = np.logical_or.reduceat(tokens.lettered, parts)
        signals["alphabetic_words"] = np.count_nonzero(lettered) / len(parts)
        signals["alphabetic_tokens"] = np.count_nonzero(tokens.lettered) / every
    signals["hashes_per_word"] = text.count("#") / every
    signals["ellipses_per_word"] = (text.count("...") + text.count("…")) / every
    found = (measured.stop_words[:, None] == tokens.hashes).any(axis=1)
    signals["stop_words"] = float(np.count_nonzero(found)) if len(measured.stop_words) else math.nan
    signals["lorem_ipsum"] = float(_LOREM_IPSUM in words.points.tobytes())
    signals["curly_brackets"] = text.count("{")
    signals["newlines_per_word"] = text.count("\n") / every
    return signals


def _of_sentences(measured: Measured) -> dict[str, float]:
    """The questionable sentences of MADLAD-400 (Kudugunta 2023, section 2.3)."""
    words, tokens = measured.words, measured.tokens
    worded = np.flatnonzero(tokens.worded)
    if not len(worded):
        return {}
    signals: dict[str, float] = {}
    lines = np.searchsorted(tokens.starts, np.flatnonzero(words.points == NEWLINE))  # each one's first token
    line = np.cumsum(np.bincount(lines, minlength=len(tokens.starts) + 1)[:-1])
    breaks = (line + np.cumsum(tokens.ends_sentence))[worded]
    first = np.flatnonzero(np.append(True, breaks[1:] != breaks[:-1]))  # each sentence's first word
    count = len(first)
    own = line[worded]
    wordless = np.count_nonzero(line[1:] != line[:-1]) - np.count_nonzero(own[1:] != own[:-1])
    starts = tokens.starts[worded[first]]
    lengths = np.append(starts[1:], len(words.points)) - starts
    signals["sentences"] = math.nan if words.without_full_stops else float(count + wordless)
    signals["odd_sentences"] = np.count_nonzero((lengths < 20) | (lengths > 500)) / count
    technical = np.flatnonzero(_technical().take(words.points, mode="clip"))
    before = np.searchsorted(technical, starts)
    in_each = np.append(before[1:], len(technical)) - before
    signals["technical_sentences"] = np.count_nonzero(in_each > 0.2 * lengths) / count
    in_each = np.append(first[1:], len(worded)) - first
    if in_each.max() >= LISTED:
        capital = words.capital[tokens.starts[worded]]
        capitals = np.add.reduceat(capital, first, dtype=np.int64)
        signals["list_sentences"] = np.count_nonzero((in_each >= LISTED) & (2 * capitals > in_each)) / count
    return signals


@cache
def _technical() -> np.ndarray:
    table = np.zeros(0x80, bool)
    table[[ord(sign) for sign in "0123456789{}+/()>"]] = True
    return table


def _of_lines(measured: Measured) -> dict[str, float]:
    text = measured.text
    signals: dict[str, float] = {}
    lines = [line for line in text.split("\n") if line and not line.isspace()]
    lengths = list(map(len, lines))
    count = max(len(lines), 1)
    signals["bullet_lines"] = len([1 for line in lines if line.lstrip()[0] in BULLETS]) / count
    signals["ellipsis_lines"] = len([1 for line in lines if line.rstrip().endswith(ELLIPSES)]) / count
    words = measured.words
    ended = len([1 for line in lines if line[-1] in _ENDS]) / count
    # Thai and Lao have no sign that ends a sentence.
    signals["punctuated_lines"] = math.nan if words.without_full_stops else ended
    short, long = (SHORT_LINE, LONG_LINE) if words.signs_of_word != 2 else (SHORT_WIDE_LINE, LONG_WIDE_LINE)
    signals["short_lines"] = len([1 for length in lengths if length <= short]) / count
    signals["long_lines"] = len([1 for length in lengths if length >= long])
    repeats, characters = _repeated(lines)
    signals["duplicate_lines"] = repeats / count
    signals["duplicate_line_characters"] = characters / max(len(text), 1)
    signals["duplicate_characters_of_lines"] = characters / max(sum(lengths), 1)
    paragraphs = [part for part in (part.lstrip("\n") for part in text.strip().split("\n\n")) if part]
    repeats, characters = _repeated(paragraphs)
    signals["duplicate_paragraphs"] = repeats / max(len(paragraphs), 1)
    signals["duplicate_paragraph_characters"] = characters / max(len(text), 1)
    return signals


def _repeated(parts: list[str]) -> tuple[int, int]:
    """How many parts had occurred before, and how many characters they have."""
    if len(set(parts)) == len(parts):
        return 0, 0
    seen: set[str] = set()
    repeats = characters = 0
    for part in parts:
        if part in seen:
            repeats += 1
            characters += len(part)
        seen.add(part)
    return repeats, characters


def _of_ngrams(measured: Measured) -> dict[str, float]:
    """Gopher's n-gram shares of a text's characters. What repeats as an n-gram does so as an (n-1)-gram.

    Of a script without spaces, where every sign is a token, a word is as many signs as one has on average.
    Words from a segmenter have no space between them, either.
    """
    signals: dict[str, float] = {}
    tokens, characters = measured.tokens, max(len(measured.text), 1)
    count, of_word = len(tokens.starts), 1 if tokens.segmented else measured.words.signs_of_word
    spaced = of_word == 1 and not tokens.segmented
    lengths = np.zeros(count + 1, np.int64)
    np.cumsum(tokens.ends - tokens.starts, out=lengths[1:])
    at, grams = np.arange(count), tokens.hashes
    for n in range(2, min(count // of_word, 10) + 1):
        longest = n * of_word
        for size in range((n - 1) * of_word + 1 if n > 2 else 2, longest + 1):
            at = at[: np.searchsorted(at, count - size, "right")]
            at, grams = _shared(at, lengthened(grams[: len(at)], tokens.hashes[at + size - 1]))
        if n < 5:
            often, first = _most_frequent(at, grams)
            spaces = n - 1 if spaced else 0
            size = int(lengths[first + longest] - lengths[first]) + spaces
            signals[f"top_{n}_gram"] = min(often * size / characters, 1.0)
        elif len(at):
            covered = _covered(at.tolist(), grams.tolist(), longest, lengths)
            signals[f"duplicate_{n}_grams"] = covered / characters
        else:
            break
    return signals


def _shared(at: np.ndarray, grams: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of the n-grams at some places those that occur more than once: place, and number of the n-gram."""
    order = grams.argsort()
    ordered = grams[order]
    first = np.ones(len(ordered) + 1, bool)  # of those that are equal
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:-1])
    shared = np.empty(len(ordered), bool)
    shared[order] = ~(first[:-1] & first[1:])
    number = np.empty(len(ordered), np.uint64)
    number[order] = first[:-1].cumsum()
    return at[shared], number[shared]


def _most_frequent(at: np.ndarray, numbers: np.ndarray) -> tuple[int, int]:
    """How often the most frequent n-gram from `_shared` occurs, and where first; of several the first."""
    if not len(at):
        return 1, 0
    numbers = numbers.view(np.int64)
    often = np.bincount(numbers)[numbers]
    first = int(np.argmax(often))
    return int(often[first]), int(at[first])


def _covered(at: list[int], numbers: list[int], n: int, lengths: np.ndarray) -> int:
    """Characters in n-grams that occurred before, without overlap: behind a repeat the search goes on."""
    seen: set[int] = set()
    repeats = []
    behind = 0
    for place, number in zip(at, numbers, strict=True):
        if place < behind:
            continue
        if number in seen:
            repeats.append(place)
            behind = place + n
        else:
            seen.add(number)
    first = np.array(repeats, np.int64)
    return int((lengths[first + n] - lengths[first]).sum())


@cache
def stop_word_hashes(words: str, whole: bool = False) -> np.ndarray:
    """The hashes of stop words with spaces between them, each once.

    Args:
        words: the stop words.
        whole: whether one of several signs that count as a word each is one word, as from a segmenter.
    """
    known = split_words(words)
    if not whole:
        return np.unique(known.hashes)
    parted = np.append(np.append(True, known.classes == SPACE), True)
    edges = np.flatnonzero(parted[1:] != parted[:-1])
    return np.unique(known.hash(edges[::2], edges[1::2]))


def _of_earlier_steps(measured: Measured) -> dict[str, float]:
    return {"removed_words": measured.dropped, "foreign_text": measured.foreign}


_MEANINGS: dict[Callable[[Measured], dict[str, float]], dict[str, str]] = {
    _of_words: {
        "words": "number of words: tokens with a letter or a digit",
        "mean_word_length": "mean characters of a word",
        "hashes_per_word": "hash signs per token",
        "ellipses_per_word": "ellipses per token",
        "alphabetic_words": "share of what stands between spaces with a letter in it",
        "alphabetic_tokens": "share of tokens, signs included, with a letter in them: datatrove's reading",
        "stop_words": "different stop words of the document's language",
        "lorem_ipsum": "1 where `lorem ipsum` occurs",
        "curly_brackets": "number of opening curly brackets",
        "newlines_per_word": "line ends per token",
    },
    _of_sentences: {
        "sentences": "number of sentences; every line ends one, also one of signs alone",
        "list_sentences": "share of sentences of 12 words or more, over half of them with a capital",
        "odd_sentences": "share of sentences under 20 or over 500 characters",
        "technical_sentences": "share of sentences with over 20 % digits, round and curly brackets, +, /, >",
    },
    _of_lines: {
        "bullet_lines": "share of lines that start with a bullet",
        "ellipsis_lines": "share of lines that end with an ellipsis",
        "punctuated_lines": "share of lines that end in a sign that ends a sentence",
        "short_lines": "share of lines of 30 characters at most",
        "long_lines": "number of lines of 200 characters and more",
        "duplicate_lines": "share of lines that occurred before",
        "duplicate_line_characters": "share of the text's characters in lines that occurred before",
        "duplicate_characters_of_lines": "share of the lines' characters in lines that occurred before",
        "duplicate_paragraphs": "share of paragraphs that occurred before",
        "duplicate_paragraph_characters": "share of the text's characters in paragraphs that occurred before",
    },
    _of_ngrams: {
        **{
            f"top_{n}_gram": f"share of the text's characters in the most frequent {n}-gram, spaces included"
            for n in (2, 3, 4)
        },
        **{
            f"duplicate_{n}_grams": f"share of the text's characters in {n}-grams that occurred before"
            for n in range(5, 11)
        },
    },
    _of_earlier_steps: {
        "removed_words": "share of the words that stood in lines dropped by `lines`",
        "foreign_text": "share of the text in other languages than the document's",
    },
}
SIGNALS: dict[str, Signal] = {
    name: Signal(meaning, function)
    for function, meanings in _MEANINGS.items()
    for name, meaning in meanings.items()
}
