"""The last pass: every document is written once more, into `documents/` or into `removed/`.

`partition_documents` writes the removed documents of a task, and the others by the part in which they end up;
`write_partition` brings one part into order. So memory is bounded by a task and by a part.
"""

import numpy as np
import pyarrow as pa

from headstart.corpus import mix, removed_spans
from headstart.corpus.dedup.copies import COPIES
from headstart.corpus.outcomes import Outcome, outcome
from headstart.corpus.prepare import DOCUMENT
from headstart.corpus.report.funnel import ledger, ledger_of_copies
from headstart.corpus.work import LABEL, Made, Work, load, save_table, step
from headstart.folder import atomic

# A document of the corpus, and how many documents of the raw data it stands for, itself included.
FINAL = pa.schema([*DOCUMENT, ("copies", pa.int64())])
# A document that went, why, and for a duplicate the one that stays in its stead.
REMOVED = pa.schema(
    [*DOCUMENT, *((name, pa.string()) for name in ("stage", "rule", "detail", "kept")),
     ("similarity", pa.float64())]
)  # fmt: skip
DEALT = pa.schema([*FINAL, ("order", pa.uint64())])


@step("dealt", "parquet")
def partition_documents(work: Work, task: int) -> Made:
    """Write a task's removed documents, and its others by the part of the corpus that they belong to."""
    found, count = outcome(work, task), np.array(load(work.path("drawn", task)))
    documents = _current(work, task)
    _write_removed(work, task, documents, found)
    documents = documents.append_column("copies", pa.array(_stands_for(work, task)))
    places = np.repeat(np.arange(len(count)), count)
    which = np.arange(len(places)) - np.repeat(np.cumsum(count) - count, count)  # 0 for the first copy, 1, …
    keys = mix.order(work.numbers(task)[places], which, work.recipe.seed)
    parts = work.noted("parts")
    part = (((keys >> np.uint64(32)) * np.uint64(parts)) >> np.uint64(32)).astype(np.int64)
    by_part = np.argsort(part, kind="stable")
    bounds = np.searchsorted(part[by_part], np.arange(parts + 1))
    with atomic(work.path("dealt", task, "arrow")) as temporary, pa.OSFile(str(temporary), "wb") as sink:
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        with pa.ipc.new_file(sink, DEALT, options=options) as writer:
            for number in range(parts):
                rows = by_part[bounds[number] : bounds[number + 1]]
                table = documents.take(pa.array(places[rows])).append_column("order", pa.array(keys[rows]))
                writer.write_batch(_one_batch(table.cast(DEALT)))
    save_table(work.path("held", task, "parquet"), ledger_of_copies(work, task, found, count))
    return ledger(work, task, found)


def _current(work: Work, task: int) -> pa.Table:
    """The documents of a task as the cutting stages left them; one of which too little was left is whole."""
    documents = work.columns(task, *DOCUMENT.names)
    changed = removed_spans.changed(work, task, "place", "text")
    if not any(rows["place"] for _, rows in changed):
        return documents
    texts = documents["text"].to_pylist()
    for _, rows in changed:
        for place, text in zip(rows["place"], rows["text"], strict=True):
            texts[place] = text
    return documents.set_column(documents.column_names.index("text"), "text", pa.array(texts, pa.string()))


def _stands_for(work: Work, task: int) -> np.ndarray:
    """The number of copies that were found of each document, with itself."""
    copies = np.ones(len(work.numbers(task)), np.int64)
    found = work.of_task(COPIES, task, "document", LABEL)
    copies[found["document"] - work.starts[task]] = found["label"]
    return copies


def _write_removed(work: Work, task: int, documents: pa.Table, found: Outcome) -> None:
    if len(found.removed):
        rows = documents.take(found.removed["place"])
        for name in ("stage", "rule", "detail", "kept", "similarity"):
            rows = rows.append_column(name, found.removed[name])
        save_table(work.path("removed", task, "parquet"), rows.cast(REMOVED))


def _one_batch(table: pa.Table) -> pa.RecordBatch:
    batches = table.combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], DEALT)


@step("documents", "parquet")
def write_partition(work: Work, part: int) -> Made:
    """Write one part of the corpus, its documents in their final order."""
    batches = []
    for path in work.files("dealt", "arrow"):
        with pa.memory_map(str(path)) as source:
            batches.append(pa.ipc.open_file(source).get_batch(part))
    return pa.Table.from_batches(batches, DEALT).sort_by("order").select(FINAL.names)
