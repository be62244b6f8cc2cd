"""Every figure of a corpus's report: what the steps measured, put together."""

import base64
import difflib
import heapq
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headstart import __version__
from headstart.corpus.decide import rows_of
from headstart.corpus.dedup.deduplicate import PAIR
from headstart.corpus.dedup.recall import recall
from headstart.corpus.filters.signals import SIGNALS
from headstart.corpus.outcomes import reasons
from headstart.corpus.report.count_outcomes import EXAMPLES, PAIRS, SAMPLE, quality_rules
from headstart.corpus.report.funnel import funnel, totals
from headstart.corpus.work import Work, load
from headstart.folder import read_json

GROUPS, EDGES, WORDS, BINS = 12, 120, 120, 48
UNDEFINED = 255


def collect(work: Work, facts: dict[str, Any], ledger: list[dict[str, Any]], out: Path) -> dict[str, Any]:
    """The report as one dictionary.

    Args:
        facts: what the manifest says too.
        ledger: what became of every document, by domain and language.
        out: the corpus folder, for what was found of evaluations.
    """
    measured = [read_json(path) for path in work.files("measured", "json")]
    contamination = out / "contamination.json"
    return facts | {
        "headstart": __version__,
        "recipe": (work.folder / "recipe.yaml").read_text(encoding="utf-8"),
        "by": {column: _by(work, ledger, column) for column in ("domain", "language")},
        "quality": _quality(work, measured) | _sample(work),
        "examples": _examples(work, measured),
        "near_duplicates": _near(work, measured),
        "found": read_json(contamination) if contamination.exists() else {},
    }


def _by(work: Work, ledger: list[dict[str, Any]], column: str) -> dict[str, list[dict[str, Any]]]:
    """The funnel of each of the largest domains or languages."""
    largest = list(totals([row for row in ledger if row["code"] >= 0], column))[:GROUPS]
    return {
        name: funnel((row for row in ledger if row[column] == name), work.recipe, {})[1:] for name in largest
    }


def _quality(work: Work, measured: list[dict[str, Any]]) -> dict[str, Any]:
    """What each rule removes, alone and with others, of the documents that came to the rules."""
    rules = quality_rules(work)

    def summed(name: str) -> Any:
        return np.sum([one[name] for one in measured], axis=0, dtype=np.int64).tolist()

    counts = {name: summed(name) for name in ("fires", "bytes", "alone", "alone_bytes")}
    listed = [
        {"rule": name, "signal": rule.signal, "op": rule.op, "threshold": rule.threshold, "pages": pages,
         "meaning": SIGNALS.get(rule.signal, "")} | {kind: counts[kind][row] for kind in counts}
        for row, (name, rule, pages) in enumerate(rules)
    ]  # fmt: skip
    return {
        "judged": sum(one["judged"] for one in measured),
        "any": dict(zip(("documents", "bytes"), summed("any"), strict=True)),
        "rules": listed,
        "together": summed("together"),
    }


def _sample(work: Work) -> dict[str, Any]:
    """The signals of a sample of the documents that came to the rules, as places among a few values.

    A place is twice the index of the value that a signal has, and one less where it lies before that value,
    so that thresholds among the values can be tried exactly.
    """
    table: pa.Table | None = None
    for path in work.files("sampled", "parquet"):
        one = pq.read_table(path)
        table = one if table is None else pa.concat_tables([table, one])
        table = table.sort_by("draw").slice(0, SAMPLE)
    if table is None or not len(table):
        return {"sample": {"documents": 0, "signals": {}}}
    rules = quality_rules(work)
    signals = {}
    for name in dict.fromkeys(rule.signal for _, rule, _ in rules):
        values = table[name].to_numpy().astype(np.float64)
        defined = np.unique(values[~np.isnan(values)])
        some = defined[np.linspace(0, len(defined) - 1, min(len(defined), EDGES)).astype(int)]
        thresholds = [rule.threshold for _, rule, _ in rules if rule.signal == name]
        edges = np.unique(np.concatenate([some, thresholds]))
        at = np.minimum(np.searchsorted(edges, values), len(edges) - 1)
        place = np.where(np.isnan(values), UNDEFINED, 2 * at - (edges[at] != values)).astype(np.uint8)
        signals[name] = {
            "values": [float(f"{edge:.6g}") for edge in edges],
            "places": base64.b64encode(place.tobytes()).decode(),
            "histogram": _histogram(values[~np.isnan(values)]),
        }
    pages = table["page"].to_numpy(zero_copy_only=False).astype(np.uint8)
    return {
        "sample": {
            "documents": len(table),
            "pages": base64.b64encode(pages.tobytes()).decode(),
            "signals": signals,
        }
    }


