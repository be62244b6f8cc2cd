"""The documents that a stage removes: of each task those that go, with a rule and a sentence."""

from collections.abc import Iterable
from dataclasses import astuple, dataclass
from itertools import takewhile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headstart.corpus.work import Work

REMOVALS = pa.schema(
    [("place", pa.int64()), ("rule", pa.string()), ("detail", pa.string()), ("kept", pa.string()),
     ("similarity", pa.float64())]
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Removal:
    """A document that a stage removes.

    Attributes:
        place: its place among the task's documents.
        rule: one of the stage's.
        detail: the sentence that says why.
        kept, similarity: of a duplicate, which document stays in its place, and how alike they are.
    """

    place: int
    rule: str
    detail: str
    kept: str | None = None
    similarity: float | None = None


def removed_by(stage: str) -> str:
    """The step that writes which documents a stage removes."""
    return f"removed by {stage}"


def removals(rows: Iterable[Removal]) -> pa.Table:
    """What a stage removes of a task, as `REMOVALS`."""
    columns = list(zip(*map(astuple, rows), strict=True)) or [()] * len(REMOVALS)
    return pa.table(dict(zip(REMOVALS.names, columns, strict=True)), REMOVALS)


def left(work: Work, task: int, before: str) -> np.ndarray:
    """The places of a task's documents that come to a stage, ascending: the stages before it left them."""
    stays = np.ones(len(work.numbers(task)), bool)
    for stage in takewhile(before.__ne__, work.stages):
        path = work.path(removed_by(stage), task, "parquet")
        stays[pq.read_table(path, columns=["place"])["place"].to_numpy()] = False
    return np.flatnonzero(stays)
