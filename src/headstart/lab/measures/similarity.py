"""Whether vectors of words agree with people about similarity, and solve analogies."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from headstart.errors import HeadstartError
from headstart.models.vectors.word_vectors import WordVectors
from headstart.tasks.metrics.correlation import spearman

COMMON = 20
"""Words that occur less often are not asked about."""

Pair = tuple[str, str, float]
Analogy = tuple[str, str, str, str]


def published_file(name: str) -> Path:
    """A test file that gensim brings along.

    Raises:
        HeadstartError: gensim is missing.
    """
    try:
        from gensim.test.utils import datapath
    except ImportError:
        raise HeadstartError(
            "word similarities come with gensim, which is not installed; run `pip install "
            "'headstart[static]'`"
        ) from None
    return Path(datapath(name))


def similarities(name: str) -> list[Pair]:
    """Pairs of words with people's judgements, of a file of three columns."""
    with published_file(name).open(encoding="utf-8") as file:
        rows = [
            row for row in csv.reader(file, delimiter="\t") if len(row) >= 3 and not row[0].startswith("#")
        ]
    return [(a.lower(), b.lower(), float(score)) for a, b, score, *_ in rows if _is_number(score)]


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdigit()


def analogies() -> list[Analogy]:
    """Mikolov's questions: a is to b as c is to d."""
    lines = published_file("questions-words.txt").read_text(encoding="utf-8").splitlines()
    rows = (line.lower().split() for line in lines if not line.startswith(":"))
    return [(row[0], row[1], row[2], row[3]) for row in rows if len(row) == 4]


def known(vectors: WordVectors, words: Iterable[str]) -> bool:
    """Whether all words have vectors and occur often enough."""
    return all(word in vectors and vectors.counts[vectors.index[word]] >= COMMON for word in words)


def agreement(vectors: WordVectors, pairs: Sequence[Pair]) -> tuple[float, int]:
    """Spearman's correlation of cosines with people's judgements, and of how many pairs."""
    asked = [pair for pair in pairs if known(vectors, pair[:2])]
    if len(asked) < 3:
        raise HeadstartError(
            f"the vectors know {len(asked)} of {len(pairs)} pairs of words; train them on more text"
        )
    cosines = [vectors.similarity(a, b) for a, b, _ in asked]
    return spearman([score for *_, score in asked], cosines).score.value, len(asked)


def solved(vectors: WordVectors, questions: Sequence[Analogy], most: int, seed: int) -> tuple[float, int]:
    """Share of analogies whose answer is the nearest word, and of how many: at most `most`, drawn by lot."""
    asked = [question for question in questions if known(vectors, question)]
    chosen = np.random.default_rng(seed).permutation(len(asked))[:most]
    right = [vectors.analogy(*asked[n][:3])[0][0] == asked[n][3] for n in chosen]
    return float(np.mean(right)) if right else 0.0, len(right)


def shuffled(vectors: WordVectors, seed: int) -> WordVectors:
    """The same vectors, each given to another word: what is known by chance."""
    order = np.random.default_rng(seed).permutation(len(vectors))
    return WordVectors(vectors.words, vectors.counts, vectors.matrix[order])
