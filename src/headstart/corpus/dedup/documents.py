"""Stages that find duplicates among documents: exact ones by digest, near ones by MinHash.

Keys are cut into partitions, and a pass looks at one of them at a time.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from headstart.corpus.dedup import copies, deduplicate, fingerprint_index
from headstart.corpus.dedup.deduplicate import EXACT, KEYED, NEAR, PAIR, shingles
from headstart.corpus.removals import Removal, left, removals, removed_by
from headstart.corpus.work import Made, Work, labelled, rows_of, slices, step
from headstart.corpus_folder import DocumentRow


@step("digests")
def digests(work: Work, task: int) -> Made:
    """The digests of the documents of a task."""
    places = left(work, task, EXACT)
    content = _fixed_bytes(work.columns(task, "digest")["digest"], 16)[places]
    return deduplicate.digest_keys(content, work.numbers(task)[places])


@step("exact")
def exact(work: Work, partition: int) -> Made:
    """Documents whose digest an earlier document has, or a document of an earlier corpus."""
    keyed = deduplicate.merged(keys_of(work, "digests", partition))
    return deduplicate.exact(keyed).pairs()


@step(removed_by(EXACT), "parquet")
def remove_exact(work: Work, task: int) -> Made:
    """Exact duplicates, each with the document that stays in its place."""
    places, kept = _found(work, copies.SAME, task)
    known = rows_of(work, kept, ["id"])
    names = [known[one]["id"] for one in kept.tolist()]
    return removals(
        Removal(place, "same_text", f"same text as {name}", name, 1.0)
        for place, name in zip(places.tolist(), names, strict=True)
    )


def _found(work: Work, kind: str, task: int) -> tuple[np.ndarray, np.ndarray]:
    """The places of a task's documents that a pass removes, and the documents that stay in their place."""
    pairs = work.of_task(kind, task, "gone", PAIR)
    return pairs["gone"] - work.starts[task], pairs["kept"]


def _fixed_bytes(column: pa.ChunkedArray, width: int) -> np.ndarray:
    """A column of fixed-size binary values as bytes `[N, width]`, without a Python object for each."""
    content = b"".join(
        memoryview(chunk.buffers()[1])[chunk.offset * width : (chunk.offset + len(chunk)) * width]
        for chunk in column.chunks
        if len(chunk)
    )
    return np.frombuffer(content, np.uint8).reshape(-1, width)


def keys_of(work: Work, kind: str, partition: int) -> Iterator[np.ndarray]:
    """The keys of one partition: this corpus's, and those of the corpora that it is not to repeat.

    All documents of the first earlier corpus have the number -1, of the second -2, and so on.
    """
    count = work.partitions(kind)
    yield from slices(work.keys(kind), partition, count)
    for number, keyed in enumerate(fingerprint_index.earlier(work, kind, partition, count)):
        rows = np.zeros(len(keyed), KEYED)
        rows["document"] = -1 - number
        for half in keyed.dtype.names or ():
            rows[half] = keyed[half]
        yield rows


@step("bands")
def bands(work: Work, task: int) -> Made:
    """The keys of the bands of the documents of a task."""
    places = left(work, task, NEAR)
    column = work.columns(task, "signature")["signature"]
    signatures = _fixed_bytes(column, column.type.byte_width)[places].view(np.uint32)
    # Texts without a word have no n-grams: their signatures are equal, and say nothing.
    empty = deduplicate.signatures([np.zeros(0, np.uint64)], signatures.shape[1])
    worded = (signatures != empty).any(axis=1)
    numbers = work.numbers(task)[places][worded]
    return deduplicate.band_keys(signatures[worded], work.recipe.near_duplicates.bands, numbers)


@step("links")
def links(work: Work, partition: int) -> Made:
    """For each document that shares a band with another, the least that it is connected with by these."""
    return labelled(
        *deduplicate.components(deduplicate.links(deduplicate.merged(keys_of(work, "bands", partition))))
    )


@step(removed_by(NEAR), "parquet")
def remove_near(work: Work, task: int) -> Made:
    """Near duplicates, each with the document that stays in its place, and how similar the two are.

    With `near_duplicates.check` the pairs are compared shingle by shingle, and those that are not similar
    enough are no duplicates after all.
    """
    check = work.recipe.near_duplicates.check
    places, kept = _found(work, copies.NEAR, task)
    own = places + work.starts[task]
    names = ["id", "signature", *(["text"] if check is not None else [])]
    known = rows_of(work, np.concatenate((kept, own)), names)
    gone = []
    for place, one, other in zip(places.tolist(), own.tolist(), kept.tolist(), strict=True):
        alike = _similarity(work, known[one], known[other])
        if check is None or np.isnan(alike) or alike >= check:
            name = known[other]["id"]
            detail = f"near duplicate of {name}, similarity {alike:.2f}"
            gone.append(Removal(place, "similar_text", detail, name, alike))
    return removals(gone)


def _similarity(work: Work, one: DocumentRow, other: DocumentRow) -> float:
    """How similar two documents are; NaN where the other one is of an earlier corpus."""
    if "signature" not in other:
        return float("nan")
    near = work.recipe.near_duplicates
    if near.check is not None:
        return deduplicate.jaccard(*(shingles(row["text"], near.words) for row in (one, other)))
    pair = (np.frombuffer(row["signature"], np.uint32)[None] for row in (one, other))
    return float(deduplicate.similarity(*pair)[0])
