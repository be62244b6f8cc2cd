"""Runs of words that the corpus has twice: all but the first occurrence are cut out (Lee et al. 2022).

A run of `size` words is a repeat if an equal run, of the same words whatever their case and punctuation,
begins earlier in the corpus: in an earlier document, or before it in its own without overlap. Words in a
repeat go. That is a property of the corpus: the answer depends neither on tasks, workers nor partitions.

A suffix array finds such runs in memory of several times the corpus. Here every pass is bounded by a task or
a partition of keys, because few words need a key. Winnowing (Schleimer 2003) picks one of every few half-runs
by its hash alone, so two equal runs hold an equal pick; only the runs around a half-run that was picked twice
are then compared, by 128 bits of hash.

With earlier corpora only some runs are compared, their fingerprints: an index of all would be larger than the
texts. Of each `reach` neighbouring runs one is a fingerprint, picked by its hash alone, so both corpora pick
the same one of a stretch of `size + reach - 1` equal words. What goes stands in an earlier corpus; of a
stretch that stands there `reach - 1` words may be left at either end, and shorter ones are found by chance.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from headstart.corpus import removed_spans
from headstart.corpus.dedup import fingerprint_index
from headstart.corpus.removals import left
from headstart.corpus.removed_spans import SUBSTRINGS, RemovedSpan, cut_by
from headstart.corpus.text.hashing import rolling
from headstart.corpus.text.words import SPACE, Words, split_words
from headstart.corpus.work import Made, Work, held, rows_of, save, slices, step

RUN = np.dtype([("key", np.uint64), ("low", np.uint64), ("document", np.int64), ("word", np.int64)])
REPEAT = np.dtype([("document", np.int64), ("word", np.int64), ("kept_in", np.int64)])
_BASES = 0xD1342543DE82EF95, 0x2545F4914F6CDD1D, 0x9E6C63D0876A9A47
RULE = "repeated_substring"


def picks(hashes: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The places and hashes of the half-runs that stand for runs of `size` words.

    Of the half-runs in each run the one with the least hash is picked, so equal runs pick equal ones.
    """
    half = rolling(hashes, size // 2, _BASES[0])
    places = _least(half, size - size // 2 + 1)
    return places, half[places]


def reach(size: int) -> int:
    """Of how many neighbouring runs one is a fingerprint."""
    return max(1, size // 4)


def fingerprints(hashes: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The places and hashes of the runs of `size` words by which corpora are compared."""
    whole = rolling(hashes, size, _BASES[1])
    places = _least(whole, max(1, min(reach(size), len(whole))))
    return places, whole[places]


def _least(values: np.ndarray, window: int) -> np.ndarray:
    """The places of the least values of all windows; of equal ones in a window the first."""
    if len(values) < window:
        return np.zeros(0, np.int64)
    least = sliding_window_view(values, window).argmin(axis=1)
    return np.unique(least + np.arange(len(least)))


def _documents(work: Work, task: int) -> tuple[np.ndarray, list[str], list[Words]]:
    """The places of a task's documents that are left, their texts, and the words of these."""
    places = left(work, task, SUBSTRINGS)
    texts = removed_spans.texts(work, task, places, SUBSTRINGS)
    return places, texts, [split_words(text) for text in texts]


def _size(work: Work) -> int:
    assert work.recipe.repeated_substrings is not None
    return work.recipe.repeated_substrings


@step("picks")
def fingerprint_documents(work: Work, task: int) -> Made:
    """The picks and the fingerprints of a task's documents."""
    _, _, documents = _documents(work, task)
    found = [picks(words.hashes, _size(work))[1] for words in documents]
    marks = [fingerprints(words.hashes, _size(work))[1] for words in documents]
    save(work.path("fingerprints", task), _keys(marks))
    return _keys(found)


def _keys(hashes: list[np.ndarray]) -> np.ndarray:
    keyed = np.sort(np.concatenate([np.zeros(0, np.uint64), *hashes]))
    return keyed.view(fingerprint_index.KEY)


@step("fingerprinted")
def keep_fingerprints(work: Work, partition: int) -> Made:
    """Keep the fingerprints of this corpus for later ones, and find those that each earlier one has."""
    count = work.partitions("fingerprints")
    own = np.unique(np.concatenate(list(slices(work.keys("fingerprints"), partition, count))))
    for number, there in enumerate(fingerprint_index.earlier(work, fingerprint_index.RUNS, partition, count)):
        save(work.path(_shared(number), partition), np.intersect1d(own["key"], there["key"], True))
    save(fingerprint_index.path(work, fingerprint_index.RUNS, partition), own)
    return np.array(len(own))


def _shared(number: int) -> str:
    """The step that finds fingerprints of an earlier corpus."""
    return f"shared_{number}"


@step("picked_twice")
def picked_twice(work: Work, partition: int) -> Made:
    """The picks that occur more than once in the corpus, ascending."""
    parts = slices(work.keys("picks"), partition, work.partitions("picks"))
    every = np.concatenate([np.zeros(0, np.uint64), *(part["key"] for part in parts)])
    keys, counts = np.unique(every, return_counts=True)
    return keys[counts > 1]


@step("runs")
def runs(work: Work, task: int) -> Made:
    """The runs of a task's documents that may be repeats: those around a half-run that was picked twice."""
    size, known = _size(work), work.files("picked_twice")
    stays, _, documents = _documents(work, task)
    parts = [np.zeros(0, RUN)]
    for number, words in zip(work.numbers(task)[stays].tolist(), documents, strict=True):
        places, keys = picks(words.hashes, size)
        places = places[held(known, keys)]
        starts = np.unique(places[:, None] - np.arange(size - size // 2 + 1))
        starts = starts[(starts >= 0) & (starts <= len(words.hashes) - size)]
        rows = np.zeros(len(starts), RUN)
        rows["document"], rows["word"] = number, starts
        if len(starts):
            rows["key"], rows["low"] = (rolling(words.hashes, size, base)[starts] for base in _BASES[1:])
        parts.append(rows)
    return _sorted(np.concatenate(parts))


def _sorted(rows: np.ndarray) -> np.ndarray:
    return rows[np.lexsort((rows["word"], rows["document"], rows["low"], rows["key"]))]


@step("repeats")
def repeats(work: Work, partition: int) -> Made:
    """The runs that are repeats, by document, each with the document in which the first one stands."""
    parts = slices(work.keys("runs"), partition, work.partitions("runs"))
    rows = _sorted(np.concatenate([np.zeros(0, RUN), *parts]))
    new = np.ones(len(rows), bool)
    new[1:] = (rows["key"][1:] != rows["key"][:-1]) | (rows["low"][1:] != rows["low"][:-1])
    first = rows[np.flatnonzero(new)[np.cumsum(new) - 1]]
    apart = (rows["document"] != first["document"]) | (rows["word"] >= first["word"] + _size(work))
    found = np.zeros(np.count_nonzero(apart), REPEAT)
    found["document"], found["word"] = rows["document"][apart], rows["word"][apart]
    found["kept_in"] = first["document"][apart]
    return found[np.lexsort((found["word"], found["document"]))]


@step(cut_by(SUBSTRINGS), "parquet")
def cut_repeats(work: Work, task: int) -> Made:
    """A task's documents without the words of repeats, those that change."""
    size, numbers = _size(work), work.numbers(task)
    stays, texts, documents = _documents(work, task)
    there = _in_earlier(work, numbers[stays], documents)
    found = np.concatenate([there, work.of_task("repeats arranged", task, "document", REPEAT)])
    found = found[np.lexsort((found["word"], found["document"]))]
    bounds = np.searchsorted(found["document"], numbers[stays][:, None] + [0, 1])
    kept_in = rows_of(work, np.unique(found["kept_in"]), ["id"])

    def cut_one(row: int) -> tuple[str, list[RemovedSpan]]:
        mine = found[slice(*bounds[row])]
        names = [kept_in[number]["id"] for number in mine["kept_in"].tolist()]
        return without_words(texts[row], documents[row], mine["word"], size, names)

    return removed_spans.write_spans(work, task, SUBSTRINGS, stays, cut_one)


def _in_earlier(work: Work, numbers: np.ndarray, documents: list[Words]) -> np.ndarray:
    """The runs of some documents that earlier corpora have among their fingerprints."""
    parts = [np.zeros(0, REPEAT)]
    if work.recipe.against:
        found = [fingerprints(words.hashes, _size(work)) for words in documents]
        keys = np.concatenate([np.zeros(0, np.uint64), *(hashes for _, hashes in found)])
        rows = np.zeros(len(keys), REPEAT)
        rows["document"] = np.repeat(numbers, [len(places) for places, _ in found])
        rows["word"] = np.concatenate([np.zeros(0, np.int64), *(places for places, _ in found)])
        for number in range(len(work.recipe.against)):
            mine = rows[held(work.files(_shared(number)), keys)]
            mine["kept_in"] = -1 - number
            parts.append(mine)
    return np.concatenate(parts)


def without_words(
    text: str, words: Words, starts: np.ndarray, size: int, kept_in: list[str]
) -> tuple[str, list[RemovedSpan]]:
    """A text without the runs of `size` words that begin at some words, ascending, and what went.

    What clings to a word that goes, as quotes and full stops do, goes with it; around a gap the text stays as
    far apart as it was: on the same line, on another or in another paragraph.
    """
    kept, gone, end, pieces = "", "", 0, []
    fresh = np.flatnonzero(np.diff(starts, prepend=-size - 1) > size)  # where a new stretch of words begins
    for first, behind in zip(fresh, np.append(fresh, len(starts))[1:], strict=True):
        a, b = _edges(words, int(starts[first]), int(starts[behind - 1]) + size - 1)
        kept, gone, end = _joined(kept, gone, text[end:a]), text[a:b], b
        pieces.append(RemovedSpan(RULE, a, gone, kept_in[first]))
    return _joined(kept, gone, text[end:]).strip() if pieces else text, pieces


def _joined(left: str, gone: str, right: str) -> str:
    """Two ends of a text, as far apart as what went from between them says."""
    before, behind = left.rstrip(), right.lstrip()
    space = left[len(before) :] + right[: len(right) - len(behind)]
    gap = next((gap for gap in ("\n\n", "\n") if gap in gone or gap in space), space[:1])
    return before + gap + behind


def _edges(words: Words, first: int, last: int) -> tuple[int, int]:
    """Where the characters of neighbouring words begin and end, with what clings to them."""
    ends = words.starts + words.lengths
    a, floor = int(words.starts[first]), int(ends[first - 1]) if first else 0
    b = int(ends[last])
    ceiling = int(words.starts[last + 1]) if last + 1 < len(ends) else len(words.points)
    while a > floor and words.classes[a - 1] != SPACE:
        a -= 1
    while b < ceiling and words.classes[b] != SPACE:
        b += 1
    return a, b
