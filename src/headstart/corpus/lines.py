"""Lines that stand in many documents of the corpus: menus, licences, notices; no single page shows them.

Llama 3 (2024, section 3.1.1) drops lines seen more than six times in 30 million documents.
"""

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headstart.corpus.decide import verdict
from headstart.corpus.deduplicate import KEYED, merged
from headstart.corpus.work import Work, load, open_work, save, slices
from headstart.folder import atomic


def _hashes(text: str) -> np.ndarray:
    """A 64-bit hash of each line, without what surrounds it and its case; 0 for an empty one."""
    digests = (
        hashlib.blake2b(bare.encode("utf-8", "replace"), digest_size=8).digest()
        if (bare := line.strip().lower())
        else bytes(8)
        for line in text.split("\n")
    )
    return np.frombuffer(b"".join(digests), np.uint64)


def count_lines(folder: Path, task: int) -> None:
    """The lines of a task's documents, each once a document."""
    work = open_work(folder)
    out = work.path("lines", task)
    if out.exists():
        return
    left = np.flatnonzero(verdict(work, task).code == 0)
    texts = work.columns(task, "text")["text"].take(pa.array(left)).to_pylist()
    parts = []
    for number, text in zip(work.numbers(task)[left].tolist(), texts, strict=True):
        keys = np.unique(_hashes(text))
        keyed = np.zeros(len(keys), KEYED)
        keyed["key"], keyed["document"] = keys, number
        parts.append(keyed[keys != 0])
    save(out, merged(parts))


def repeated(folder: Path, partition: int) -> None:
    """The lines that more documents have than the recipe allows, ascending."""
    work = open_work(folder)
    out = work.path("repeated", partition)
    if not out.exists():
        keyed = merged(slices(work.files("lines"), partition, work.noted("partitions")["lines"]))
        keys, counts = np.unique(keyed["key"], return_counts=True)
        assert work.recipe.repeated_lines is not None
        save(out, keys[counts > work.recipe.repeated_lines])


def drop_lines(folder: Path, task: int) -> None:
    """A task's documents without repeated lines, those that change; and those of which nothing is left."""
    work = open_work(folder)
    out = work.path("emptied", task)
    if out.exists():
        return
    known = [load(path) for path in work.files("repeated")]
    left = np.flatnonzero(verdict(work, task).code == 0)
    texts = work.columns(task, "text")["text"].take(pa.array(left)).to_pylist()
    changed: list[tuple[int, str]] = []
    for place, text in zip(left.tolist(), texts, strict=True):
        hashes = _hashes(text)
        gone = np.zeros(len(hashes), bool)
        for keys in known:
            gone |= np.isin(hashes, keys)
        if gone.any():
            kept = [line for line, drop in zip(text.split("\n"), gone, strict=True) if not drop]
            changed.append((place, "\n".join(kept).strip()))
    places, new = zip(*changed, strict=True) if changed else ((), ())
    schema = pa.schema([("place", pa.int64()), ("text", pa.string())])
    with atomic(work.path("cleaned", task, "parquet")) as temporary:
        pq.write_table(pa.table({"place": places, "text": new}, schema), temporary, compression="zstd")
    save(out, np.array([place for place, text in changed if not text], np.int64))


def cleaned(work: Work, task: int, documents: pa.Table) -> pa.Table:
    """The documents of a task as they go into the corpus: without repeated lines, where those are dropped."""
    path = work.path("cleaned", task, "parquet")
    if not path.exists():
        return documents
    changes = pq.read_table(path).to_pydict()
    texts = documents["text"].to_pylist()
    for place, text in zip(changes["place"], changes["text"], strict=True):
        if text:
            texts[place] = text
    return documents.set_column(documents.column_names.index("text"), "text", pa.array(texts, pa.string()))
