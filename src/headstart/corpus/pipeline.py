"""The corpus from end to end: the first pass, the stages, and the last passes.

The first pass (`prepare`) does the work that grows with the text: it reads, extracts and measures. The stages
(`stages`) decide over columns of numbers: language, rules, duplicates, mix. The last passes (`write`) write
every document once more, kept ones into `documents/` in their shuffled order, the others into `removed/` with
the reason. Any of it may run on any engine, and goes on after a kill where it stopped.
"""

import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import orjson

from headstart.corpus import engine, extensions, mix, write
from headstart.corpus.dedup import decontaminate, fingerprint_index
from headstart.corpus.dedup.documents import count_copies
from headstart.corpus.extract.page import classifier_fingerprint
from headstart.corpus.filters.classifiers import fingerprint as model_fingerprint
from headstart.corpus.filters.entry_lists import digests
from headstart.corpus.filters.quality_model import load_model
from headstart.corpus.filters.word_lists import phrases
from headstart.corpus.outcomes import most_common
from headstart.corpus.prepare import PreparedTask, finished, model_files, prepare, task_fingerprint
from headstart.corpus.readers.records import Skip
from headstart.corpus.readers.sources import Source, find_sources, plan_tasks
from headstart.corpus.readers.storage import is_remote
from headstart.corpus.recipe import CorpusRecipe
from headstart.corpus.report import facts as report_facts
from headstart.corpus.report import page as report_page
from headstart.corpus.report.funnel import added_up, funnel, read_ledger, removed, totals
from headstart.corpus.stages import Pass, stages_of
from headstart.corpus.work import Work, make_work
from headstart.corpus_folder import (
    KIND,
    VERSION,
    CorpusFacts,
    CorpusManifest,
    FunnelRow,
    Input,
    Origin,
    corpus_manifest,
)
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
from headstart.output import output
from headstart.progress import ProgressBar
from headstart.workers import available_cores

WORK = ".work"
FIRST = Pass("reading and measuring", prepare)
LAST = (
    Pass("measuring for the report", report_facts.count_outcomes),
    Pass("dealing out", write.partition_documents),
    Pass("writing", write.write_partition, lambda work: work.noted("parts")),
)


