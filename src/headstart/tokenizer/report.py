"""How well tokenizers fit a corpus: compression, fertility by language and word frequency, gaps.

Fertility is tokens per word (Rust et al. 2021), and a word is what `sentences` cuts out that has a letter
or a digit; in scripts without blanks each character counts as one: compare tokenizers there, not languages.
A tokenizer that makes one unknown token of a whole word has a low fertility for nothing: `unknown_share`
tells. Special tokens are left out everywhere.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from math import sqrt
from pathlib import Path
from typing import TypedDict

import numpy as np

from headstart.corpus_folder import DocumentRow, corpus_documents
from headstart.errors import HeadstartError
from headstart.progress import ProgressBar
from headstart.tokenizer.base import Tokenizer
from headstart.tokenizer.sentences import sentences
from headstart.tokenizer.shards import batches

BATCH = 256
BANDS = (100, 1_000, 10_000)
"""Where bands of word frequency end: the hundred most frequent words, the next nine hundred, ..."""


class TextFigures(TypedDict):
    """Sums over documents, and their ratios; NaN where nothing was counted."""

    documents: int
    bytes: int
    characters: int
    words: int
    tokens: int
    bytes_per_token: float
    characters_per_token: float
    tokens_per_word: float
    tokens_per_word_error: float
    fallback_share: float
    unknown_share: float


class Coverage(TypedDict):
    """Characters that need no fallback."""

    share_of_text: float
    known_characters: int
    characters: int


class Unused(TypedDict):
    """Entries of the vocabulary that the text does not use."""

    entries: int
    share: float


class Fertility(TypedDict):
    """Tokens of the words of a band."""

    tokens_per_word: float
    share_in_one_token: float


class TokenizerFigures(TextFigures):
    """A tokenizer over all documents, by language and by how frequent words are."""

    vocab_size: int
    coverage: Coverage
    unused: Unused
    languages: dict[str, TextFigures]
    domains: dict[str, TextFigures]
    bands: dict[str, Fertility]


class WordBand(TypedDict):
    """Words of a range of ranks by frequency."""

    ranks: str
    words: int
    occurrences: int


class TokenizerReport(TypedDict):
    """Tokenizers over the same text."""

    documents: int
    bytes: int
    bands: list[WordBand]
    tokenizers: dict[str, TokenizerFigures]
    """By name."""


@dataclass
class Counts:
    """Sums over the documents of one language."""

    documents: int = 0
    bytes: int = 0
    characters: int = 0
    words: int = 0
    tokens: int = 0
    fallback: int = 0
    unknown: int = 0
    squares: np.ndarray = field(default_factory=lambda: np.zeros(3))
    """Sums of tokens², tokens · words and words² over documents: what the error of their ratio needs."""

    def add(self, text: str, words: int, tokens: int, fallback: int, unknown: int) -> None:
        self.documents += 1
        self.bytes += len(text.encode(errors="replace"))
        self.characters += len(text)
        self.words += words
        self.tokens += tokens
        self.fallback += fallback
        self.unknown += unknown
        self.squares += (tokens**2, tokens * words, words**2)

    def figures(self) -> TextFigures:
        return {
            "documents": self.documents,
            "bytes": self.bytes,
            "characters": self.characters,
            "words": self.words,
            "tokens": self.tokens,
            "bytes_per_token": _ratio(self.bytes, self.tokens),
            "characters_per_token": _ratio(self.characters, self.tokens),
            "tokens_per_word": _ratio(self.tokens, self.words),
            "tokens_per_word_error": self._error(),
            "fallback_share": _ratio(self.fallback, self.tokens),
            "unknown_share": _ratio(self.unknown, self.tokens),
        }

    def _error(self) -> float:
        """Half the 95 % interval of tokens per word, a ratio of sums over documents (Cochran 1977)."""
        if self.documents < 2 or not self.words:
            return float("nan")
        ratio = self.tokens / self.words
        spread = float(self.squares @ np.array([1, -2 * ratio, ratio**2]))
        return 1.96 * sqrt(max(spread, 0) * self.documents / (self.documents - 1)) / self.words


def compare_tokenizers(tokenizers: dict[str, Tokenizer], corpus: Path, sample_bytes: int) -> TokenizerReport:
    """Figures of each tokenizer over the first `sample_bytes` of text of a corpus folder.

    Returns:
        `documents` and `bytes` read, `bands` of words, and `tokenizers`: for each name its `vocab_size`,
        the sums and ratios over all documents, the same under `languages` and `domains`, `unused` entries,
        `coverage` (share of characters that the vocabulary knows whole), and fertility for each of the
        `bands`.

    Raises:
        HeadstartError: no corpus folder, or not one word in it.
    """
    names = list(tokenizers)
    everything = {name: Counts() for name in names}
    languages: dict[str, dict[str, Counts]] = {name: {} for name in names}
    domains: dict[str, dict[str, Counts]] = {name: {} for name in names}
    used = {name: np.zeros(tokenizers[name].vocab_size, dtype=bool) for name in names}
    fallback = {name: is_fallback(tokenizers[name]) for name in names}
    words: Counter[str] = Counter()
    characters: Counter[str] = Counter()
    with ProgressBar("report", None, "documents") as bar:
        for batch in batches(_sample(corpus, sample_bytes), BATCH):
            texts = [document["text"] for document in batch]
            found = [words_of(text) for text in texts]
            words.update(word for row in found for word in row)
            for text in texts:
                characters.update(text)
            for name in names:
                rows = tokenizers[name].encode_batch(texts)
                for document, count, ids in zip(batch, map(len, found), rows, strict=True):
                    row = np.array(ids, dtype=np.int64)
                    used[name][row] = True
                    spelled = int(fallback[name][row].sum())
                    unknown = int((row == tokenizers[name].special.unknown).sum())
                    language = languages[name].setdefault(document.get("language") or "unknown", Counts())
                    domain = domains[name].setdefault(document.get("domain") or "unknown", Counts())
                    for counts in (everything[name], language, domain):
                        counts.add(document["text"], count, len(row), spelled, unknown)
            bar.advance(len(batch))
    if not words:
        raise HeadstartError(f"{corpus} holds not one word; give a corpus with text")
    bands = _bands(words)
    first = everything[names[0]]
    return {
        "documents": first.documents,
        "bytes": first.bytes,
        "bands": [
            {"ranks": ranks, "words": len(band), "occurrences": band.total()} for ranks, band in bands.items()
        ],
        "tokenizers": {
            name: {
                "vocab_size": tokenizers[name].vocab_size,
                **everything[name].figures(),
                "coverage": _coverage(tokenizers[name], characters, fallback[name]),
                "unused": _unused(tokenizers[name], used[name]),
                "languages": _largest_first(languages[name]),
                "domains": _largest_first(domains[name]),
                "bands": {ranks: _fertility(tokenizers[name], band) for ranks, band in bands.items()},
            }
            for name in names
        },
    }


def _largest_first(parts: dict[str, Counts]) -> dict[str, TextFigures]:
    return {name: counts.figures() for name, counts in sorted(parts.items(), key=lambda one: -one[1].bytes)}


def _sample(corpus: Path, limit: int) -> Iterable[DocumentRow]:
    read = 0
    for document in corpus_documents(corpus, ("text", "language", "domain")):
        if read >= limit:
            return
        read += len(document["text"].encode(errors="replace"))
        yield document


def words_of(text: str) -> list[str]:
    """The words of a text as they stand, signs left out."""
    return [word for line in sentences(text) for word in line if any(map(str.isalnum, word))]


def is_fallback(tokenizer: Tokenizer) -> np.ndarray:
    """`[V]`: whether an id is the unknown token, or bytes that are no whole characters."""
    flags = np.zeros(tokenizer.vocab_size, dtype=bool)
    for index, piece in enumerate(tokenizer.pieces):
        try:
            piece.decode("utf-8")
        except UnicodeDecodeError:
            flags[index] = True
    if tokenizer.special.unknown is not None:
        flags[tokenizer.special.unknown] = True
    return flags


def _coverage(tokenizer: Tokenizer, characters: Counter[str], fallback: np.ndarray) -> Coverage:
    """Characters that need no fallback, as a share of the text and of the different ones."""
    different = list(characters)
    known = [
        character
        for character, ids in zip(different, tokenizer.encode_batch(different), strict=True)
        if not fallback[ids].any()
    ]
    return {
        "share_of_text": _ratio(sum(characters[character] for character in known), characters.total()),
        "known_characters": len(known),
        "characters": len(different),
    }


def _unused(tokenizer: Tokenizer, used: np.ndarray) -> Unused:
    entries = tokenizer.vocab_size - len(tokenizer.special.all)
    unused = int((~used).sum()) - sum(not used[index] for index in tokenizer.special.all)
    return {"entries": unused, "share": _ratio(unused, entries)}


def _bands(words: Counter[str]) -> dict[str, Counter[str]]:
    """Words by the rank of their frequency."""
    ranked = sorted(words.items(), key=lambda one: (-one[1], one[0]))
    borders = [0, *BANDS, len(ranked)]
    bands: dict[str, Counter[str]] = {}
    for low, high in pairwise(borders):
        if low < len(ranked):
            name = f"{low + 1:,}-{high:,}" if high in BANDS else f"{low + 1:,}-"
            bands[name] = Counter(dict(ranked[low:high]))
    return bands


def _fertility(tokenizer: Tokenizer, band: Counter[str]) -> Fertility:
    """Tokens of a band's words behind a blank, weighted by how often they occur."""
    before = len(tokenizer.encode("a"))
    tokens = whole = 0
    for part in batches(band.items(), BATCH):
        rows = tokenizer.encode_batch([f"a {word}" for word, _ in part])
        for (_, count), ids in zip(part, rows, strict=True):
            tokens += count * (len(ids) - before)
            whole += count * (len(ids) - before == 1)
    return {
        "tokens_per_word": _ratio(tokens, band.total()),
        "share_in_one_token": _ratio(whole, band.total()),
    }


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")
