"""The funnel: how many documents, bytes and words each stage left, in all, by domain and by language."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headstart.corpus.outcomes import Outcome
from headstart.corpus.work import Work
from headstart.corpus_folder import FunnelRow, Totals

UNITS = ("documents", "bytes", "words")


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """Documents of one domain and language that met the same end.

    Attributes:
        stage, rule: what removed them, both empty for those that stay; or the stage without a rule, for
            what it cut out of documents that stay, in a row of no documents.
    """

    domain: str
    language: str
    stage: str
    rule: str
    documents: int
    bytes: int
    words: int


def ledger(work: Work, task: int, found: Outcome) -> pa.Table:
    """What became of a task's documents, as rows of `LedgerRow`."""
    table = work.columns(task, "domain", "language")
    stages = np.array(["", *work.stages], object)[found.stage]
    rules = np.full(len(stages), "", object)
    rules[found.removed["place"].to_numpy()] = found.removed["rule"].to_numpy(zero_copy_only=False)
    parts = [_rows(table, stages, rules, np.ones_like(found.bytes), found.bytes, found.words)]
    for stage, cut in found.cut.items():
        at = np.flatnonzero(cut[0])
        some = np.full(len(at), stage, object), np.full(len(at), "", object)
        parts.append(_rows(table.take(pa.array(at)), *some, np.zeros_like(at), *cut[:, at]))
    return _summed(pa.concat_tables(parts))


def ledger_of_copies(work: Work, task: int, found: Outcome, count: np.ndarray) -> pa.Table:
    """What a task gives to the corpus, where each document occurs `count` times."""
    table = work.columns(task, "domain", "language")
    empty = np.full(len(count), "", object)
    rows = _rows(table, empty, empty, count, count * found.bytes, count * found.words)
    return _summed(rows.filter(pc.field("documents") > 0))


def _rows(table: pa.Table, stages: np.ndarray, rules: np.ndarray, *sizes: np.ndarray) -> pa.Table:
    columns = {"stage": pa.array(stages, pa.string()), "rule": pa.array(rules, pa.string())}
    columns |= {unit: pa.array(of) for unit, of in zip(UNITS, sizes, strict=True)}
    return pa.table({"domain": table["domain"], "language": table["language"]} | columns)


def _summed(rows: pa.Table) -> pa.Table:
    keys = ["domain", "language", "stage", "rule"]
    summed = rows.group_by(keys).aggregate([(unit, "sum") for unit in UNITS])
    return summed.rename_columns([*keys, *UNITS]).sort_by([(key, "ascending") for key in keys])


def read_ledger(work: Work, kind: str) -> list[LedgerRow]:
    """The ledgers of all tasks as one."""
    total: pa.Table | None = None
    for path in work.files(kind, "parquet"):
        one = pq.read_table(path)
        total = one if total is None else _summed(pa.concat_tables([total, one]))
    return [] if total is None else [LedgerRow(**row) for row in total.to_pylist()]


def funnel(
    rows: Iterable[LedgerRow], stages: Iterable[str], first: FunnelRow | None = None
) -> list[FunnelRow]:
    """What was left after each stage.

    Args:
        rows: of a ledger.
        stages: all of them, in their order.
        first: a row before them.
    """
    gone: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(len(UNITS), np.int64))
    left = np.zeros(len(UNITS), np.int64)
    for row in rows:
        sizes = np.array([row.documents, row.bytes, row.words])
        left += sizes
        gone[row.stage] += sizes
    held = [] if first is None else [first]
    for stage in stages:
        left = left - gone[stage]
        documents, size, words = left.tolist()
        held.append({"stage": stage, "documents": documents, "bytes": size, "words": words})
    return held


def removed(rows: Iterable[LedgerRow], stages: Mapping[str, Sequence[str]]) -> dict[str, dict[str, int]]:
    """Documents removed by stage and rule, in their order."""
    counts: dict[tuple[str, str], int] = defaultdict(int)
    for row in rows:
        counts[row.stage, row.rule] += row.documents
    by_stage = {
        stage: {rule: counts[stage, rule] for rule in rules if counts[stage, rule]}
        for stage, rules in stages.items()
    }
    return {stage: rules for stage, rules in by_stage.items() if rules}


def removed_by_language(
    rows: Iterable[LedgerRow], stages: Mapping[str, Sequence[str]], most: int = 20
) -> dict[str, dict[str, int]]:
    """Documents removed of the languages with most documents, by rule in their order."""
    counts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    sizes: dict[str, int] = defaultdict(int)
    for row in rows:
        sizes[row.language] += row.documents
        counts[row.language][row.rule] += row.documents
    order = [rule for rules in stages.values() for rule in rules]
    largest = sorted(sizes, key=lambda language: (-sizes[language], language))[:most]
    return {
        language: {rule: counts[language][rule] for rule in order if counts[language].get(rule)}
        for language in largest
    }


def totals(rows: Iterable[LedgerRow], column: str) -> dict[str, Totals]:
    """Documents, bytes and words by domain or language, the largest first."""
    sums: dict[str, Totals] = defaultdict(lambda: Totals(documents=0, bytes=0, words=0))
    for row in rows:
        one = sums[getattr(row, column)]
        one["documents"] += row.documents
        one["bytes"] += row.bytes
        one["words"] += row.words
    return dict(sorted(sums.items(), key=lambda item: (-item[1]["bytes"], item[0])))


def added_up(rows: Iterable[LedgerRow]) -> Totals:
    """All documents, bytes and words of some rows."""
    every = list(rows)
    return Totals(
        documents=sum(row.documents for row in every),
        bytes=sum(row.bytes for row in every),
        words=sum(row.words for row in every),
    )
