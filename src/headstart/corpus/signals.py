"""The signals of a document: numbers computed once, over which the recipe's rules decide.

Definitions follow Gopher (Rae 2021, appendix A.1), C4 (Raffel 2020, section 2.2) and FineWeb (Penedo 2024,
section 3.5). Words are what stands between white space; n-grams and stop words use words without punctuation.
A signal that means nothing for a document (stop words of a language without a list) is NaN.
"""

import math
from functools import cache

import numpy as np

from headstart.corpus.words import LETTER, PUNCTUATION, SENTENCE_END, SENTENCE_ENDS, SYLLABLE, Words, split

SIGNALS: dict[str, str] = {
    "words": "number of words",
    "mean_word_length": "mean characters of a word",
    "hashes_per_word": "hash signs per word",
    "ellipses_per_word": "ellipses per word",
    "bullet_lines": "share of lines that start with a bullet",
    "ellipsis_lines": "share of lines that end with an ellipsis",
    "alphabetic_words": "share of words with a letter in them",
    "stop_words": "different stop words of the document's language",
    "duplicate_lines": "share of lines that occurred before",
    "duplicate_paragraphs": "share of paragraphs that occurred before",
    "duplicate_line_characters": "share of characters in lines that occurred before",
    "duplicate_paragraph_characters": "share of characters in paragraphs that occurred before",
    **{f"top_{n}_gram": f"share of characters in the most frequent {n}-gram" for n in (2, 3, 4)},
    **{
        f"duplicate_{n}_grams": f"share of characters in {n}-grams that occurred before" for n in range(5, 11)
    },
    "lorem_ipsum": "1 where `lorem ipsum` occurs",
    "curly_brackets": "number of opening curly brackets",
    "sentences": "number of sentences",
    "punctuated_lines": "share of lines that end in terminal punctuation",
    "short_lines": "share of lines under 30 characters",
    "newlines_per_word": "line ends per word",
}

BULLETS = "•‣⁃◦▪●*-–"
ELLIPSES = ("...", "…", "[...]", "[…]")
SHORT_LINE = 30
TERMINAL = SENTENCE_ENDS + "\"'”’»)]"  # C4 counts closing quotes; brackets close like them
_UNSPACED_ENDS = np.array([ord(sign) for sign in "。！？｡"], np.uint32)

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


def compute(text: str, words: Words, language: str) -> dict[str, float]:
    """All signals of one text. `text` and `words` belong together; `language` picks the stop words."""
    signals = dict.fromkeys(SIGNALS, 0.0)
    _word_signals(signals, text, words, language)
    _line_signals(signals, text)
    _ngram_signals(signals, words)
    return signals


def _word_signals(signals: dict[str, float], text: str, words: Words, language: str) -> None:
    starts, ends = words.spaced()
    unspaced = words.unspaced
    count = len(words.hashes) if unspaced else len(starts)
    signals["words"] = count
    if unspaced or not count:
        signals["mean_word_length"] = signals["alphabetic_words"] = math.nan
    else:
        letters = np.zeros(len(words.classes) + 1, np.int32)
        np.cumsum(words.classes >= LETTER, out=letters[1:])
        signals["mean_word_length"] = float((ends - starts).sum()) / count
        signals["alphabetic_words"] = np.count_nonzero(letters[ends] > letters[starts]) / count
    signals["hashes_per_word"] = text.count("#") / max(count, 1)
    signals["ellipses_per_word"] = (text.count("...") + text.count("…")) / max(count, 1)
    stop_words = stop_word_hashes(language)
    found = (words.hashes[:, None] == stop_words).any(axis=0)
    signals["stop_words"] = float(np.count_nonzero(found)) if len(stop_words) else math.nan
    signals["lorem_ipsum"] = float("lorem ipsum" in text.lower())
    signals["curly_brackets"] = text.count("{")
    signals["sentences"] = _sentences(words, ends)
    signals["newlines_per_word"] = text.count("\n") / max(count, 1)


def _sentences(words: Words, ends: np.ndarray) -> float:
    """Words that end in a sentence sign, perhaps with one quote or bracket after it, and CJK full stops."""
    sign = words.classes == SENTENCE_END
    last, before = ends - 1, np.maximum(ends - 2, 0)
    closed = int(np.count_nonzero(sign[last] | ((words.classes[last] == PUNCTUATION) & sign[before])))
    if (words.classes == SYLLABLE).any():
        unspaced = np.isin(words.points, _UNSPACED_ENDS)
        unspaced[last] = False
        closed += int(np.count_nonzero(unspaced))
    return float(max(1, closed))


def _line_signals(signals: dict[str, float], text: str) -> None:
    lines = [stripped for line in text.split("\n") if (stripped := line.strip())]
    paragraphs = [stripped for part in text.split("\n\n") if (stripped := part.strip())]
    count = max(len(lines), 1)
    signals["bullet_lines"] = sum(line[0] in BULLETS for line in lines) / count
    signals["ellipsis_lines"] = sum(line.endswith(ELLIPSES) for line in lines) / count
    signals["punctuated_lines"] = sum(line[-1] in TERMINAL for line in lines) / count
    signals["short_lines"] = sum(len(line) < SHORT_LINE for line in lines) / count
    signals["duplicate_lines"], signals["duplicate_line_characters"] = _repeated(lines)
    signals["duplicate_paragraphs"], signals["duplicate_paragraph_characters"] = _repeated(paragraphs)


def _repeated(parts: list[str]) -> tuple[float, float]:
    """Shares of parts, and of their characters, that had occurred before."""
    if len(set(parts)) == len(parts):
        return 0.0, 0.0
    seen: set[str] = set()
    repeats = repeated_characters = 0
    for part in parts:
        if part in seen:
            repeats += 1
            repeated_characters += len(part)
        seen.add(part)
    return repeats / len(parts), repeated_characters / sum(map(len, parts))


def _ngram_signals(signals: dict[str, float], words: Words) -> None:
    """Gopher's n-gram shares, of the characters in words; overlapping repeats are counted once."""
    characters = np.zeros(len(words.lengths) + 1, np.int64)
    np.cumsum(words.lengths, out=characters[1:])
    total = max(int(characters[-1]), 1)
    for n in (2, 3, 4):
        grams = words.ngrams(n)
        if not len(grams):
            continue
        order = np.argsort(grams)
        first, last = _equal_runs(grams[order])
        repeats = last - first
        if (most := int(repeats.max())) == 1:
            continue
        # of several n-grams that are equally frequent, the longest
        starts = order[first[repeats == most]]
        signals[f"top_{n}_gram"] = most * int((characters[starts + n] - characters[starts]).max()) / total
    for n in range(5, 11):
        grams = words.ngrams(n)
        ordered = np.sort(grams)
        if not (ordered[1:] == ordered[:-1]).any():
            break  # no repeated n-gram, so no longer one either
        order = np.argsort(grams, kind="stable")
        again = order[1:][grams[order[1:]] == grams[order[:-1]]]
        cover = np.zeros(len(words.lengths) + 1, np.int32)
        np.add.at(cover, again, 1)
        np.add.at(cover, again + n, -1)
        signals[f"duplicate_{n}_grams"] = int(words.lengths[np.cumsum(cover[:-1]) > 0].sum()) / total


def _equal_runs(ordered: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Start and end of each run of equal values."""
    edges = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
    return np.append(0, edges), np.append(edges, len(ordered))


@cache
def stop_word_hashes(language: str) -> np.ndarray:
    """The hashes of a language's stop words; empty where there is no list."""
    return np.unique(split(STOP_WORDS.get(language, "")).hashes)
