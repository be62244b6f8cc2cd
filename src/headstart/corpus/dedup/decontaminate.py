"""Decontamination: documents that hold the text of an evaluation leave the corpus.

A document and an item share a run of 13 words (Brown et al. 2020, appendix C), whatever their case and
punctuation; an item of 8 to 12 words has to occur whole, and a shorter one says too little to be looked for.
"""

from pathlib import Path

import numpy as np
from typing_extensions import TypedDict  # typing's own is not checked before Python 3.12

from headstart.corpus.dedup.evaluation_sets import items
from headstart.corpus.extract.page import composed
from headstart.corpus.removals import Removal, removals, removed_by
from headstart.corpus.text.words import split_words
from headstart.corpus.work import Made, Work, load, rows_of, save, step
from headstart.corpus_folder import SearchedFile
from headstart.errors import HeadstartError
from headstart.folder import write_json

CONTAMINATION = "decontamination"
LONGEST, SHORTEST = 13, 8
# Of a script without spaces, where every sign counts as a word and a word has about two.
LONGEST_UNSPACED, SHORTEST_UNSPACED = 26, 16
LISTED = 20  # documents that the report names for an item

GRAM = np.dtype([("words", np.int64), ("key", np.uint64), ("item", np.int64)])
# A document that holds runs of an item: how many different ones, and its word at which the first begins.
HIT = np.dtype([("place", np.int64), ("item", np.int64), ("runs", np.int64), ("word", np.int64)])


class Searched(TypedDict):
    """A file of an evaluation: items that are looked for, and those that are too short to be."""

    items: int
    too_short: int


class SearchedItem(TypedDict):
    """An item that is looked for: how many words are a run, and how many different runs it has."""

    name: str
    file: str
    words: int
    runs: int


class LookedFor(TypedDict):
    """All items, by file and in order."""

    files: dict[str, Searched]
    items: list[SearchedItem]


class FoundItem(TypedDict):
    """An item that documents hold; see `report`."""

    item: str
    covered: float
    count: int
    documents: list[str]
    shared: str


class Contamination(TypedDict, total=False):
    """What `contamination.json` holds; in a report empty where no evaluation was named."""

    files: dict[str, SearchedFile]
    items: list[FoundItem]


def index_items(work: Work) -> None:
    """Read the evaluation files that the recipe names, and note the runs of words to look for."""
    files: dict[str, Searched] = {}
    listed: list[SearchedItem] = []
    grams = []
    for file, name, text in items(work.recipe.decontaminate):
        counts = files.setdefault(file, {"items": 0, "too_short": 0})
        words = split_words(composed(text))
        longest, shortest = (LONGEST_UNSPACED, SHORTEST_UNSPACED) if words.unspaced else (LONGEST, SHORTEST)
        size = min(longest, len(words.hashes))
        if size < shortest:
            counts["too_short"] += 1
            continue
        counts["items"] += 1
        keys = np.unique(words.ngrams(size))
        rows = np.zeros(len(keys), GRAM)
        rows["words"], rows["key"], rows["item"] = size, keys, len(listed)
        grams.append(rows)
        listed.append({"name": name, "file": file, "words": size, "runs": len(keys)})
    if not listed:
        given = ", ".join(map(str, work.recipe.decontaminate))
        raise HeadstartError(
            f"no text of {SHORTEST} words or more to look for in {given}; check decontaminate"
        )
    table = np.concatenate(grams)
    save(work.folder / "grams.npy", table[np.lexsort((table["item"], table["key"], table["words"]))])
    work.note("benchmarks", LookedFor(files=files, items=listed))


@step(removed_by(CONTAMINATION), "parquet")
def find_items(work: Work, task: int) -> Made:
    """Note which of a task's documents hold which items, removed ones too, and remove those that do."""
    grams = load(work.folder / "grams.npy")
    by_size = {int(size): grams[grams["words"] == size] for size in np.unique(grams["words"])}
    keys_of = {size: np.ascontiguousarray(known["key"]) for size, known in by_size.items()}
    hits = [np.zeros(0, HIT)]
    for place, text in enumerate(work.columns(task, "text")["text"].to_pylist()):
        words = split_words(text)
        for size, known in by_size.items():
            keys, first = np.unique(words.ngrams(size), return_index=True)
            start = np.searchsorted(keys_of[size], keys)
            stop = np.searchsorted(keys_of[size], keys, side="right")
            at = np.flatnonzero(stop > start)
            if len(at):
                rows = np.concatenate([np.arange(start[one], stop[one]) for one in at])
                hits.append(_hits(place, known["item"][rows], np.repeat(first[at], (stop - start)[at])))
    found = np.concatenate(hits)
    save(work.path("contaminated", task), found)
    looked_for: LookedFor = work.noted("benchmarks")
    items = looked_for["items"]
    named = {int(hit["place"]): items[int(hit["item"])]["name"] for hit in found}
    return removals(
        Removal(place, "benchmark_text", f"shares words with {name}") for place, name in sorted(named.items())
    )


def _hits(place: int, found: np.ndarray, word: np.ndarray) -> np.ndarray:
    """One row for each item of which a document holds runs."""
    order = np.lexsort((word, found))
    number, first, runs = np.unique(found[order], return_index=True, return_counts=True)
    rows = np.zeros(len(number), HIT)
    rows["place"], rows["item"], rows["runs"], rows["word"] = place, number, runs, word[order][first]
    return rows


def write_contamination(work: Work, out: Path) -> dict[str, SearchedFile]:
    """Write `contamination.json`: items looked for and found by file, and for each one found what was where.

    `covered` is the share of an item's runs of words in the document that holds most of it, which stands
    first; `shared` is the first of them as it stands there.

    Returns:
        Items looked for and found, by file.
    """
    noted: LookedFor = work.noted("benchmarks")
    files: dict[str, SearchedFile] = {name: {**counts, "found": 0} for name, counts in noted["files"].items()}
    by_item: dict[int, list[tuple[int, int, int]]] = {}
    for task in range(work.tasks):
        for place, item, runs, word in load(work.path("contaminated", task)).tolist():
            by_item.setdefault(item, []).append((-runs, int(work.starts[task]) + place, word))
    best = {item: sorted(found)[:LISTED] for item, found in by_item.items()}
    numbers = np.array(sorted({number for found in best.values() for _, number, _ in found}), np.int64)
    ids = rows_of(work, numbers, ["id"])
    texts = rows_of(work, np.array(sorted({found[0][1] for found in best.values()}), np.int64), ["text"])
    rows: list[FoundItem] = []
    for item in sorted(best):
        facts, (runs, number, word) = noted["items"][item], best[item][0]
        files[facts["file"]]["found"] += 1
        rows.append(
            {"item": facts["name"], "covered": round(-runs / facts["runs"], 4), "count": len(by_item[item]),
             "documents": [ids[one]["id"] for _, one, _ in best[item]],
             "shared": _shared(texts[number]["text"], word, facts["words"])}
        )  # fmt: skip
    write_json(out / "contamination.json", Contamination(files=files, items=rows))
    return files


def _shared(text: str, word: int, count: int) -> str:
    """Some words of a text as they stand there."""
    words = split_words(text)
    last = word + count - 1
    return " ".join(text[words.starts[word] : words.starts[last] + words.lengths[last]].split())
