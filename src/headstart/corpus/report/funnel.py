"""The funnel: how many documents, bytes and words each stage left, in all, by domain and by language."""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headstart.corpus import mix
from headstart.corpus.filters.urls import BLOCKED
from headstart.corpus.outcomes import PAGES, Verdict, reasons, stages, verdict
from headstart.corpus.recipe import CorpusRecipe
from headstart.corpus.removed_spans import STEPS, writes
from headstart.corpus.work import Work, open_work, save
from headstart.folder import atomic

UNITS = ("documents", "bytes", "words")


def weigh(folder: Path, task: int) -> None:
    """Count a task's documents by what has become of them, and what the mix draws from."""
    work = open_work(folder)
    out = work.path("weighed", task, "parquet")
    if out.exists():
        return
    decided = verdict(work, task)
    left = decided.code == 0
    key = work.columns(task, work.recipe.mix.by).column(0).to_numpy(zero_copy_only=False).astype(str)[left]
    save(
        work.path("histogram", task),
        mix.histogram(key, decided.bytes[left], work.numbers(task)[left], work.recipe.seed),
    )
    write_ledger(work, task, decided, out)


def write_ledger(work: Work, task: int, decided: Verdict, out: Path) -> None:
    """Write what became of a task's documents, by domain and language.

    `code` is a place in `reasons`, or -1, -2, … for what the first, the second cutting step took out of
    documents that stay, in rows of no documents.
    """
    table = work.columns(task, "domain", "language")
    parts = [_rows(table, decided.code, np.ones_like(decided.bytes), decided.bytes, decided.words)]
    for number, stage in enumerate(STEPS):
        if stage in decided.cut and len(at := np.flatnonzero(decided.cut[stage][0])):
            code = np.full(len(at), -1 - number)
            parts.append(_rows(table.take(pa.array(at)), code, np.zeros_like(at), *decided.cut[stage][:, at]))
    with atomic(out) as temporary:
        pq.write_table(_summed(pa.concat_tables(parts)), temporary)


def write_held(work: Work, task: int, decided: Verdict, count: np.ndarray, out: Path) -> None:
    """Write what a task gives to the corpus, where each document occurs `count` times."""
    table = work.columns(task, "domain", "language")
    rows = _rows(table, np.zeros_like(count), count, count * decided.bytes, count * decided.words)
    with atomic(out) as temporary:
        pq.write_table(_summed(rows.filter(pc.field("documents") > 0)), temporary)


def _rows(table: pa.Table, code: np.ndarray, *sizes: np.ndarray) -> pa.Table:
    columns = {"domain": table["domain"], "language": table["language"], "code": pa.array(code, pa.int64())}
    return pa.table(columns | {unit: pa.array(of) for unit, of in zip(UNITS, sizes, strict=True)})


def _summed(rows: pa.Table) -> pa.Table:
    keys = ["domain", "language", "code"]
    summed = rows.group_by(keys).aggregate([(unit, "sum") for unit in UNITS])
    return summed.rename_columns([*keys, *UNITS]).sort_by([(key, "ascending") for key in keys])


def read_ledger(work: Work, step: str) -> list[dict[str, Any]]:
    """The ledgers of all tasks as one, by domain, language and code."""
    total: pa.Table | None = None
    for path in work.files(step, "parquet"):
        one = pq.read_table(path)
        total = one if total is None else _summed(pa.concat_tables([total, one]))
    return [] if total is None else total.to_pylist()


def funnel(
    rows: Iterable[dict[str, Any]], recipe: CorpusRecipe, first: dict[str, int]
) -> list[dict[str, Any]]:
    """What was left after each stage that the recipe has.

    Args:
        rows: of a ledger.
        first: what the first row, `read`, says.
    """
    gone: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(len(UNITS), np.int64))
    left = np.zeros(len(UNITS), np.int64)
    known = reasons(recipe)
    for row in rows:
        sizes = np.array([row[unit] for unit in UNITS])
        left += sizes
        code = row["code"]
        gone[known[code][0] if code >= 0 else [*STEPS][-1 - code]] += sizes
    held: list[dict[str, Any]] = [{"stage": "read"} | first]
    for stage in stages(recipe):
        left = left - gone[stage]
        if _takes_place(recipe, stage):
            held.append({"stage": stage} | dict(zip(UNITS, left.tolist(), strict=True)))
    return held


def _takes_place(recipe: CorpusRecipe, stage: str) -> bool:
    if stage == "decontamination":
        return bool(recipe.decontaminate)
    if stage == BLOCKED:
        return bool(recipe.urls.lists())
    if stage == PAGES:
        return recipe.urls.same is not None or recipe.urls.per_host is not None
    return writes(recipe, stage) if stage in STEPS else True


def removed(rows: Iterable[dict[str, Any]], recipe: CorpusRecipe) -> dict[str, dict[str, int]]:
    """Documents removed by stage and rule."""
    known = reasons(recipe)
    counts: dict[int, int] = defaultdict(int)
    for row in rows:
        if row["code"] > 0:
            counts[row["code"]] += row["documents"]
    by_stage: dict[str, dict[str, int]] = {}
    for code in sorted(counts):
        stage, rule = known[code]
        by_stage.setdefault(stage, {})[rule] = counts[code]
    return by_stage


def totals(rows: Iterable[dict[str, Any]], column: str) -> dict[str, dict[str, int]]:
    """Documents, bytes and words by domain or language, the largest first."""
    sums: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(UNITS, 0))
    for row in rows:
        for unit in UNITS:
            sums[row[column]][unit] += row[unit]
    return dict(sorted(sums.items(), key=lambda item: (-item[1]["bytes"], item[0])))
