"""How well near duplicates are found here: copies of some documents with some words changed are looked for.

The copies are never part of the corpus. Their band keys are searched among those of its documents, so the
figures are of this corpus, these settings, and the same code that removes documents.
"""

from dataclasses import replace
from typing import cast

import numpy as np
from typing_extensions import TypedDict  # typing's own is not checked before Python 3.12

from headstart.corpus.dedup.deduplicate import (
    KEYED,
    band_keys,
    jaccard,
    shingles,
    shingles_of,
    signatures,
)
from headstart.corpus.dedup.documents import NEAR, keys_of
from headstart.corpus.removals import left
from headstart.corpus.text.hashing import draws
from headstart.corpus.text.words import split_words
from headstart.corpus.work import Made, Work, load, rows_of, save, step
from headstart.folder import read_json

SHARES = (0.02, 0.05, 0.10, 0.20)  # of the words, changed
PLANTED, LEAST_WORDS = 200, 50
ALIKE = 0.5  # a pair below this Jaccard similarity is a false merge
PLANT = 9  # the stream of random numbers
MATCH = np.dtype([("copy", np.int64), ("document", np.int64)])


class PlantedCopy(TypedDict):
    """A copy that was made: of which document, the share of its words that is changed, and the similarity."""

    source: int
    changed: float
    jaccard: float


class RecallRow(TypedDict):
    """How well copies with that share of changed words are found; see `recall`."""

    changed: float
    copies: int
    found: int
    expected: float
    false: int
    jaccard: float | None


@step("planted", "json")
def plant_copies(work: Work, task: int) -> Made:
    """Make the copies of a task's documents: how similar they are, and their band keys."""
    near, numbers = work.recipe.near_duplicates, work.numbers(task)
    share = min(1.0, 2 * PLANTED / max(int(work.starts[-1]), 1))
    drawn = draws(numbers, work.recipe.seed, PLANT) < share * (2**64 - 1)
    drawn &= work.columns(task, "words")["words"].to_numpy() >= LEAST_WORDS
    stays = left(work, task, NEAR)
    chosen = stays[drawn[stays]]
    copies: list[PlantedCopy] = []
    grams = []
    for number, row in rows_of(work, numbers[chosen], ["text"]).items():
        words = split_words(row["text"])
        own = shingles_of(words, near.words)
        for changed in SHARES:
            rng = np.random.default_rng((work.recipe.seed, number, int(100 * changed)))
            hashes = words.hashes.copy()
            at = rng.choice(len(hashes), max(1, round(changed * len(hashes))), replace=False)
            hashes[at] = rng.integers(2**64, size=len(at), dtype=np.uint64)  # words that are nowhere else
            grams.append(shingles_of(replace(words, hashes=hashes), near.words))
            copies.append({"source": number, "changed": changed, "jaccard": jaccard(own, grams[-1])})
    matrix = signatures(grams, near.bands * near.rows)
    save(work.path("planted", task), band_keys(matrix, near.bands, np.arange(len(copies))))
    return copies


def _copies(work: Work) -> tuple[list[PlantedCopy], np.ndarray]:
    """The copies of all tasks, and their band keys, numbered as in the list."""
    copies: list[PlantedCopy] = []
    keyed = [np.zeros(0, KEYED)]
    for keys, rows in zip(work.files("planted"), work.files("planted", "json"), strict=True):
        one = np.array(load(keys))
        one["document"] += len(copies)
        keyed.append(one)
        copies += cast(list[PlantedCopy], read_json(rows, list))
    return copies, np.concatenate(keyed)


@step("looked")
def find_copies(work: Work, partition: int) -> Made:
    """Which copies share a band key of a partition with which documents."""
    _, planted = _copies(work)
    planted = planted[np.argsort(planted["key"], kind="stable")]
    found = [np.zeros(0, MATCH)]
    for keyed in keys_of(work, "bands", partition):
        start = np.searchsorted(planted["key"], keyed["key"])
        stop = np.searchsorted(planted["key"], keyed["key"], side="right")
        for row in np.flatnonzero(stop > start).tolist():
            matches = np.zeros(stop[row] - start[row], MATCH)
            matches["copy"] = planted["document"][start[row] : stop[row]]
            matches["document"] = keyed["document"][row]
            found.append(matches)
    return np.unique(np.concatenate(found))


def recall(work: Work) -> list[RecallRow]:
    """For each share of changed words: how many copies there were, how many were found, and were to be.

    A copy is found if it would be linked to its source or to what its source is linked to. `expected` is the
    mean of 1 - (1 - s^rows)^bands over the copies' true similarities s. `false` counts copies that would be
    linked to a document of another group whose true similarity to their source is below one half.
    """
    copies, _ = _copies(work)
    matches = np.unique(np.concatenate([np.zeros(0, MATCH), *(load(path) for path in work.files("looked"))]))
    sources = np.array([copies[copy]["source"] for copy in matches["copy"].tolist()], np.int64)
    alike = work.looked_up("near", matches["document"]) == work.looked_up("near", sources)
    near = work.recipe.near_duplicates
    found, others = set(), set()
    for (copy, document), same in zip(matches.tolist(), alike.tolist(), strict=True):
        if same:
            found.add(copy)
        else:
            others.add((copy, document))
    apart = _unlike(work, {(copies[copy]["source"], document) for copy, document in others})
    merged = {copy for copy, document in others if (copies[copy]["source"], document) in apart}
    rows: list[RecallRow] = []
    for changed in SHARES:
        mine = [number for number, copy in enumerate(copies) if copy["changed"] == changed]
        alike = np.array([copies[number]["jaccard"] for number in mine])
        expected = 1 - (1 - alike**near.rows) ** near.bands
        rows.append(
            {"changed": changed, "copies": len(mine), "found": len(found.intersection(mine)),
             "expected": round(float(expected.sum()), 1), "false": len(merged.intersection(mine)),
             "jaccard": round(float(alike.mean()), 3) if len(mine) else None}
        )  # fmt: skip
    return rows


def _unlike(work: Work, pairs: set[tuple[int, int]]) -> set[tuple[int, int]]:
    """Those pairs of documents of this corpus whose sets of word n-grams are not alike."""
    documents = np.array(sorted({one for pair in pairs for one in pair if min(pair) >= 0}), np.int64)
    size = work.recipe.near_duplicates.words
    grams = {
        number: shingles(row["text"], size) for number, row in rows_of(work, documents, ["text"]).items()
    }
    return {(a, b) for a, b in pairs if a in grams and b in grams and jaccard(grams[a], grams[b]) < ALIKE}
