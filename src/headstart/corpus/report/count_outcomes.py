"""What the report shows of a task: rules alone and together, a sample of signals, examples of what went.

Samples are the documents with the least random numbers, drawn from seed and document, so that those of all
tasks together are a sample of the corpus whatever the tasks.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headstart.corpus.filters.rules import Rule
from headstart.corpus.filters.signal_spans import spans
from headstart.corpus.outcomes import NEAR, Verdict, describe, reasons, stages, verdict
from headstart.corpus.text.hashing import draws
from headstart.corpus.work import Work, open_work
from headstart.folder import atomic, write_json

SAMPLE, EXAMPLES, PAIRS, EXCERPT = 4_000, 3, 8, 700
REPORT = 8  # the stream of random numbers


def quality_rules(work: Work) -> list[tuple[str, Rule, bool]]:
    """Name, rule and whether it holds for pages alone, in order; where languages differ, the general rule."""
    found = []
    for pages, rules in enumerate(work.recipe.quality_rules()):
        for name in rules.names():
            rule = rules.general.get(name) or next(own[name] for own in rules.own.values() if own.get(name))
            assert rule is not None
            found.append((name, rule, bool(pages)))
    return found


def _fires(work: Work, columns: dict[str, np.ndarray], language: np.ndarray) -> np.ndarray:
    """Which rules remove which documents, `[rules, N]`."""
    for_all, for_pages = work.recipe.quality_rules()
    fires = [for_all.removes(name, columns, language) for name in for_all.names()]
    fires += [for_pages.removes(name, columns, language) & columns["page"] for name in for_pages.names()]
    return np.array(fires, bool).reshape(len(fires), len(language))


def measure(folder: Path, task: int) -> None:
    """Write what the report needs to know of a task."""
    work = open_work(folder)
    out = work.path("measured", task, "json")
    if out.exists():
        return
    decided = verdict(work, task)
    table = work.columns(task, "page", "bytes", *work.recipe.signals)
    columns = {name: table[name].to_numpy() for name in table.column_names}
    language = work.columns(task, "language")["language"].to_numpy(zero_copy_only=False).astype(str)
    order = draws(work.numbers(task), work.recipe.seed, REPORT)
    known = reasons(work.recipe)
    every = stages(work.recipe)
    earlier = every[: every.index("quality")] if "quality" in every else []
    before = [code for code, (stage, _) in enumerate(known) if stage in earlier]
    judged = np.flatnonzero(~np.isin(decided.code, before))
    fires = _fires(work, columns, language)[:, judged]
    _write_sample(work, task, table, judged[np.argsort(order[judged])[:SAMPLE]], order)
    many = fires.astype(np.int64)
    alone = fires & (fires.sum(axis=0) == 1)
    size = columns["bytes"][judged]
    facts: dict[str, Any] = {
        "judged": len(judged),
        "fires": many.sum(axis=1).tolist(),
        "bytes": (many @ size).tolist(),
        "alone": alone.sum(axis=1).tolist(),
        "alone_bytes": (alone @ size).tolist(),
        "together": (many @ many.T).tolist(),
        "any": [int(fires.any(axis=0).sum()), int(size[fires.any(axis=0)].sum())],
        "examples": _examples(work, task, decided, order),
        "pairs": _pairs(work, task, decided, order),
    }
    write_json(out, facts)


def _write_sample(work: Work, task: int, table: pa.Table, places: np.ndarray, order: np.ndarray) -> None:
    sample = table.take(pa.array(places)).append_column("draw", pa.array(order[places]))
    with atomic(work.path("sampled", task, "parquet")) as temporary:
        pq.write_table(sample, temporary)


def _examples(work: Work, task: int, decided: Verdict, order: np.ndarray) -> list[dict[str, Any]]:
    """Some removed documents for each rule, with what of their text the rule is about."""
    gone = np.flatnonzero(decided.code)
    by_rule: dict[int, list[int]] = {}
    for row in np.argsort(order[gone]).tolist():
        chosen = by_rule.setdefault(int(decided.code[gone[row]]), [])
        if len(chosen) < EXAMPLES:
            chosen.append(row)
    rows = sorted(row for chosen in by_rule.values() for row in chosen)
    stages, rules, details = describe(work, task, decided)
    names = ["id", "url", "domain", "language", "text"]
    texts = work.columns(task, *names).take(pa.array(gone[rows])).to_pylist()
    signal_of = {name: rule for name, rule, _ in quality_rules(work)}
    found = []
    for row, document in zip(rows, texts, strict=True):
        text = document.pop("text")
        rule = signal_of.get(rules[row]) if stages[row] == "quality" else None
        start, excerpt, marked = excerpted(text, spans(text, rule.signal) if rule else [])
        found.append(
            document
            | {"stage": stages[row], "rule": rules[row], "detail": details[row]}
            | {"draw": int(order[gone[row]]), "start": start, "excerpt": excerpt, "spans": marked}
        )
    return found


def _pairs(work: Work, task: int, decided: Verdict, order: np.ndarray) -> dict[str, Any]:
    """How similar near duplicates are to what stays, in steps of 1/20, and some of them."""
    near = [code for code, (stage, _) in enumerate(reasons(work.recipe)) if stage == NEAR]
    gone = np.flatnonzero(np.isin(decided.code, near))
    alike = np.array([decided.similarity[place] for place in gone.tolist()], np.float64)
    counts, _ = np.histogram(alike[~np.isnan(alike)], bins=20, range=(0, 1))
    chosen = gone[np.argsort(order[gone])[:PAIRS]]
    first = int(work.starts[task])
    shown = [[int(order[place]), first + place, decided.similarity[place]] for place in chosen.tolist()]
    return {"similarity": counts.tolist(), "shown": shown}


def excerpted(text: str, marked: list[tuple[int, int]]) -> tuple[int, str, list[list[int]]]:
    """An excerpt around the first of some spans: its place in the text, itself, and the spans in it."""
    start = max(0, marked[0][0] - EXCERPT // 4) if marked else 0
    end = min(len(text), start + EXCERPT)
    inside = [[max(a, start) - start, min(b, end) - start] for a, b in marked if b > start and a < end]
    return start, text[start:end], inside
