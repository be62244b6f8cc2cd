"""Lists of words and phrases that a text should have few of, or many: a signal for each list."""

from functools import lru_cache
from pathlib import Path

import numpy as np

from headstart.corpus.filters.entry_lists import read_list
from headstart.corpus.text.words import Words, split_words
from headstart.errors import HeadstartError


def listed_share(words: Words, path: Path) -> float:
    """The share of a text's words that stand in a word or phrase of a list."""
    if not len(words.hashes):
        return 0.0
    covered = np.zeros(len(words.hashes), bool)
    for size, known in phrases(path).items():
        places = np.flatnonzero(np.isin(words.ngrams(size), known))
        for offset in range(size):
            covered[places + offset] = True
    return float(np.count_nonzero(covered)) / len(covered)


@lru_cache(maxsize=16)
def phrases(path: Path) -> dict[int, np.ndarray]:
    """The hashes of a list's phrases by their number of words.

    Raises:
        HeadstartError: the file cannot be read, or there is no word in it.
    """
    found: dict[int, list[np.ndarray]] = {}
    for entry in read_list(path):
        words = split_words(entry)
        if size := len(words.hashes):
            found.setdefault(size, []).append(words.ngrams(size))
    if not found:
        raise HeadstartError(f"the list {path} has no words; give one word or phrase a line")
    return {size: np.unique(np.concatenate(hashes)) for size, hashes in found.items()}
