"""Every figure of a corpus's report: what a step counts of each task, and all of it put together.

Samples are the documents with the least random numbers, drawn from seed and document, so that those of all
tasks together are a sample of the corpus whatever the tasks.
"""

import base64
import difflib
import heapq
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headstart import __version__
from headstart.corpus.dedup.copies import COPIES
from headstart.corpus.dedup.decontaminate import Contamination
from headstart.corpus.dedup.documents import NEAR
from headstart.corpus.dedup.recall import recall
from headstart.corpus.filters.rules import NONE, Rule
from headstart.corpus.filters.signal_spans import spans
from headstart.corpus.judge import QUALITY, broken_rules
from headstart.corpus.outcomes import Outcome, outcome
from headstart.corpus.report.funnel import LedgerRow, funnel, read_ledger, removed_by_language, totals
from headstart.corpus.report.schema import (
    Broken,
    CountedPairs,
    CountedTask,
    Example,
    Histogram,
    NearDuplicates,
    Quality,
    Report,
    RuleRow,
    Sample,
    SignalSample,
    Span,
)
from headstart.corpus.text.hashing import draws
from headstart.corpus.work import Made, Work, load, rows_of, save_table, step
from headstart.corpus_folder import CorpusFacts, FunnelRow
from headstart.folder import read_json

SAMPLE, EXAMPLES, PAIRS, EXCERPT = 4_000, 3, 8, 700
GROUPS, EDGES, WORDS, BINS = 12, 120, 120, 48
UNDEFINED = 255
REPORT = 8  # the stream of random numbers


# What is counted of a task


@step("counted", "json")
def count_outcomes(work: Work, task: int) -> Made:
    """What the report needs to know of a task: rules alone and together, a sample, examples."""
    found = outcome(work, task)
    table = work.columns(task, "page", "bytes", "language", *work.recipe.signals)
    columns = {name: table[name].to_numpy() for name in table.column_names if name != "language"}
    language = table["language"].to_numpy(zero_copy_only=False).astype(str)
    order = draws(work.numbers(task), work.recipe.seed, REPORT)
    came = 1 + list(work.stages).index(QUALITY) if QUALITY in work.stages else 0
    judged = np.flatnonzero((found.stage == 0) | (found.stage >= came))
    fires = broken_rules(work.recipe, columns, language)[:, judged]
    _write_sample(work, task, table, judged[np.argsort(order[judged])[:SAMPLE]], order)
    many = fires.astype(np.int64)
    alone = fires & (fires.sum(axis=0) == 1)
    size = columns["bytes"][judged]
    counted: CountedTask = {
        "judged": len(judged),
        "fires": many.sum(axis=1).tolist(),
        "bytes": (many @ size).tolist(),
        "alone": alone.sum(axis=1).tolist(),
        "alone_bytes": (alone @ size).tolist(),
        "together": (many @ many.T).tolist(),
        "any": (int(fires.any(axis=0).sum()), int(size[fires.any(axis=0)].sum())),
        "examples": _examples_of(work, task, found, order),
        "pairs": _pairs(work, task, found, order),
    }
    return counted


def quality_rules(work: Work) -> list[tuple[str, Rule, bool]]:
    """Name, rule and whether it holds for pages alone, in order; where languages differ, the general rule."""
    found = []
    for pages, rules in enumerate(work.recipe.quality_rules()):
        for name in rules.names():
            rule = rules.general.get(name) or next(own[name] for own in rules.own.values() if own.get(name))
            assert rule is not None
            found.append((name, rule, bool(pages)))
    return found


def _write_sample(work: Work, task: int, table: pa.Table, places: np.ndarray, order: np.ndarray) -> None:
    sample = table.take(pa.array(places)).append_column("draw", pa.array(order[places]))
    save_table(work.path("sampled", task, "parquet"), sample)


def _examples_of(work: Work, task: int, found: Outcome, order: np.ndarray) -> list[Example]:
    """Some removed documents for each rule, with what of their text the rule is about."""
    gone = found.removed.select(["place", "stage", "rule", "detail"]).to_pylist()
    by_rule: dict[tuple[str, str], list[int]] = {}
    for row in np.argsort(order[found.removed["place"].to_numpy()]).tolist():
        chosen = by_rule.setdefault((gone[row]["stage"], gone[row]["rule"]), [])
        if len(chosen) < EXAMPLES:
            chosen.append(row)
    rows = [gone[row] for row in sorted(row for chosen in by_rule.values() for row in chosen)]
    names = ["id", "url", "domain", "language", "text"]
    places = pa.array([row["place"] for row in rows], pa.int64())
    documents = work.columns(task, *names).take(places).to_pylist()
    rule_sets = work.recipe.quality_rules()
    shown: list[Example] = []
    for row, document in zip(rows, documents, strict=True):
        text, place = document.pop("text"), row.pop("place")
        found_by = (rules.of(row["rule"], document["language"]) for rules in rule_sets)
        rule = next(filter(None, found_by), None) if row["stage"] == QUALITY else None
        start, excerpt, marked = excerpted(text, spans(text, rule.signal) if rule else [])
        shown.append(
            document | row | {"draw": int(order[place]), "start": start, "excerpt": excerpt, "spans": marked}
        )
    return shown


