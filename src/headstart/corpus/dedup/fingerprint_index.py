"""The index that a corpus keeps: a later one that is not to repeat it reads this, and none of its documents.

Each kind is a few files of records sorted by a 64-bit `key`, so that a partition of any later corpus reads
its own part of them: `digests` (16 bytes) and `bands` (8 each) of documents, of distinct `lines` and
`paragraphs` a hash and in how many documents they stand (12), of some `runs` of words a hash (8).
"""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.lib.recfunctions as rfn

from headstart.corpus.dedup.deduplicate import EXACT, KEYED, NEAR
from headstart.corpus.recipe import CorpusRecipe
from headstart.corpus.removed_spans import LINES as LINES_STAGE
from headstart.corpus.removed_spans import SUBSTRINGS
from headstart.corpus.work import Work, save, slices
from headstart.corpus_folder import IndexFacts, NearIndex
from headstart.errors import HeadstartError

FOLDER = "index"
DIGESTS, BANDS, LINES, PARAGRAPHS, RUNS = "digests", "bands", "lines", "paragraphs", "runs"
DIGESTED = 3  # raise it when words or n-grams make other keys
KEY = np.dtype([("key", np.uint64)])
COUNTED = np.dtype([("key", np.uint64), ("count", np.uint32)])


def contents(recipe: CorpusRecipe, stages: Collection[str]) -> IndexFacts:
    """What the index of a corpus can be asked for, by the setting that a later corpus has to share.

    Args:
        recipe: the settings.
        stages: those that run.
    """
    near, lines = recipe.near_duplicates, LINES_STAGE in stages
    return {
        "exact_duplicates": {"method": DIGESTED} if EXACT in stages else None,
        "near_duplicates": NearIndex(words=near.words, bands=near.bands, rows=near.rows, method=DIGESTED)
        if NEAR in stages
        else None,
        "repeated_lines": lines and recipe.repeated_lines is not None,
        "repeated_paragraphs": lines and recipe.repeated_paragraphs is not None,
        "repeated_substrings": recipe.repeated_substrings if SUBSTRINGS in stages else None,
    }


def check_index(wanted_of_all: IndexFacts, earlier: Path, held: IndexFacts) -> None:
    """Raise a `HeadstartError` if the index of an earlier corpus, `held`, lacks what is wanted of all."""
    for setting, wanted in wanted_of_all.items():
        if wanted and held.get(setting) != wanted:
            raise HeadstartError(
                f"{earlier} cannot be compared with: its index was made with {setting} = "
                f"{_words(held.get(setting))}, and the recipe has {_words(wanted)}; give both the same, or "
                f"switch {setting} off"
            )


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {number}" for name, number in value.items())
    return {True: "on", False: "off", None: "off"}.get(value, str(value))


def size(recipe: CorpusRecipe, *kinds: str) -> int:
    """Bytes that the earlier corpora's indexes have of some kinds."""
    return sum(file.stat().st_size for kind in kinds for one in recipe.against for file in _files(one, kind))


def earlier(work: Work, kind: str, partition: int, count: int) -> Iterator[np.ndarray]:
    """One partition of the index of each earlier corpus, in their order, sorted by key."""
    for folder in work.recipe.against:
        yield np.concatenate(list(slices(_files(folder, kind), partition, count)))


def _files(folder: Path, kind: str) -> list[Path]:
    return sorted((folder / FOLDER).glob(f"{kind}-*.npy"))


def path(work: Work, kind: str, partition: int) -> Path:
    """The file of this corpus's own index for one partition of a kind."""
    return work.folder / FOLDER / f"{kind}-{partition:05d}.npy"


def keep_keys(work: Work, kind: str) -> None:
    """Put the keys of all documents of a kind, digests or bands, into the index of this corpus."""
    halves = ["key", "low"] if kind == DIGESTS else ["key"]
    count = work.partitions(kind)
    for partition in range(count):
        keyed = np.concatenate([np.zeros(0, KEYED), *slices(work.keys(kind), partition, count)])
        save(path(work, kind, partition), rfn.repack_fields(np.unique(keyed[halves])))
