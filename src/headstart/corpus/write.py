"""The last pass: every document is written once more, into `documents/` or into `removed/`.

`deal` writes the removed documents of a task, and deals the others out to the parts in which they end up;
`gather` brings one part into order. So memory is bounded by a task and by a part.
"""

from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from headstart.corpus import mix
from headstart.corpus.decide import Verdict, describe, reasons, tally, verdict
from headstart.corpus.lines import cleaned
from headstart.corpus.prepare import DOCUMENT
from headstart.corpus.work import Work, load, open_work
from headstart.folder import atomic, write_json

REMOVED = pa.schema([*DOCUMENT, ("stage", pa.string()), ("rule", pa.string()), ("detail", pa.string())])
DEALT = pa.schema([*DOCUMENT, ("order", pa.uint64())])
_ROWS = 1024


def deal(folder: Path, task: int) -> None:
    """Write a task's removed documents, and its others by the part of the corpus that they belong to."""
    work = open_work(folder)
    out = work.path("dealt", task, "json")
    if out.exists():
        return
    decided, count = _copies(work, task)
    documents = cleaned(work, task, work.columns(task, *DOCUMENT.names))
    documents = documents.set_column(
        documents.column_names.index("metadata"), "metadata", _counted(work, task, documents)
    )
    _write_removed(work, task, documents, decided)
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
    size = np.array([len(text.encode("utf-8", "replace")) for text in documents["text"].to_pylist()])
    counts = {
        name: tally(documents[name].to_numpy(zero_copy_only=False).astype(str)[places], size[places])
        for name in ("domain", "language")
    }
    write_json(out, counts | {"verdicts": tally(decided.code, size)})


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


def _counted(work: Work, task: int, documents: pa.Table) -> pa.Array:
    """The documents' metadata, with the number of copies that were found of each."""
    metadata = documents["metadata"].to_pylist()
    clusters = load(work.folder / "clusters.npy")
    numbers = work.numbers(task)
    start, stop = np.searchsorted(clusters["kept"], (numbers[0], numbers[-1] + 1)) if len(numbers) else (0, 0)
    for kept, copies in clusters[start:stop].tolist():
        place = kept - int(numbers[0])
        metadata[place] = orjson.dumps(orjson.loads(metadata[place]) | {"copies": copies}).decode()
    return pa.array(metadata, pa.string())


def _write_removed(work: Work, task: int, documents: pa.Table, decided: Verdict) -> None:
    gone = np.flatnonzero(decided.code)
    path = work.path("removed", task, "parquet")
    if len(gone):
        rows = documents.take(pa.array(gone))
        for name, values in zip(("stage", "rule", "detail"), describe(work, task, decided), strict=True):
            rows = rows.append_column(name, pa.array(values, pa.string()))
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
    table = pa.Table.from_batches(batches, DEALT).sort_by("order").select(DOCUMENT.names)
    with atomic(out) as temporary:
        pq.write_table(table, temporary, compression="zstd", row_group_size=_ROWS)