def _pairs(work: Work, task: int, found: Outcome, order: np.ndarray) -> CountedPairs:
    """How similar near duplicates are to what stays, in steps of 1/20, and some of them."""
    near = found.removed.filter(pc.field("stage") == NEAR)
    gone, alike = near["place"].to_numpy(), near["similarity"].to_numpy()
    counts, _ = np.histogram(alike[~np.isnan(alike)], bins=20, range=(0, 1))
    chosen = np.argsort(order[gone])[:PAIRS]
    shown = [
        (int(order[place]), int(work.starts[task]) + place, similarity)
        for place, similarity in zip(gone[chosen].tolist(), alike[chosen].tolist(), strict=True)
    ]
    return {"similarity": counts.tolist(), "shown": shown}


def excerpted(text: str, marked: list[tuple[int, int]]) -> tuple[int, str, list[Span]]:
    """An excerpt around the first of some spans: its place in the text, itself, and the spans in it."""
    start = max(0, marked[0][0] - EXCERPT // 4) if marked else 0
    end = min(len(text), start + EXCERPT)
    inside = [[max(a, start) - start, min(b, end) - start] for a, b in marked if b > start and a < end]
    return start, text[start:end], inside


# What all of it says


def collect(work: Work, facts: CorpusFacts, out: Path) -> Report:
    """The whole report.

    Args:
        facts: what the manifest says too.
        out: the corpus folder, for what was found of evaluations.
    """
    ledger = read_ledger(work, "dealt")
    counted = (read_json(path, dict) for path in work.files("counted", "json"))
    measured = [cast(CountedTask, one) for one in counted]
    contamination = out / "contamination.json"
    found = cast(Contamination, read_json(contamination, dict) if contamination.exists() else {})
    return {
        **facts,
        "headstart": __version__,
        "recipe": (work.folder / "recipe.yaml").read_text(encoding="utf-8"),
        "segmenter": work.recipe.segmenter,
        "removed_by_language": removed_by_language(ledger, work.stages),
        "by": {column: _by(work, ledger, column) for column in ("domain", "language")},
        "quality": _quality(work, measured),
        "examples": _examples(work, measured),
        "near_duplicates": _near(work, measured),
        "found": found,
    }


def _by(work: Work, ledger: list[LedgerRow], column: str) -> dict[str, list[FunnelRow]]:
    """The funnel of each of the largest domains or languages."""
    largest = list(totals((row for row in ledger if row.rule or not row.stage), column))[:GROUPS]
    return {
        name: funnel((row for row in ledger if getattr(row, column) == name), work.stages) for name in largest
    }


def _quality(work: Work, measured: list[CountedTask]) -> Quality:
    """What each rule removes, alone and with others, of the documents that came to the rules."""
    rules, meanings, (sampled, judged_apart) = quality_rules(work), work.recipe.signals, _sample(work)
    rule_sets = work.recipe.quality_rules()

    fires, size = _summed([one["fires"] for one in measured]), _summed([one["bytes"] for one in measured])
    alone = _summed([one["alone"] for one in measured])
    alone_size = _summed([one["alone_bytes"] for one in measured])
    listed = [
        RuleRow(
            rule=name,
            signal=rule.signal,
            op=rule.op,
            threshold=rule.threshold,
            pages=pages,
            meaning=meanings.get(rule.signal, ""),
            general=rule_sets[pages].general.get(name) is not None,
            languages=judged_apart.get(name, []),
            fires=fires[row],
            bytes=size[row],
            alone=alone[row],
            alone_bytes=alone_size[row],
        )
        for row, (name, rule, pages) in enumerate(rules)
    ]
    together = [one["together"] for one in measured]
    documents, broken_bytes = _summed([one["any"] for one in measured])
    return {
        "judged": sum(one["judged"] for one in measured),
        "any": Broken(documents=documents, bytes=broken_bytes),
        "rules": listed,
        "together": cast(list[list[int]], np.sum(together, axis=0, dtype=np.int64).tolist()),
        "sample": sampled,
    }


def _summed(counts: Sequence[Sequence[int]]) -> list[int]:
    """Counts of all tasks, place by place."""
    return cast(list[int], np.sum(counts, axis=0, dtype=np.int64).tolist())


def _sample(work: Work) -> tuple[Sample, dict[str, list[str]]]:
    """The signals of a sample of the documents that came to the rules, as places among a few values; and by
    rule the languages in it that have one of their own.

    A place is twice the index of the value that a signal has, and one less where it lies before that value,
    so that thresholds among the values can be tried exactly.
    """
    table: pa.Table | None = None
    for path in work.files("sampled", "parquet"):
        one = pq.read_table(path)
        table = one if table is None else pa.concat_tables([table, one])
        table = table.sort_by("draw").slice(0, SAMPLE)
    if table is None or not len(table):
        return {"documents": 0, "signals": {}}, {}
    rules = quality_rules(work)
    signals: dict[str, SignalSample] = {}
    for name in dict.fromkeys(rule.signal for _, rule, _ in rules):
        values = table[name].to_numpy().astype(np.float64)
        defined = np.unique(values[~np.isnan(values)])
        thresholds = list({rule.threshold for _, rule, _ in rules if rule.signal == name})
        # A place has a byte: twice the index of the last edge is below `UNDEFINED`.
        many = max(min(len(defined), EDGES, UNDEFINED // 2 - len(thresholds)), 0)
        some = defined[np.linspace(0, len(defined) - 1, many).astype(int)]
        some = np.array([float(f"{value:.6g}") for value in some], np.float64)
        edges = np.unique(np.concatenate([some, thresholds, defined[-1:]]))
        at = np.minimum(np.searchsorted(edges, values), len(edges) - 1)
        place = np.where(np.isnan(values), UNDEFINED, 2 * at - (edges[at] != values)).astype(np.uint8)
        signals[name] = {
            "values": edges.tolist(),
            "places": base64.b64encode(place.tobytes()).decode(),
            "histogram": _histogram(values[~np.isnan(values)]),
        }
    pages = table["page"].to_numpy(zero_copy_only=False).astype(np.uint8)
    own, judged_apart = _own_verdicts(work, table)
    sample: Sample = {
        "documents": len(table),
        "pages": base64.b64encode(pages.tobytes()).decode(),
        "signals": signals,
        "own": own,
    }
    return sample, judged_apart


def _own_verdicts(work: Work, table: pa.Table) -> tuple[dict[str, str], dict[str, list[str]]]:
    """By rule, what those of their own languages say of the documents of a sample, and which languages these
    are; without the rules of which no language in it has one."""
    language = table["language"].to_numpy(zero_copy_only=False).astype(str)
    columns = {name: table[name].to_numpy() for name in work.recipe.signals}
    rule_sets = work.recipe.quality_rules()
    own, judged_apart = {}, {}
    for name, _, pages in quality_rules(work):
        said = rule_sets[pages].own_verdicts(name, columns, language)
        if said.any():
            own[name] = base64.b64encode(said.tobytes()).decode()
            judged_apart[name] = np.unique(language[said != NONE]).tolist()
    return own, judged_apart


def _histogram(values: np.ndarray) -> Histogram:
    """Counts over equal steps up to the 99.5th percentile; of large numbers over their logarithm."""
    if not len(values):
        return {"log": False, "low": 0.0, "high": 1.0, "counts": [0] * BINS}
    log = bool(values.max() > 100)
    scaled = np.log10(1 + values) if log else values
    low, high = float(scaled.min()), float(np.quantile(scaled, 0.995))
    high = high if high > low else low + 1
    counts, _ = np.histogram(np.minimum(scaled, high), bins=BINS, range=(low, high))
    return {"log": log, "low": low, "high": high, "counts": counts.tolist()}


def _examples(work: Work, measured: list[CountedTask]) -> list[Example]:
    """A few random removed documents for each rule, those with the least draws."""
    by_rule: dict[tuple[str, str], list[Example]] = {}
    for one in measured:
        for example in one["examples"]:
            by_rule.setdefault((example["stage"], example["rule"]), []).append(example)
    shown: list[Example] = []
    order = [(stage, rule) for stage, rules in work.stages.items() for rule in rules]
    for _, examples in sorted(by_rule.items(), key=lambda item: order.index(item[0])):
        shown += heapq.nsmallest(EXAMPLES, examples, key=lambda example: (example["draw"], example["id"]))
    return shown


def _near(work: Work, measured: list[CountedTask]) -> NearDuplicates:
    """Sizes of groups, how similar their members are, examples, and how well copies are found here."""
    if NEAR not in work.stages:
        return {}
    sizes: Counter[int] = Counter()
    for path in work.files(COPIES):
        values, counts = np.unique(load(path)["label"], return_counts=True)
        sizes.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
    shown = [(draw, gone, alike) for one in measured for draw, gone, alike in one["pairs"]["shown"]]
    pairs = heapq.nsmallest(PAIRS, shown)
    gone_ones = np.array([gone for _, gone, _ in pairs], np.int64)
    kept = dict(zip(gone_ones.tolist(), work.looked_up("near", gone_ones).tolist(), strict=True))
    wanted = {number for pair in kept.items() for number in pair}
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
