"""Words and sentences, for the models that read words: word2vec, GloVe, ELMo.

A text folder holds `train.txt` and `heldout.txt`: one unit of text (a document or a sentence) a line,
its words with one space between them, as word2vec, GloVe and gensim read them.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import groupby
from pathlib import Path

from headstart.corpus_folder import corpus_documents
from headstart.errors import HeadstartError
from headstart.folder import atomic, read_manifest, write_manifest
from headstart.progress import ProgressBar
from headstart.tokenizer.shards import SPLITS, is_heldout

KIND, VERSION = "text", 1

# Scripts written without spaces between words: Thai, Lao, Myanmar, Khmer, kana, ideographs.
_UNSPACED = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"

# A sentence ends before white space that follows a full stop, a question or exclamation mark, or a quote or
# bracket that closes right after one; and at the end of a line. `Mr. Smith` is cut: there is no list of
# abbreviations.
_END = ".!?…。！？।॥"
_SENTENCE_END = re.compile(rf"""(?<=[{_END}])\s+|(?<=[{_END}]["'”’»)\]])\s+|\s*\n\s*""")


@cache
def _word() -> re.Pattern[str]:
    """A run of letters, digits and combining marks, with apostrophes inside; an ideograph stands alone."""
    marks = [point for point in range(0x300, 0x10000) if unicodedata.category(chr(point))[0] == "M"]
    runs = [
        [point for _, point in run]
        for _, run in groupby(enumerate(marks), key=lambda pair: pair[1] - pair[0])
    ]
    mark = "".join(f"{chr(run[0])}-{chr(run[-1])}" for run in runs)
    letter = rf"(?:[^\W_{_UNSPACED}]|[{mark}])"
    return re.compile(rf"[{_UNSPACED}][{mark}]*|{letter}+(?:['’]{letter}+)*")


@cache
def _word_or_sign() -> re.Pattern[str]:
    return re.compile(rf"{_word().pattern}|[^\w\s]|_")


def lower_words(text: str) -> Iterator[list[str]]:
    """The text as one list of words: lower-cased runs of letters and digits, punctuation left out."""
    yield _word().findall(text.lower())


def sentences(text: str) -> Iterator[list[str]]:
    """The text's sentences, each a list of words and single punctuation signs, written as they stand."""
    for sentence in _SENTENCE_END.split(text):
        if words := _word_or_sign().findall(sentence):
            yield words


def write_text(
    corpus: Path, out: Path, cut: Callable[[str], Iterable[list[str]]], heldout_share: float
) -> dict[str, dict[str, int]]:
    """Cut a corpus folder into lines of words; returns lines and words of each split.

    A text folder that is whole stays as it is.

    Args:
        corpus: the corpus folder.
        out: the text folder to write.
        cut: makes lines of a document, `lower_words` or `sentences`.
        heldout_share: share of the documents, chosen by a hash of their id, that training never sees.

    Raises:
        HeadstartError: no words, or all documents fell on one side of the split.
    """
    if (out / "manifest.json").exists():
        return read_manifest(out, KIND, VERSION)["splits"]
    totals = {split: {"lines": 0, "words": 0} for split in SPLITS}
    with atomic(out) as folder, ProgressBar("words", None, "words") as bar:
        folder.mkdir(parents=True)
        files = {split: (folder / f"{split}.txt").open("w", encoding="utf-8") for split in SPLITS}
        try:
            for document in corpus_documents(corpus, ("id", "text")):
                split = "heldout" if is_heldout(document["id"], heldout_share) else "train"
                for line in cut(document["text"].encode("utf-8", "replace").decode("utf-8")):
                    if line:
                        files[split].write(" ".join(line) + "\n")
                        totals[split]["lines"] += 1
                        totals[split]["words"] += len(line)
                        bar.advance(len(line))
        finally:
            for file in files.values():
                file.close()
        for split, total in totals.items():
            if not total["words"] and (split == "train" or heldout_share > 0):
                raise HeadstartError(
                    f"no word of {corpus} is left for the {split} split; "
                    "give more text or change heldout_share"
                )
        write_manifest(folder, KIND, VERSION, {"splits": totals})
    return totals


def read_lines(path: Path) -> Iterator[list[str]]:
    """The lines of one split, each a list of words."""
    with path.open(encoding="utf-8", newline="\n") as file:
        for line in file:
            yield line.split()


def count_words(path: Path, fewest: int, most: int | None) -> dict[str, int]:
    """The `most` frequent words of a text file that occur at least `fewest` times, with their counts.

    Frequent words come first; equally frequent ones in the order of their first appearance.

    Raises:
        HeadstartError: no word is frequent enough.
    """
    counts: Counter[str] = Counter()
    for line in read_lines(path):
        counts.update(line)
    kept = {word: count for word, count in counts.most_common(most) if count >= fewest}
    if not kept:
        raise HeadstartError(
            f"no word of the corpus occurs {fewest} times; give more text or lower model.min_count"
        )
    return kept
