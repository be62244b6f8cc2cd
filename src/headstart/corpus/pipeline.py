"""The corpus stage from end to end: a list of steps over files.

The first pass (`prepare`) does the work that grows with the text: it reads, extracts and measures. What
follows decides over columns of numbers: language, rules, duplicates, mix. The last pass writes every document
once more, kept ones into `documents/` in their shuffled order, the others into `removed/` with the reason.
Any of it may run on any engine, and goes on after a kill where it stopped.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from headstart.corpus import engine, mix, removed_spans
from headstart.corpus.decide import group, languages
from headstart.corpus.dedup import decontaminate, fingerprint_index
from headstart.corpus.dedup.deduplicate import KEYED, PAIR
from headstart.corpus.extract.page import classifier_fingerprint
from headstart.corpus.filters import urls
from headstart.corpus.filters.quality_model import load_model
from headstart.corpus.filters.word_lists import phrases
from headstart.corpus.outcomes import most_common
from headstart.corpus.prepare import PreparedTask, finished, task_fingerprint
from headstart.corpus.readers.records import Skip
from headstart.corpus.readers.sources import Source, find_sources, plan_tasks
from headstart.corpus.recipe import CorpusRecipe
from headstart.corpus.report import facts as report_facts
from headstart.corpus.report import page as report_page
from headstart.corpus.report.funnel import UNITS, funnel, read_ledger, removed, totals
from headstart.corpus.work import Work, load, make_work, partitions, save
from headstart.corpus_folder import KIND, VERSION, corpus_manifest
from headstart.errors import HeadstartError
from headstart.folder import (
    MANIFEST,
    atomic,
    fingerprint,
    read_json,
    remove,
    write_json,
    write_manifest,
)
from headstart.progress import ProgressBar
from headstart.workers import available_cores

WORK = ".work"


def build(
    inputs: Sequence[Path | str],
    out: Path,
    recipe: CorpusRecipe,
    workers: int | None = None,
    on: engine.Name = "local",
) -> dict[str, Any]:
    """Make a corpus folder from raw files, or go on with an interrupted one.

    The same inputs and recipe give byte-identical documents, whatever the engine and the number of workers,
    and also after an interruption.

    Args:
        inputs: files, folders and patterns, local or as addresses that fsspec knows, of `sources.FORMATS`.
        out: the corpus folder. A finished one made from the same is returned at once.
        recipe: the settings.
        workers: processes, or jobs of a Slurm array, at once; by default as many as there are cores. 0 runs
            everything in this process, which a record that crashes its parser then ends.
        on: the engine.

    Returns:
        The folder's manifest.

    Raises:
        HeadstartError: bad input or settings, a folder in use for something else, or no document survives.
    """
    started = time.monotonic()
    processes = available_cores() if workers is None else workers
    known = [corpus_manifest(earlier) for earlier in recipe.against]
    for earlier, manifest in zip(recipe.against, known, strict=True):
        fingerprint_index.check(recipe, earlier, manifest)
    for path in recipe.word_lists.values():
        phrases(path)
    sources, unknown = find_sources(inputs, leave_out=out)
    made_from = fingerprint(
        {
            "sources": [(source.label, source.digest) for source in sources],
            "recipe": recipe.model_dump(mode="json"),
            "classifier": classifier_fingerprint(recipe.extractor),
            "lists": urls.digests([*recipe.urls.lists(), *recipe.word_lists.values()]),
            "models": [load_model(folder).fingerprint for folder in recipe.quality_models.values()],
            "against": [manifest["fingerprint"] for manifest in known],
        }
    )
    if (out / MANIFEST).exists():
        manifest = corpus_manifest(out)
        if manifest["fingerprint"] != made_from:
            raise HeadstartError(
                f"{out} holds a corpus made from other inputs or settings; choose another --out or delete it"
            )
        return manifest
    if out.is_dir() and any(out.iterdir()) and not (out / WORK).is_dir():
        raise HeadstartError(f"{out} holds other files; choose an empty or a new folder")
    work = make_work(out / WORK, recipe, plan_tasks(sources))
    _drop_stale(work, made_from)
    recipe.save(out / "recipe.yaml")

    def run(
        title: str, step: str, numbers: Iterable[int], weights: Callable[[int], float] | None = None
    ) -> None:
        every = list(numbers)
        unit, weigh = ("MB", weights) if weights else ("parts", lambda number: 1)
        with ProgressBar(title, sum(map(weigh, every)), unit) as bar:
            for number in engine.run(on, step, work.folder, every, processes):
                bar.advance(weigh(number))

    tasks = range(len(work.tasks))
    largest_first = sorted(tasks, key=lambda task: -work.tasks[task].size)
    run("reading and measuring", "prepare.prepare", largest_first, lambda task: work.tasks[task].size / 1e6)
    prepared = _all_prepared(work)
    skipped = unknown + [skip for one in prepared for skip in one.skipped]
    documents = int(work.starts[-1])
    near = recipe.near_duplicates
    count = {
        "pages": partitions(documents * KEYED.itemsize),
        "exact": partitions(
            documents * KEYED.itemsize + 2 * fingerprint_index.size(recipe, fingerprint_index.DIGESTS)
        ),
        "near": partitions(
            documents * near.bands * KEYED.itemsize
            + 3 * fingerprint_index.size(recipe, fingerprint_index.BANDS)
        ),
        # A line of 48 bytes makes a record of 24.
        "lines": partitions(
            sum(one.bytes for one in prepared) // 2
            + fingerprint_index.size(recipe, fingerprint_index.LINES, fingerprint_index.PARAGRAPHS)
        ),
    }
    work.note("partitions", count)
    work.note("languages", languages(work))
    urls.index(work)

    if recipe.decontaminate:
        decontaminate.index(work)
        run("looking for benchmarks", "dedup.decontaminate.search", tasks)
    if recipe.urls.same:
        run("addresses", "dedup.repeated_pages.address_keys", tasks)
        run("one of each", "dedup.repeated_pages.same_addresses", range(count["pages"]))
    if recipe.urls.per_host:
        run("hosts", "dedup.repeated_pages.host_keys", tasks)
        run("full hosts", "dedup.repeated_pages.full_hosts", range(count["pages"]))
    run("rules", "decide.judge", tasks)
    run("exact duplicates", "decide.exact", range(count["exact"]))
    if near.enabled:
        run("bands", "decide.bands", tasks)
        run("links", "decide.links", range(count["near"]))
        group(work)
        run("planting copies", "dedup.recall.plant", tasks)
        run("looking for copies", "dedup.recall.look", range(count["near"]))
    _count_copies(work)
    run("comparing", "decide.compare", tasks)
    if removed_spans.writes(recipe, removed_spans.LINES):
        run("lines", "dedup.repeated_lines.count_lines", tasks)
        run("repeated lines", "dedup.repeated_lines.repeated", range(count["lines"]))
        run("dropping lines", "dedup.repeated_lines.drop_lines", tasks)
    if removed_spans.writes(recipe, removed_spans.SUBSTRINGS):
        run("picking runs of words", "dedup.substrings.pick", tasks)
        work.note("picks", _partitions_of(work, "picks"))
        work.note(
            "fingerprints",
            _partitions_of(work, "fingerprints", fingerprint_index.size(recipe, fingerprint_index.RUNS)),
        )
        run("earlier corpora", "dedup.substrings.fingerprinted", range(work.noted("fingerprints")))
        run("picked twice", "dedup.substrings.picked_twice", range(work.noted("picks")))
        run("runs of words", "dedup.substrings.runs", tasks)
        work.note("runs", _partitions_of(work, "runs"))
        run("repeated runs", "dedup.substrings.repeats", range(work.noted("runs")))
        run("cutting runs", "dedup.substrings.cut", tasks)
    run("weighing", "report.funnel.weigh", tasks)
    _check_something_is_left(work, prepared, skipped)
    available = mix.added(load(path) for path in work.files("histogram"))
    amounts, plan = mix.choose(available, recipe.mix)
    chosen = sum(one["chosen"] for one in plan.values()) if plan else int(available["bytes"].sum())
    parts = max(1, -(-chosen // recipe.shard_bytes))
    work.note("mix", {"amounts": {name: asdict(amount) for name, amount in amounts.items()}, "parts": parts})
    run("measuring for the report", "report.count_outcomes.measure", tasks)
    run("dealing out", "write.deal", tasks)
    run("writing", "write.gather", range(parts))

    fingerprint_index.keep_documents(work)
    ledger, held = read_ledger(work, "dealt"), read_ledger(work, "held")
    left = funnel(ledger, recipe, _read(prepared))
    left[-1] |= {unit: sum(row[unit] for row in held) for unit in UNITS}
    grouped = totals(held, recipe.mix.by)
    mixed = mix.checked(plan, {name: one["bytes"] for name, one in grouped.items()}) if plan else {}
    contamination = decontaminate.report(work, out) if recipe.decontaminate else {}
    facts = {
        "funnel": left,
        "removed": removed(ledger, recipe),
        "skipped": most_common(skip.reason for skip in skipped),
        "domains": totals(held, "domain"),
        "languages": totals(held, "language"),
        "personal_data": dict(sum((Counter(one.personal_data) for one in prepared), Counter())),
        "mix": mixed,
        "contamination": contamination,
    }
    report = report_facts.collect(work, facts, ledger, out)
    _publish(work, out)
    with atomic(out / "skipped.jsonl") as temporary:
        rows = ({"source": skip.source, "reason": skip.reason} for skip in skipped)
        temporary.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    report_page.write(report, out)
    write_manifest(
        out,
        KIND,
        VERSION,
        {
            "fingerprint": made_from,
            "inputs": [_input(source) for source in sources],
            "seconds": round(time.monotonic() - started, 2),
            "index": fingerprint_index.contents(recipe),
            **facts,
        },
    )
    remove(out / WORK)
    return corpus_manifest(out)


def _drop_stale(work: Work, made_from: str) -> None:
    """Of an interrupted run with other settings leave the first pass, which says what it was made from."""
    note = work.folder / "made_from.json"
    if note.exists() and read_json(note) == made_from:
        return
    for path in work.folder.iterdir():
        if path.is_dir() and path.name != "prepared":
            remove(path)
    write_json(note, made_from)


def _all_prepared(work: Work) -> list[PreparedTask]:
    """What the first pass made, read back."""
    results = []
    for number, task in enumerate(work.tasks):
        done = finished(work.prepared(number), task_fingerprint(task, work.recipe))
        if done is None:
            raise HeadstartError(
                f"{work.prepared(number)} cannot be read back; the disk may be faulty: start again"
            )
        results.append(done)
    return results


def _count_copies(work: Work) -> None:
    """How many documents each kept one stands for, itself included: those that stand for more than one."""
    exact = _counts(load(path) for path in work.files("exact"))
    near = [np.array(load(path)) for path in work.files("near")]
    pairs = np.concatenate([np.zeros(0, PAIR), *near])
    stood = dict(zip(exact["kept"].tolist(), exact["copies"].tolist(), strict=True))
    weights = np.array([stood.get(document, 1) for document in pairs["gone"].tolist()], np.int64)
    for kept in np.unique(pairs["kept"]).tolist():
        stood.setdefault(kept, 1)
    for kept, weight in zip(pairs["kept"].tolist(), weights.tolist(), strict=True):
        stood[kept] += weight
    rows = np.array(sorted(stood.items()), np.int64).reshape(-1, 2)
    clusters = np.zeros(len(rows), [("kept", np.int64), ("copies", np.int64)])
    clusters["kept"], clusters["copies"] = rows.T
    save(work.folder / "clusters.npy", clusters)


def _counts(pairs: Iterable[np.ndarray]) -> np.ndarray:
    kept = np.concatenate([np.zeros(0, np.int64), *(one["kept"] for one in pairs)])
    documents, counts = np.unique(kept, return_counts=True)
    rows = np.zeros(len(documents), [("kept", np.int64), ("copies", np.int64)])
    rows["kept"], rows["copies"] = documents, counts + 1
    return rows


def _input(source: Source) -> dict[str, Any]:
    """An input as the manifest names it: how documents call it, and where it lay."""
    local = "://" not in source.address
    address = str(Path(source.address).resolve()) if local else source.address
    return {"path": source.label, "address": address, "bytes": source.size, "digest": source.digest}


def _read(prepared: list[PreparedTask]) -> dict[str, int]:
    """How many records were read, and their bytes."""
    return {name: sum(getattr(one, name) for one in prepared) for name in ("documents", "bytes")}


def _partitions_of(work: Work, step: str, more: int = 0) -> int:
    return partitions(sum(path.stat().st_size for path in work.files(step)) + more)


def _check_something_is_left(work: Work, prepared: list[PreparedTask], skipped: list[Skip]) -> None:
    """Raise a `HeadstartError` that names the greatest loss if no document is left."""
    ledger = read_ledger(work, "weighed")
    if any(row["code"] == 0 for row in ledger):
        return
    if not any(one.documents for one in prepared):
        found = most_common(skip.reason for skip in skipped)
        named = (
            ", ".join(f"{reason} ({count:,})" for reason, count in list(found.items())[:3]) or "no records"
        )
        raise HeadstartError(f"none of the input could be read: {named}; check the files")
    gone = removed(ledger, work.recipe)
    stage = max(gone, key=lambda name: sum(gone[name].values()))
    rule = max(gone[stage], key=gone[stage].__getitem__)
    raise HeadstartError(
        f"no document is left: the stage {stage!r} removed {sum(gone[stage].values()):,}, most by {rule}; "
        "relax it in the recipe"
    )


def _publish(work: Work, out: Path) -> None:
    """Move what the last passes wrote to its place."""
    for name in ("documents", "removed", "pieces", fingerprint_index.FOLDER):
        if (made := work.folder / name).exists():
            remove(out / name)
            made.rename(out / name)
    (out / "removed").mkdir(exist_ok=True)
