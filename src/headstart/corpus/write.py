"""Pass 2 of a corpus: every document is written once more, into `documents/` or into `removed/`.

The shuffle has two steps: rows are first dealt out to the parts in which they end up, then each part is
brought into order. So memory is bounded by the size of a part, and every file is read once from start to end.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headstart.corpus.decide import Decisions
from headstart.corpus.prepare import DOCUMENT, Prepared
from headstart.folder import atomic, remove

REMOVED = pa.schema([*DOCUMENT, ("stage", pa.string()), ("rule", pa.string()), ("detail", pa.string())])
_DEALT = pa.schema([*DOCUMENT, ("position", pa.int64())])
_ROWS = 1024


def write_documents(
    out: Path, dealt: Path, prepared: list[Prepared], decisions: Decisions, final: np.ndarray, part_bytes: int
) -> None:
    """Write both folders of `out`.

    Args:
        dealt: a folder for files in between.
        final: the index of the document at each position of the corpus; repeated documents occur repeatedly.
        part_bytes: the size of a part, counted in bytes of text.
    """
    sizes = decisions.columns["bytes"][final]
    part = np.unique((np.cumsum(sizes) - sizes) // part_bytes, return_inverse=True)[1]
    remove(dealt)
    dealt.mkdir(parents=True)
    with atomic(out / "removed") as removed:
        removed.mkdir()
        _deal(removed, dealt, prepared, decisions, final, part)
    with atomic(out / "documents") as documents:
        documents.mkdir()
        for path in sorted(dealt.iterdir()):
            table = pq.read_table(path).sort_by("position").select(DOCUMENT.names)
            pq.write_table(table, documents / path.name, compression="zstd", row_group_size=_ROWS)
            path.unlink()


def _deal(
    removed: Path,
    dealt: Path,
    prepared: list[Prepared],
    decisions: Decisions,
    final: np.ndarray,
    part: np.ndarray,
) -> None:
    """Read the prepared files in order; write removed rows to `removed`, and the others to their parts."""
    positions = np.argsort(final, kind="stable")  # grouped by document
    bounds = np.searchsorted(final[positions], np.arange(len(decisions.stage) + 1))
    writers = [
        pq.ParquetWriter(dealt / f"part-{k:05d}.parquet", _DEALT, compression="lz4")
        for k in range(part[-1] + 1)
    ]
    try:
        start = 0
        for number, one in enumerate(prepared):
            rejects = []
            with pq.ParquetFile(one.path) as file:
                for batch in file.iter_batches(_ROWS, columns=DOCUMENT.names):
                    table = pa.Table.from_batches([batch])
                    stop = start + len(table)
                    rejects.append(_rejected(table, decisions, start))
                    at = positions[bounds[start] : bounds[stop]]
                    rows = table.take(final[at] - start).append_column("position", pa.array(at))
                    for k in np.unique(part[at]):
                        writers[k].write_table(rows.filter(pa.array(part[at] == k)))
                    start = stop
            if sum(map(len, rejects)):
                path = removed / f"part-{number:05d}.parquet"
                pq.write_table(pa.concat_tables(rejects), path, compression="zstd", row_group_size=_ROWS)
    finally:
        for writer in writers:
            writer.close()


def _rejected(table: pa.Table, decisions: Decisions, start: int) -> pa.Table:
    """The removed rows of a table whose first row is document `start`, with stage, rule and detail."""
    span = slice(start, start + len(table))
    gone = np.flatnonzero(decisions.stage[span] != None)  # noqa: E711  (element by element)
    rows = table.take(gone)
    for name in ("stage", "rule", "detail"):
        rows = rows.append_column(name, pa.array(getattr(decisions, name)[span][gone], pa.string()))
    return rows.cast(REMOVED)
