"""The corpus from end to end: the first pass, the stages, and the last passes.

The first pass (`prepare`) does the work that grows with the text: it reads, extracts and measures. The stages
(`stages`) decide over columns of numbers: language, rules, duplicates, mix. The last passes (`write`) write
every document once more, kept ones into `documents/` in their shuffled order, the others into `removed/` with
the reason. Any of it may run on any engine, and goes on after a kill where it stopped.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path

import orjson

from headstart.corpus import engine, extensions, mix, write
from headstart.corpus.dedup import decontaminate, fingerprint_index
from headstart.corpus.extract.page import classifier_fingerprint
from headstart.corpus.filters.classifiers import fingerprint as model_fingerprint
from headstart.corpus.filters.entry_lists import digests
from headstart.corpus.filters.quality_model import load_model
from headstart.corpus.filters.word_lists import phrases
from headstart.corpus.identities import renamed
from headstart.corpus.measured import (
    FOLDER,
    INPUTS,
    Earlier,
    Note,
    finished,
    inputs_note,
    model_files,
    note_of,
    task_fingerprint,
)
from headstart.corpus.outcomes import most_common
from headstart.corpus.prepare import prepare
from headstart.corpus.readers.records import Skip
from headstart.corpus.readers.sources import Source, Task, find_sources, plan_tasks
from headstart.corpus.readers.storage import is_remote
from headstart.corpus.recipe import CorpusRecipe
from headstart.corpus.report import facts as report_facts
from headstart.corpus.report import page as report_page
from headstart.corpus.report.funnel import added_up, funnel, read_ledger, removed, totals
from headstart.corpus.stages import COPIES, IDENTITIES, METHOD, Pass, Rounds, stages_of
from headstart.corpus.work import Work, make_work
from headstart.corpus_folder import (
    KIND,
    VERSION,
    CorpusFacts,
    CorpusManifest,
    FunnelRow,
    IndexFacts,
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
from headstart.output import changed_from, output
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
    go_on_from: Path | None = None,
) -> CorpusManifest:
    """Make a corpus folder from raw files, or resume an interrupted one.

    The same inputs and recipe give byte-identical documents, with every engine and number of workers, and
    after an interruption too.

    Args:
        inputs: files, folders and patterns of `sources.FORMATS`, local or as URLs that fsspec knows.
        out: the corpus folder. A finished corpus from the same inputs and recipe is returned at once.
        recipe: the settings.
        workers: processes, or jobs of a Slurm array, at once; None: the number of cores. 0 runs everything
            in this process, which ends if a record crashes its parser.
        on: the engine.
        replace: delete the content of `out` first.
        go_on_from: a finished corpus whose files are inputs too. They are read again only if they changed.
            Settings that decide how a file is read must be the same.

    Returns:
        The folder's manifest.

    Raises:
        HeadstartError: bad input or settings, a folder in use for something else, or no document survives.
    """
    read = [Path(given) for given in inputs if not is_remote(str(given))]
    read += [] if go_on_from is None else [go_on_from]
    with output(out, KIND, inputs=read, own=(WORK,), replace=replace):
        earlier = None if go_on_from is None else Earlier(go_on_from, recipe)
        return _build(inputs, out, recipe, workers, on, earlier)


def _build(
    inputs: Sequence[Path | str],
    out: Path,
    recipe: CorpusRecipe,
    workers: int | None,
    on: engine.Name,
    earlier: Earlier | None,
) -> CorpusManifest:
    """The same, in a folder that is claimed."""
    started = time.monotonic()
    sources, passed_over, tasks = _plan(inputs, out, earlier)
    stages = stages_of(recipe)
    index = fingerprint_index.contents(recipe, [one.name for one in stages])
    made_from = _made_from(sources, recipe, index)
    if (out / MANIFEST).exists():
        manifest = corpus_manifest(out)
        if manifest["fingerprint"] != made_from:
            changed = changed_from(out / "recipe.yaml", recipe.model_dump(mode="json"))
            raise HeadstartError(
                f"{out} holds a corpus made from other inputs or settings"
                f"{f' ({changed})' if changed else ''}; choose another --out, or pass --replace to delete it"
            )
        _keep_measured(out)
        return manifest
    work = make_work(out / WORK, recipe, tasks, {one.name: one.rules(recipe) for one in stages})
    _drop_stale(work, made_from)
    recipe.save(out / "recipe.yaml")
    run = partial(_run, work, on, available_cores() if workers is None else workers)

    run(FIRST)
    read = _read_back(work, passed_over)
    for one in (*IDENTITIES, *(one for stage in stages for one in stage.passes), *COPIES, *LAST):
        run(one)

    facts = _facts(work, read, out)
    report = report_facts.collect(work, facts, out)
    _publish(work, out, passed_over)
    report_page.write(report, out)
    origin = Origin(
        fingerprint=made_from,
        inputs=[_input(source) for source in sources],
        seconds=round(time.monotonic() - started, 2),
        index=index,
    )
    write_json(work.folder / "prepared" / INPUTS, inputs_note(recipe, sources, passed_over))
    write_manifest(out, KIND, VERSION, {**origin, **facts})
    _keep_measured(out)
    return corpus_manifest(out)


def _plan(
    inputs: Sequence[Path | str], out: Path, earlier: Earlier | None
) -> tuple[list[Source], list[Skip], list[Task]]:
    """The files, those in folders that cannot be used, and what each task reads.

    Raises:
        HeadstartError: an input cannot be used, or does not go with the earlier corpus.
    """
    if earlier is None:
        sources, passed_over = find_sources(inputs, leave_out=out)
        return sources, sorted(passed_over), plan_tasks(sources)
    listed, passed_over = find_sources(inputs, leave_out=out) if inputs else ([], [])
    sources, passed_over = earlier.joined(listed, passed_over)
    tasks = earlier.known(plan_tasks(sources))
    if not inputs:
        earlier.check_nothing_is_read(tasks)
    return sources, passed_over, tasks


def _keep_measured(out: Path) -> None:
    """Leave in a finished corpus what the first pass made, for another one that goes on from there."""
    if (out / WORK / "prepared" / INPUTS).exists():
        remove(out / FOLDER)
        (out / WORK / "prepared").rename(out / FOLDER)
    remove(out / WORK)


def _made_from(sources: list[Source], recipe: CorpusRecipe, index: IndexFacts) -> str:
    """Changes with the input, the settings, and what the files hold that the settings name.

    Raises:
        HeadstartError: one of these files cannot be used.
    """
    known = [corpus_manifest(earlier) for earlier in recipe.against]
    for earlier, manifest in zip(recipe.against, known, strict=True):
        fingerprint_index.check_index(index, earlier, manifest["index"])
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


def _run(work: Work, on: engine.Name, workers: int, one: Pass | Rounds | Callable[[Work], None]) -> None:
    """Run a pass, where the recipe has it, or what stands in its place."""
    if isinstance(one, Rounds):
        for number in count(1):
            for within in one.passes(number):
                _run(work, on, workers, within)
            if one.settled(work, number):
                work.note(f"rounds of {one.name}", number)
                return
    elif not isinstance(one, Pass):
        one(work)
    elif one.wanted(work.recipe):
        _run_pass(work, on, workers, one)


def _run_pass(work: Work, on: engine.Name, workers: int, one: Pass) -> None:
    """The first pass by the size of its tasks, the largest before all."""
    numbers, unit = list(range(one.over(work))), "parts"
    sizes = dict.fromkeys(numbers, 1.0)
    if one is FIRST:
        unit, sizes = "MB", {task: work.task(task).size / 1e6 for task in numbers}
        numbers.sort(key=lambda task: -sizes[task])
    with ProgressBar(one.title, sum(sizes.values()), unit) as bar:
        for number in engine.run(on, one.step, work.folder, numbers, workers):
            bar.advance(sizes[number])


def _drop_stale(work: Work, made_from: str) -> None:
    """Of an interrupted run with other settings, or of another version, leave the first pass, which says what
    it was made from."""
    note, wanted = work.folder / "made_from.json", [made_from, METHOD]
    if note.exists() and read_json(note, object) == wanted:
        return
    for path in work.folder.iterdir():
        if path.is_dir() and path.name not in ("prepared", "plan"):
            remove(path)
    write_json(note, wanted)


@dataclass
class _Read:
    """What the first pass has read, and why it could not read other records."""

    records: int = 0
    bytes: int = 0
    repaired: int = 0
    personal_data: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)


def _read_back(work: Work, passed_over: Iterable[Skip]) -> _Read:
    """Sum up what the first pass made, and note how many documents each task has.

    Raises:
        HeadstartError: a file of it is damaged, or nothing could be read.
    """
    read, documents = _Read(), []
    read.skipped.update(skip.reason for skip in passed_over)
    for number in range(work.tasks):
        parts = finished(work.prepared(number), task_fingerprint(work.task(number), work.recipe))
        if parts is None:
            raise HeadstartError(
                f"{work.prepared(number)} cannot be read back; the disk may be faulty: start again"
            )
        for one in parts:
            read.records += one["records"]
            read.bytes += one["bytes"]
            read.repaired += one["repaired"]
            read.personal_data.update(one["personal_data"])
            read.skipped.update(reason for _, reason in one["skipped"])
        documents.append(sum(one["rows"] for one in parts))
    if not read.records:
        found = list(most_common(read.skipped).items())[:3]
        named = ", ".join(f"{reason} ({count:,})" for reason, count in found) or "no records"
        raise HeadstartError(f"none of the input could be read: {named}; check the files")
    work.count_documents(documents)
    return read


def _input(source: Source) -> Input:
    local = "://" not in source.address
    address = str(Path(source.address).resolve()) if local else source.address
    return Input(path=source.label, address=address, bytes=source.size, digest=source.digest)


def _facts(work: Work, read: _Read, out: Path) -> CorpusFacts:
    """What became of the documents, in numbers."""
    ledger, held = read_ledger(work, "dealt"), read_ledger(work, "held")
    first = FunnelRow(stage="read", documents=read.records, bytes=read.bytes)
    rows = funnel(ledger, work.stages, first)
    # The mix may repeat documents.
    rows[-1] = FunnelRow(stage=rows[-1]["stage"], **added_up(held))
    plan, grouped = work.noted("mix"), totals(held, work.recipe.mix.by)
    return CorpusFacts(
        funnel=rows,
        removed=removed(ledger, work.stages),
        skipped=most_common(read.skipped),
        domains=totals(held, "domain"),
        languages=totals(held, "language"),
        personal_data=dict(read.personal_data),
        repaired=read.repaired,
        renamed=renamed(work),
        mix=mix.check_plan(plan, {name: one["bytes"] for name, one in grouped.items()}) if plan else {},
        contamination=decontaminate.write_contamination(work, out)
        if decontaminate.CONTAMINATION in work.stages
        else {},
    )


def _publish(work: Work, out: Path, passed_over: list[Skip]) -> None:
    """Move what the last passes wrote to its place, and write what was skipped."""
    for name in ("documents", "removed", "pieces", fingerprint_index.FOLDER):
        if (made := work.folder / name).exists():
            remove(out / name)
            made.rename(out / name)
    (out / "removed").mkdir(exist_ok=True)
    with atomic(out / "skipped.jsonl") as temporary, temporary.open("wb") as file:
        for source, reason in passed_over:
            file.write(orjson.dumps({"source": source, "reason": reason}) + b"\n")
        for number in range(work.tasks):
            for one in read_json(note_of(work.prepared(number)), Note)["parts"]:
                for source, reason in one["skipped"]:
                    file.write(orjson.dumps({"source": source, "reason": reason}) + b"\n")
