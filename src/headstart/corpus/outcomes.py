"""What became of each document: what the stages say of a task's, put together.

A stage writes, for each task, the documents that it removes, each with its rule and a sentence. Where two
stages remove one document, the earlier one counts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import takewhile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headstart.corpus import removed_spans
from headstart.corpus.removals import REMOVALS, removed_by
from headstart.corpus.work import Work


@dataclass(frozen=True)
class Outcome:
    """What became of a task's documents.

    Attributes:
        stage: 0 for those that stay, else which of the work's stages removed it, from 1.
        removed: those that go, by their place: `REMOVALS` with the stage's name.
        bytes, words: sizes of the texts as they are now, or were when they went.
        cut: by stage, the bytes and words that it cut out of each document that stays, `[2, N]`.
    """

    stage: np.ndarray
    removed: pa.Table
    bytes: np.ndarray
    words: np.ndarray
    cut: dict[str, np.ndarray]


def outcome(work: Work, task: int, before: str | None = None) -> Outcome:
    """What all stages, or those before one, say of a task's documents."""
    stage = np.zeros(len(work.numbers(task)), np.int16)
    found = [REMOVALS.append(pa.field("stage", pa.string())).empty_table()]
    for number, name in enumerate(takewhile(lambda name: name != before, work.stages), 1):
        rows = pq.read_table(work.path(removed_by(name), task, "parquet"))
        rows = rows.filter(pa.array(stage[rows["place"].to_numpy()] == 0))
        stage[rows["place"].to_numpy()] = number
        found.append(rows.append_column("stage", pa.array([name] * len(rows), pa.string())))
    table = work.columns(task, "bytes", "words")
    sizes = np.stack([table["bytes"].to_numpy(), table["words"].to_numpy()]).astype(np.int64)  # [2, N]
    cut: dict[str, np.ndarray] = {}
    for name, rows in removed_spans.changed(work, task, "place", "bytes", "words", before=before):
        places, now = np.array(rows["place"], np.int64), np.array([rows["bytes"], rows["words"]], np.int64)
        cut[name] = np.zeros_like(sizes)
        cut[name][:, places] = sizes[:, places] - now
        sizes[:, places] = now
    return Outcome(stage, pa.concat_tables(found).sort_by("place"), sizes[0], sizes[1], cut)


def most_common(counts: Mapping[str, int]) -> dict[str, int]:
    """How often each value occurs, the most frequent first."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
