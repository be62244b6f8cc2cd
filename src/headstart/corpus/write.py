"""The last pass: every document is written once more, into `documents/` or into `removed/`.

`deal` writes the removed documents of a task, and deals the others out to the parts in which they end up;
`gather` brings one part into order. So memory is bounded by a task and by a part.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headstart.corpus import mix, removed_spans
from headstart.corpus.outcomes import Verdict, describe, reasons, verdict
from headstart.corpus.prepare import DOCUMENT
from headstart.corpus.report.funnel import write_held, write_ledger
from headstart.corpus.work import Work, load, open_work
from headstart.folder import atomic

# A document of the corpus, and how many documents of the raw data it stands for, itself included.
FINAL = pa.schema([*DOCUMENT, ("copies", pa.int64())])
# A document that went, why, and for a duplicate the one that stays in its stead.
REMOVED = pa.schema(
    [*DOCUMENT, *((name, pa.string()) for name in ("stage", "rule", "detail", "kept")),
     ("similarity", pa.float64())]
)  # fmt: skip
DEALT = pa.schema([*FINAL, ("order", pa.uint64())])
_ROWS = 1024


def deal(folder: Path, task: int) -> None:
    """Write a task's removed documents, and its others by the part of the corpus that they belong to."""
    work = open_work(folder)
    out = work.path("dealt", task, "parquet")
    if out.exists():
        return
    decided, count = _copies(work, task)
    documents = _current(work, task)
    _write_removed(work, task, documents, decided)
    documents = documents.append_column("copies", pa.array(_stands_for(work, task)))
    places = np.repeat(np.arange(len(count)), count)
    which = np.arange(len(places)) - np.repeat(
        np.cumsum(count) - count, count
    )  # 0 for the first copy, 1, ...
    keys = mix.order(work.numbers(task)[places], which, work.recipe.seed)
    parts = work.noted("mix")["parts"]
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
    write_held(work, task, decided, count, work.path("held", task, "parquet"))
    write_ledger(work, task, decided, out)


def _current(work: Work, task: int) -> pa.Table:
    """The documents of a task as the cutting steps left them; one of which too little was left is whole."""
    documents = work.columns(task, *DOCUMENT.names)
    cut = {
        place: text
        for _, rows in removed_spans.changed(work, task, "place", "rule", "text")
        for place, rule, text in zip(*rows.values(), strict=True)
        if not rule
    }
    if not cut:
        return documents
    texts = documents["text"].to_pylist()
    for place, text in cut.items():
        texts[place] = text
    return documents.set_column(documents.column_names.index("text"), "text", pa.array(texts, pa.string()))


def _copies(work: Work, task: int) -> tuple[Verdict, np.ndarray]:
    """The last word on a task's documents, and how often each occurs in the corpus."""
    decided = verdict(work, task)
    amounts = {name: mix.Amount(**amount) for name, amount in work.noted("mix")["amounts"].items()}
    groups = work.columns(task, work.recipe.mix.by).column(0).to_numpy(zero_copy_only=False).astype(str)
    count = mix.copies(groups, work.numbers(task), amounts, work.recipe.seed)
    count[decided.code != 0] = 0
    over = (decided.code == 0) & (count == 0)
    decided.code[over] = len(reasons(work.recipe)) - 1
    return decided, count


def _stands_for(work: Work, task: int) -> np.ndarray:
    """The number of copies that were found of each document, with itself."""
    copies = np.ones(len(work.numbers(task)), np.int64)
    clusters = load(work.folder / "clusters.npy")
    start, stop = np.searchsorted(clusters["kept"], work.starts[task : task + 2])
    copies[clusters["kept"][start:stop] - work.starts[task]] = clusters["copies"][start:stop]
    return copies


def _write_removed(work: Work, task: int, documents: pa.Table, decided: Verdict) -> None:
    gone = np.flatnonzero(decided.code)
    path = work.path("removed", task, "parquet")
    if len(gone):
        rows = documents.take(pa.array(gone))
        for name, values in zip(("stage", "rule", "detail"), describe(work, task, decided), strict=True):
            rows = rows.append_column(name, pa.array(values, pa.string()))
        kept = [decided.other.get(place) for place in gone.tolist()]
        similarity = [decided.similarity.get(place) for place in gone.tolist()]
        rows = rows.append_column("kept", pa.array(kept, pa.string()))
        rows = rows.append_column("similarity", pa.array(similarity, pa.float64()))
        with atomic(path) as temporary:
            pq.write_table(rows.cast(REMOVED), temporary, compression="zstd", row_group_size=_ROWS)


def _one_batch(table: pa.Table) -> pa.RecordBatch:
    batches = table.combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], DEALT)


def gather(folder: Path, part: int) -> None:
    """Write one part of the corpus, its documents in their final order."""
    work = open_work(folder)
    out = work.path("documents", part, "parquet")
    if out.exists():
        return
    batches = []
    for path in work.files("dealt", "arrow"):
        with pa.memory_map(str(path)) as source:
            batches.append(pa.ipc.open_file(source).get_batch(part))
    table = pa.Table.from_batches(batches, DEALT).sort_by("order").select(FINAL.names)
    with atomic(out) as temporary:
        pq.write_table(table, temporary, compression="zstd", row_group_size=_ROWS)
