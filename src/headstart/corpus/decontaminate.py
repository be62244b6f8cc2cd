"""Decontamination: documents that hold the text of an evaluation leave the corpus.

A document and an item share a run of 13 words (Brown et al. 2020, appendix C), whatever their case and
punctuation; an item of 8 to 12 words has to occur whole, and a shorter one says too little to be looked for.
"""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from headstart.corpus.read import read
from headstart.corpus.read_files import unpacked_text
from headstart.corpus.records import Raw
from headstart.corpus.sources import find_sources, plan_tasks
from headstart.corpus.words import split
from headstart.corpus.work import Work, load, open_work, save
from headstart.errors import HeadstartError
from headstart.folder import write_json

LONGEST, SHORTEST = 13, 8

GRAM = np.dtype([("words", np.int64), ("key", np.uint64), ("item", np.int64)])
HIT = np.dtype([("place", np.int64), ("item", np.int64)])


def index(work: Work) -> None:
    """Read the evaluation files that the recipe names, and note the runs of words to look for."""
    items: list[str] = []
    grams = []
    too_short = 0
    for name, text in _items(work.recipe.decontaminate):
        words = split(text)
        size = min(LONGEST, len(words.hashes))
        if size < SHORTEST:
            too_short += 1
            continue
        keys = np.unique(words.ngrams(size))
        rows = np.zeros(len(keys), GRAM)
        rows["words"], rows["key"], rows["item"] = size, keys, len(items)
        grams.append(rows)
        items.append(name)
    if not items:
        given = ", ".join(map(str, work.recipe.decontaminate))
        raise HeadstartError(
            f"no text of {SHORTEST} words or more to look for in {given}; check decontaminate"
        )
    table = np.concatenate(grams)
    save(work.folder / "grams.npy", table[np.lexsort((table["item"], table["key"], table["words"]))])
    work.note("benchmarks", {"items": items, "too_short": too_short})


def _items(paths: list[Path]) -> Iterator[tuple[str, str]]:
    """Name and text of every item: a row's strings together, or a paragraph of a plain text."""
    for path in paths:
        if path.suffix.lower() in (".csv", ".tsv"):
            rows = csv.reader(
                io.StringIO(unpacked_text(str(path))),
                delimiter="\t" if path.suffix.lower() == ".tsv" else ",",
            )
            yield from ((f"{path.name}:{number}", " ".join(row)) for number, row in enumerate(rows, 1))
            continue
        sources, _ = find_sources([path])
        for source in sources:
            yield from _of_source(Path(source.address), source.label, source.format)


def _of_source(path: Path, label: str, kind: str) -> Iterator[tuple[str, str]]:
    if kind == "jsonl":
        for number, line in enumerate(unpacked_text(str(path)).split("\n"), 1):
            if line.strip():
                yield f"{label}:{number}", " ".join(_strings(_parsed(line, f"{label}:{number}")))
    elif kind == "parquet":
        for number, row in enumerate(pq.read_table(path).to_pylist(), 1):
            yield f"{label}:{number}", " ".join(_strings(row))
    else:
        for task in plan_tasks(find_sources([path])[0]):
            for record in read(task, {}):
                if isinstance(record, Raw):
                    yield from (
                        (f"{record.source}:{n}", text) for n, text in enumerate(record.text.split("\n\n"), 1)
                    )


def _parsed(line: str, place: str) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise HeadstartError(f"{place} is not valid JSON ({error}); mend it or leave it out") from None


def _strings(value: Any) -> Iterator[str]:
    """All strings in a nested value, in their order."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from _strings(one)
    elif isinstance(value, list):
        for one in value:
            yield from _strings(one)


def search(folder: Path, task: int) -> None:
    """Which of a task's documents hold which items."""
    work = open_work(folder)
    out = work.path("contaminated", task)
    if out.exists():
        return
    grams = load(work.folder / "grams.npy")
    by_size = {int(size): grams[grams["words"] == size] for size in np.unique(grams["words"])}
    hits = []
    for place, text in enumerate(work.columns(task, "text")["text"].to_pylist()):
        words = split(text)
        for size, known in by_size.items():
            keys = np.unique(words.ngrams(size))
            start = np.searchsorted(known["key"], keys)
            stop = np.searchsorted(known["key"], keys, side="right")
            for first, last in zip(start[stop > start].tolist(), stop[stop > start].tolist(), strict=True):
                hits += [(place, int(item)) for item in known["item"][first:last]]
    save(out, np.unique(np.array(hits, HIT)))


def report(work: Work, out: Path) -> dict[str, Any]:
    """Write `contamination.json`: how many items of each file were found, and for each item where.

    Returns:
        Items looked for and found, by file.
    """
    noted = work.noted("benchmarks")
    items: list[str] = noted["items"]
    where: dict[int, list[str]] = {}
    for task in range(len(work.tasks)):
        hits = load(work.path("contaminated", task))
        ids = work.columns(task, "id")["id"].take(pa.array(np.array(hits["place"]))).to_pylist()
        for item, document in zip(hits["item"].tolist(), ids, strict=True):
            where.setdefault(item, []).append(document)
    files: dict[str, dict[str, int]] = {}
    for number, item in enumerate(items):
        counts = files.setdefault(item.rpartition(":")[0], {"items": 0, "found": 0})
        counts["items"] += 1
        counts["found"] += number in where
    found = {items[item]: documents for item, documents in sorted(where.items())}
    write_json(out / "contamination.json", {"files": files, "too_short": noted["too_short"], "found": found})
    return files