def build(
    inputs: Sequence[Path | str],
    out: Path,
    recipe: CorpusRecipe,
    workers: int | None = None,
    on: engine.Name = "local",
    replace: bool = False,
) -> CorpusManifest:
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
        replace: delete what `out` holds.

    Returns:
        The folder's manifest.

    Raises:
        HeadstartError: bad input or settings, a folder in use for something else, or no document survives.
    """
    read = [Path(given) for given in inputs if not is_remote(str(given))]
    with output(out, KIND, inputs=read, own=(WORK,), replace=replace):
        return _build(inputs, out, recipe, workers, on)


def _build(
    inputs: Sequence[Path | str], out: Path, recipe: CorpusRecipe, workers: int | None, on: engine.Name
) -> CorpusManifest:
    """The same, in a folder that is claimed."""
    started = time.monotonic()
    sources, unknown = find_sources(inputs, leave_out=out)
    made_from = _made_from(sources, recipe)
    if (out / MANIFEST).exists():
        manifest = corpus_manifest(out)
        if manifest["fingerprint"] != made_from:
            raise HeadstartError(
                f"{out} holds a corpus made from other inputs or settings; choose another --out, or pass "
                "--replace to delete it"
            )
        return manifest
    stages = stages_of(recipe)
    work = make_work(out / WORK, recipe, plan_tasks(sources), {one.name: one.rules(recipe) for one in stages})
    _drop_stale(work, made_from)
    recipe.save(out / "recipe.yaml")
    run = partial(_run, work, on, available_cores() if workers is None else workers)

    run(FIRST)
    prepared = _all_prepared(work)
    skipped = unknown + [skip for one in prepared for skip in one.skipped]
    _check_something_was_read(prepared, skipped)
    for stage in stages:
        for one in stage.passes:
            run(one) if isinstance(one, Pass) else one(work)
    count_copies(work)
    for one in LAST:
        run(one)

    facts = _facts(work, prepared, skipped, out)
    report = report_facts.collect(work, facts, out)
    _publish(work, out, skipped)
    report_page.write(report, out)
    origin = Origin(
        fingerprint=made_from,
        inputs=[_input(source) for source in sources],
        seconds=round(time.monotonic() - started, 2),
        index=fingerprint_index.contents(recipe),
    )
    write_manifest(out, KIND, VERSION, {**origin, **facts})
    remove(out / WORK)
    return corpus_manifest(out)


def _made_from(sources: list[Source], recipe: CorpusRecipe) -> str:
    """Changes with the input, the settings, and what the files hold that the settings name.

    Raises:
        HeadstartError: one of these files cannot be used.
    """
    known = [corpus_manifest(earlier) for earlier in recipe.against]
    for earlier, manifest in zip(recipe.against, known, strict=True):
        fingerprint_index.check_index(recipe, earlier, manifest["index"])
    for path in recipe.word_lists.values():
        phrases(path)
    return fingerprint(
        {
            "sources": [(source.label, source.digest) for source in sources],
            "recipe": recipe.model_dump(mode="json"),
            "classifier": classifier_fingerprint(recipe.extractor),
            "lists": digests([*recipe.urls.lists(), *recipe.word_lists.values()]),
            "classifiers": [model_fingerprint(path) for path in model_files(recipe)],
            "models": [load_model(folder).fingerprint for folder in recipe.quality_models.values()],
            "extensions": [extensions.digest(path) for path in recipe.extensions],
            "against": [manifest["fingerprint"] for manifest in known],
        }
    )


def _run(work: Work, on: engine.Name, workers: int, one: Pass) -> None:
    """Run a pass, where the recipe has it: the first one by the size of its tasks, the largest before all."""
    if not one.wanted(work.recipe):
        return
    numbers, unit = list(range(one.over(work))), "parts"
    sizes = dict.fromkeys(numbers, 1.0)
    if one is FIRST:
        unit, sizes = "MB", {task: work.tasks[task].size / 1e6 for task in numbers}
        numbers.sort(key=lambda task: -sizes[task])
    with ProgressBar(one.title, sum(sizes.values()), unit) as bar:
        for number in engine.run(on, one.step, work.folder, numbers, workers):
            bar.advance(sizes[number])


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


def _input(source: Source) -> Input:
    local = "://" not in source.address
    address = str(Path(source.address).resolve()) if local else source.address
    return Input(path=source.label, address=address, bytes=source.size, digest=source.digest)


def _check_something_was_read(prepared: list[PreparedTask], skipped: list[Skip]) -> None:
    if any(one.documents for one in prepared):
        return
    found = most_common(skip.reason for skip in skipped)
    named = ", ".join(f"{reason} ({count:,})" for reason, count in list(found.items())[:3]) or "no records"
    raise HeadstartError(f"none of the input could be read: {named}; check the files")


def _facts(work: Work, prepared: list[PreparedTask], skipped: list[Skip], out: Path) -> CorpusFacts:
    """What became of the documents, in numbers."""
    ledger, held = read_ledger(work, "dealt"), read_ledger(work, "held")
    read = FunnelRow(
        stage="read",
        documents=sum(one.documents for one in prepared),
        bytes=sum(one.bytes for one in prepared),
    )
    rows = funnel(ledger, work.stages, read)
    # The mix may repeat documents.
    rows[-1] = FunnelRow(stage=rows[-1]["stage"], **added_up(held))
    plan, grouped = work.noted("mix"), totals(held, work.recipe.mix.by)
    return CorpusFacts(
        funnel=rows,
        removed=removed(ledger, work.stages),
        skipped=most_common(skip.reason for skip in skipped),
        domains=totals(held, "domain"),
        languages=totals(held, "language"),
        personal_data=dict(sum((Counter(one.personal_data) for one in prepared), Counter())),
        repaired=sum(one.repaired for one in prepared),
        mix=mix.check_plan(plan, {name: one["bytes"] for name, one in grouped.items()}) if plan else {},
        contamination=decontaminate.write_contamination(work, out) if work.recipe.decontaminate else {},
    )


def _publish(work: Work, out: Path, skipped: list[Skip]) -> None:
    """Move what the last passes wrote to its place, and write what was skipped."""
    for name in ("documents", "removed", "pieces", fingerprint_index.FOLDER):
        if (made := work.folder / name).exists():
            remove(out / name)
            made.rename(out / name)
    (out / "removed").mkdir(exist_ok=True)
    with atomic(out / "skipped.jsonl") as temporary:
        rows = ({"source": skip.source, "reason": skip.reason} for skip in skipped)
        temporary.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