def _histogram(values: np.ndarray) -> dict[str, Any]:
    """Counts over equal steps up to the 99.5th percentile; of large numbers over their logarithm."""
    if not len(values):
        return {"log": False, "low": 0.0, "high": 1.0, "counts": [0] * BINS}
    log = bool(values.max() > 100)
    scaled = np.log10(1 + values) if log else values
    low, high = float(scaled.min()), float(np.quantile(scaled, 0.995))
    high = high if high > low else low + 1
    counts, _ = np.histogram(np.minimum(scaled, high), bins=BINS, range=(low, high))
    return {"log": log, "low": low, "high": high, "counts": counts.tolist()}


def _examples(work: Work, measured: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A few random removed documents for each rule, those with the least draws."""
    by_rule: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for one in measured:
        for example in one["examples"]:
            by_rule.setdefault((example["stage"], example["rule"]), []).append(example)
    shown = []
    order = {reason: place for place, reason in enumerate(reasons(work.recipe))}
    for _, examples in sorted(by_rule.items(), key=lambda item: order[item[0]]):
        shown += heapq.nsmallest(EXAMPLES, examples, key=lambda example: (example["draw"], example["id"]))
    return shown


def _near(work: Work, measured: list[dict[str, Any]]) -> dict[str, Any]:
    """Sizes of groups, how similar their members are, examples, and how well copies are found here."""
    if not work.recipe.near_duplicates.enabled:
        return {}
    sizes = Counter(np.array(load(work.folder / "clusters.npy"))["copies"].tolist())
    pairs = heapq.nsmallest(PAIRS, (tuple(pair) for one in measured for pair in one["pairs"]["shown"]))
    files = [np.array(load(path)) for path in work.files("near")]
    stays = np.concatenate([np.zeros(0, PAIR), *files])
    kept = dict(zip(stays["gone"].tolist(), stays["kept"].tolist(), strict=True))
    wanted = {number for _, gone, _ in pairs for number in (gone, kept[gone])}
    rows = rows_of(work, np.array(sorted(wanted), np.int64), ["id", "url", "text"])
    return {
        "sizes": {str(size): count for size, count in sorted(sizes.items())},
        "similarity": np.sum([one["pairs"]["similarity"] for one in measured], axis=0).tolist(),
        "examples": [
            {"gone": rows[gone]["id"], "kept": rows[kept[gone]]["id"], "similarity": similarity,
             "difference": difference(rows[kept[gone]]["text"], rows[gone]["text"])}
            for _, gone, similarity in pairs if "text" in rows[kept[gone]]
        ],
        "recall": recall(work),
    }  # fmt: skip


def difference(kept: str, gone: str) -> list[list[str]]:
    """Two texts as stretches of words: the `same`, only in the one that was `kept`, only in the one `gone`.

    From a little before the first difference on, and not all of long texts.
    """
    first, second = kept.split(), gone.split()
    least = min(len(first), len(second))
    start = next((at for at in range(least) if first[at] != second[at]), least)
    start = max(start - 12, 0)
    first, second = first[start : start + WORDS], second[start : start + WORDS]
    parts = [["same", "…"]] if start else []
    for kind, a, b, c, d in difflib.SequenceMatcher(None, first, second, autojunk=False).get_opcodes():
        if kind == "equal":
            parts.append(["same", " ".join(first[a:b])])
            continue
        parts += [
            [name, " ".join(words)] for name, words in (("kept", first[a:b]), ("gone", second[c:d])) if words
        ]
    return parts
