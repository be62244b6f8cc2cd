"""The corpus stage from end to end: prepare in parallel, decide over columns, write in the final order.

Pass 1 (`prepare`) does the work that grows with the text. What follows decides over columns of numbers alone:
language, rules, duplicates, mix. Pass 2 writes every document once more, kept ones into `documents/` in their
shuffled order, the others into `removed/` with the reason.
"""

import os
import time
from collections.abc import Iterator
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq

from headstart.corpus.decide import Decisions, most_common
from headstart.corpus.mix import order
from headstart.corpus.prepare import Prepared, finished, prepare, task_fingerprint
from headstart.corpus.read import Task, find_sources, plan_tasks
from headstart.corpus.recipe import CorpusRecipe
from headstart.corpus.write import write_documents
from headstart.errors import HeadstartError
from headstart.folder import MANIFEST, atomic, fingerprint, read_manifest, remove, write_manifest
from headstart.progress import Bar
from headstart.workers import worker_pool

KIND, VERSION = "corpus", 1
WORK = ".work"


def build(
    inputs: list[Path], out: Path, recipe: CorpusRecipe, workers: int = os.cpu_count() or 1
) -> dict[str, Any]:
    """Make a corpus folder from raw files, or go on with an interrupted one.

    The same inputs and recipe give byte-identical documents, whatever the number of workers, and also after
    an interruption.

    Args:
        inputs: files or folders of WARC, WET, HTML, text, JSONL or Parquet.
        out: the corpus folder. A finished one made from the same is returned at once.
        recipe: the settings.
        workers: processes for the first pass.

    Returns:
        The folder's manifest.

    Raises:
        HeadstartError: bad input or settings, a folder in use for something else, or no document survives.
    """
    started = time.monotonic()
    sources, unknown = find_sources([Path(given) for given in inputs], leave_out=out)
    made_from = fingerprint(
        {
            "sources": [(source.label, source.digest) for source in sources],
            "recipe": recipe.model_dump(mode="json"),
        }
    )
    if (out / MANIFEST).exists():
        manifest = read_manifest(out, KIND, VERSION)
        if manifest["fingerprint"] != made_from:
            raise HeadstartError(
                f"{out} holds a corpus made from other inputs or settings; choose another --out or delete it"
            )
        return manifest
    if out.is_dir() and any(out.iterdir()) and not (out / WORK).is_dir():
        raise HeadstartError(f"{out} holds other files; choose an empty or a new folder")
    (out / WORK).mkdir(parents=True, exist_ok=True)
    recipe.save(out / "recipe.yaml")
    prepared = _prepare_all(plan_tasks(sources), recipe, out / WORK, max(workers, 1))
    skipped = unknown + [skip for one in prepared for skip in one.skipped]
    decisions = Decisions(prepared, skipped)
    decisions.decide(recipe)
    decisions.check_something_is_left()
    copies, plan = decisions.mix(recipe)
    final = order(copies, recipe.seed)
    write_documents(out, out / WORK / "dealt", prepared, decisions, final, recipe.shard_bytes)
    with atomic(out / "skipped.jsonl") as temporary:
        rows = ({"source": skip.source, "reason": skip.reason} for skip in skipped)
        temporary.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    write_manifest(
        out,
        KIND,
        VERSION,
        {
            "fingerprint": made_from,
            "inputs": [{"path": source.label, "bytes": source.size} for source in sources],
            "seconds": round(time.monotonic() - started, 2),
            "funnel": decisions.funnel,
            "removed": decisions.removed,
            "skipped": most_common(skip.reason for skip in skipped),
            "domains": decisions.totals("domain", final),
            "languages": decisions.totals("language", final),
            "mix": plan,
        },
    )
    remove(out / WORK)
    return read_manifest(out, KIND, VERSION)


def read_documents(folder: Path, columns: list[str] | None = None) -> Iterator[dict[str, Any]]:
    """The documents of a corpus in their final order, one dict each, in bounded memory.

    Args:
        folder: a finished corpus folder.
        columns: which columns to read; all by default.
    """
    read_manifest(folder, KIND, VERSION)
    for path in sorted((folder / "documents").glob("part-*.parquet")):
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(1024, columns=columns):
                yield from batch.to_pylist()


# Pass 1 over all tasks


def _prepare_all(tasks: list[Task], recipe: CorpusRecipe, work: Path, workers: int) -> list[Prepared]:
    """Run the tasks that are not finished yet; the results of all, in the order of the tasks."""
    expected = {work / f"task-{number:05d}.parquet": task for number, task in enumerate(tasks)}
    prints = {path: task_fingerprint(task, recipe) for path, task in expected.items()}
    open_tasks = {path: task for path, task in expected.items() if not finished(path, prints[path])}
    total = sum(task.size for task in tasks) / 1e6
    with Bar("reading and measuring", total, "MB") as bar:
        bar.advance(total - sum(task.size for task in open_tasks.values()) / 1e6)
        for path in _run(open_tasks, recipe, workers):
            bar.advance(expected[path].size / 1e6)
    results = []
    for path in expected:
        if (done := finished(path, prints[path])) is None:
            raise HeadstartError(f"{path} cannot be read back; the disk may be faulty: start again")
        results.append(done)
    return results


def _run(tasks: dict[Path, Task], recipe: CorpusRecipe, workers: int) -> Iterator[Path]:
    """Run tasks in this process or in a pool; yields each task's path when it is done."""
    workers = min(workers, len(tasks))
    if workers <= 1:
        for path, task in tasks.items():
            yield prepare(task, recipe, path)
        return
    pool = worker_pool(workers, preload="headstart.corpus.prepare")
    try:
        largest_first = sorted(tasks.items(), key=lambda item: -item[1].size)
        futures = [pool.submit(prepare, task, recipe, path) for path, task in largest_first]
        for future in as_completed(futures):
            yield future.result()
    except BrokenProcessPool:
        raise HeadstartError(
            "a worker process ended before its time, perhaps for lack of memory; start the same again with "
            "fewer workers (finished parts are kept); in a script, call build() under "
            "`if __name__ == '__main__':`"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)
