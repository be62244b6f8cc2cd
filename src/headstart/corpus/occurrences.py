"""Where a word stands in a corpus: sentences with its characters, a seeded sample of them."""

import random
import re
from dataclasses import dataclass
from pathlib import Path

from headstart.corpus_folder import corpus_documents
from headstart.errors import HeadstartError

SENTENCE_END = re.compile(r"(?<=[.!?…])[\"'”’»)]*\s+|\s*\n\s*\n\s*")
LENGTHS = (12, 300)  # characters of a sentence that is kept: shorter ones tell nothing, longer ones are lists


@dataclass(frozen=True)
class Occurrence:
    """A word in a sentence."""

    sentence: str
    start: int
    end: int
    """Its characters in the sentence."""
    document: str
    domain: str


@dataclass(frozen=True)
class Occurrences:
    """A sample, and how many there are."""

    sample: list[Occurrence]
    count: int


def word_pattern(word: str) -> re.Pattern[str]:
    """A whole word, in small or capital letters."""
    return re.compile(rf"(?<!\w){re.escape(word)}(?!\w)", re.IGNORECASE)


def occurrences(corpus: Path, word: str, most: int, seed: int = 0) -> Occurrences:
    """Sentences of a corpus with a word: all, or `most` of them, each as likely as any other (reservoir
    sampling, Vitter 1985, algorithm R).

    Raises:
        HeadstartError: no word was given, or the folder is no finished corpus.
    """
    if not word.strip():
        raise HeadstartError("no word was given; write one")
    pattern, draw = word_pattern(word.strip()), random.Random(seed)
    sample: list[Occurrence] = []
    count = 0
    for document in corpus_documents(corpus, ("id", "text", "domain")):
        if not pattern.search(document["text"]):
            continue
        for sentence in SENTENCE_END.split(document["text"]):
            found = pattern.search(sentence)
            if found is None or not LENGTHS[0] <= len(sentence) <= LENGTHS[1]:
                continue
            count += 1
            one = Occurrence(sentence, *found.span(), document["id"], document["domain"])
            if len(sample) < most:
                sample.append(one)
            elif (place := draw.randrange(count)) < most:
                sample[place] = one
    return Occurrences(sample, count)
