"""Which documents stay: steps over columns, from language to near duplicates.

`judge` looks at one document at a time; `exact` to `compare` find duplicates in passes over partitions of
keys.
"""

from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headstart.corpus.dedup import deduplicate, fingerprint_index
from headstart.corpus.dedup.deduplicate import KEYED, PAIR
from headstart.corpus.filters import urls
from headstart.corpus.outcomes import EXACT, NEAR, PAGES, least_scores, reasons
from headstart.corpus.prepare import shingles
from headstart.corpus.work import Work, between, load, open_work, save, slices
from headstart.folder import atomic

# Judging one document at a time


def ruled(work: Work, task: int) -> np.ndarray:
    """What language, block lists and rules say of each document of a task: a place in `reasons`."""
    recipe, wanted = work.recipe, work.noted("languages")
    table = work.columns(task, "bytes", "url", "language", "language_score", "page", *recipe.signals)
    columns = {name: table[name].to_numpy() for name in ("bytes", "language_score", "page", *recipe.signals)}
    language = table["language"].to_numpy(zero_copy_only=False).astype(str)
    verdicts = np.zeros(len(table), np.int16)
    places = {reason: place for place, reason in enumerate(reasons(recipe))}

    def remove(stage: str, rule: str, fires: np.ndarray) -> None:
        verdicts[fires & (verdicts == 0)] = places[stage, rule]

    on_list = urls.blocked(work, table["url"].to_pylist())
    for number, rule in enumerate(urls.BLOCKS, 1):
        remove(urls.BLOCKED, rule, on_list == number)
    remove("extract", "no_main_text", columns["bytes"] == 0)
    if wanted is not None:
        remove("language", "unsure", columns["language_score"] < least_scores(recipe, language))
        remove("language", "other_language", ~np.isin(language, wanted))
    for_all, for_pages = recipe.quality_rules()
    for rule in for_all.names():
        remove("quality", rule, for_all.removes(rule, columns, language))
    for rule in for_pages.names():
        remove("quality", rule, for_pages.removes(rule, columns, language) & columns["page"])
    if (contaminated := work.path("contaminated", task)).exists():
        hit = np.zeros(len(table), bool)
        hit[load(contaminated)["place"]] = True
        remove("decontamination", "benchmark_text", hit)
    return verdicts


def left_out(work: Work, step: str, task: int) -> np.ndarray:
    """The places of a task's documents among those that a step leaves out."""
    return between(work.files(step), "gone", PAIR, work.numbers(task))["gone"] - work.starts[task]


def judge(folder: Path, task: int) -> None:
    """A verdict for each document of a task, and the digests of those that stay."""
    work = open_work(folder)
    out = work.path("judged", task)
    if out.exists():
        return
    verdicts = ruled(work, task)
    table = work.columns(task, "url", "source", "digest")
    page = urls.pages(table)
    places = {reason: place for place, reason in enumerate(reasons(work.recipe))}
    for step, rule in (("same_addresses", "same_address"), ("full_hosts", "host_is_full")):
        gone = left_out(work, step, task)
        verdicts[np.isin(page, page[gone]) & (verdicts == 0)] = places[PAGES, rule]
    left = verdicts == 0
    digests = _fixed_bytes(table["digest"], 16)[left]
    save(work.path("digests", task), deduplicate.digest_keys(digests, work.numbers(task)[left]))
    save(out, verdicts)


def languages(work: Work) -> list[str] | None:
    """The languages that stay; None: all of them. `auto` is the one with most bytes among sure documents."""
    if work.recipe.languages == "any":
        return None
    if work.recipe.languages != "auto":
        return list(work.recipe.languages)
    sizes: Counter[str] = Counter()
    for task in range(len(work.tasks)):
        table = work.columns(task, "bytes", "language", "language_score")
        sure = table.filter(pc.field("language_score") >= work.recipe.language_score)
        summed = sure.group_by("language").aggregate([("bytes", "sum")])
        sizes.update(
            dict(
                zip(*(column.to_pylist() for column in summed.select(["language", "bytes_sum"])), strict=True)
            )
        )
    return [max(sorted(sizes), key=sizes.__getitem__)] if sizes.total() else []


def _fixed_bytes(column: pa.ChunkedArray, width: int) -> np.ndarray:
    """A column of fixed-size binary values as bytes `[N, width]`, without a Python object for each."""
    content = b"".join(
        memoryview(chunk.buffers()[1])[chunk.offset * width : (chunk.offset + len(chunk)) * width]
        for chunk in column.chunks
        if len(chunk)
    )
    return np.frombuffer(content, np.uint8).reshape(-1, width)


# Duplicates, partition by partition


def exact(folder: Path, partition: int) -> None:
    """Documents whose digest an earlier document has, or a document of an earlier corpus."""
    work = open_work(folder)
    out = work.path("exact", partition)
    if not out.exists():
        count = work.noted("partitions")["exact"]
        keyed = deduplicate.merged(keys_of(work, "digests", partition, count))
        save(out, deduplicate.exact(keyed).pairs())


def bands(folder: Path, task: int) -> None:
    """The keys of the bands of what is left of a task."""
    work = open_work(folder)
    out = work.path("bands", task)
    if out.exists():
        return
    left = np.array(load(work.path("judged", task))) == 0
    left[_found(work, "exact", task)[0]] = False
    column = work.columns(task, "signature")["signature"]
    signatures = _fixed_bytes(column, column.type.byte_width)[left].view(np.uint32)
    save(out, deduplicate.band_keys(signatures, work.recipe.near_duplicates.bands, work.numbers(task)[left]))


def links(folder: Path, partition: int) -> None:
    """Pairs of documents that share a band."""
    work = open_work(folder)
    out = work.path("links", partition)
    if not out.exists():
        count = work.noted("partitions")["near"]
        save(out, deduplicate.links(deduplicate.merged(keys_of(work, "bands", partition, count))))


def keys_of(work: Work, kind: str, partition: int, count: int) -> Iterator[np.ndarray]:
    """The keys of one partition: this corpus's, and those of the corpora that it is not to repeat.

    All documents of the first earlier corpus have the number -1, of the second -2, and so on.
    """
    yield from slices(work.files(kind), partition, count)
    for number, keyed in enumerate(fingerprint_index.earlier(work, kind, partition, count)):
        rows = np.zeros(len(keyed), KEYED)
        rows["document"] = -1 - number
        for half in keyed.dtype.names or ():
            rows[half] = keyed[half]
        yield rows


def group(work: Work) -> None:
    """Of every group of linked documents one stays: the whole of `near/` in one go, over the links alone."""
    out = work.path("near", 0)
    if out.exists():
        return
    files = [load(path) for path in work.files("links")]
    nodes = np.unique(np.concatenate([np.zeros(0, np.int64), *(np.unique(pairs) for pairs in files)]))
    groups = deduplicate.components(files, nodes)
    chosen = deduplicate.near(nodes, groups, _worth(work, nodes))
    save(out, chosen.pairs())


def _worth(work: Work, nodes: np.ndarray) -> np.ndarray:
    """What a copy is kept by: its length or its date; documents of earlier corpora before all others."""
    worth = np.full(len(nodes), np.inf)
    newest = work.recipe.near_duplicates.keep == "newest"
    at = np.searchsorted(nodes, work.starts)
    for task in np.flatnonzero(at[1:] > at[:-1]).tolist():
        places = nodes[at[task] : at[task + 1]] - work.starts[task]
        column = work.columns(task, "date" if newest else "bytes").column(0).take(pa.array(places))
        # ISO dates sort as text; their first 19 characters (to the second) as a number of 14 digits do too.
        digits = pc.replace_substring_regex(column, r"\D", "") if newest else column
        values = (
            [int((text or "0")[:14].ljust(14, "0")) for text in digits.to_pylist()]
            if newest
            else digits.to_numpy()
        )
        worth[at[task] : at[task + 1]] = values
    return worth


COMPARED = pa.schema(
    [("place", pa.int64()), ("stage", pa.string()), ("kept", pa.string()), ("similarity", pa.float64())]
)


def compare(folder: Path, task: int) -> None:
    """Name the documents that stay in the stead of a task's duplicates, and say how similar they are.

    With `near_duplicates.check` the pairs are compared shingle by shingle, and those that are not similar
    enough are no duplicates after all.
    """
    work = open_work(folder)
    out = work.path("compared", task, "parquet")
    if out.exists():
        return
    near = work.recipe.near_duplicates
    rows: list[tuple[int, str, str, float]] = []
    same, first = _found(work, "exact", task)
    places, kept = _found(work, "near", task)
    own = places + work.starts[task]
    names = ["id", "signature", *(["text"] if near.check is not None else [])]
    known = rows_of(work, np.concatenate((first, kept, own)), names)
    rows += [(int(place), EXACT, known[int(one)]["id"], 1.0) for place, one in zip(same, first, strict=True)]
    for place, one, other in zip(places.tolist(), own.tolist(), kept.tolist(), strict=True):
        here, there = known[one], known[other]
        if "signature" not in there:
            rows.append((place, NEAR, there["id"], float("nan")))
        elif near.check is None:
            pair = (np.frombuffer(one["signature"], np.uint32)[None] for one in (here, there))
            rows.append((place, NEAR, there["id"], float(deduplicate.similarity(*pair)[0])))
        else:
            share = deduplicate.jaccard(*(shingles(one["text"], near.words) for one in (here, there)))
            if share >= near.check:
                rows.append((place, NEAR, there["id"], share))
    columns = list(zip(*rows, strict=True)) or [(), (), (), ()]
    with atomic(out) as temporary:
        pq.write_table(pa.table(dict(zip(COMPARED.names, columns, strict=True)), COMPARED), temporary)


def _found(work: Work, step: str, task: int) -> tuple[np.ndarray, np.ndarray]:
    """The places of a task's documents that go in a step, and the documents that stay in their stead."""
    pairs = between(work.files(step), "gone", PAIR, work.numbers(task))
    return pairs["gone"] - work.starts[task], pairs["kept"]


def rows_of(work: Work, documents: np.ndarray, names: list[str]) -> dict[int, dict[str, Any]]:
    """Some columns of some documents, wherever they lie; only the row groups that hold them are read."""
    rows: dict[int, dict[str, Any]] = {
        int(document): {"id": f"a document of {work.recipe.against[-1 - document]}"}
        for document in documents[documents < 0]
    }
    ordered = np.unique(documents[documents >= 0])
    for task, numbers in groupby(
        ordered, lambda number: int(np.searchsorted(work.starts, number, "right")) - 1
    ):
        wanted = np.array(list(numbers)) - work.starts[task]
        with pq.ParquetFile(work.prepared(task), pre_buffer=False) as file:
            first = 0
            for part in range(file.num_row_groups):
                behind = first + file.metadata.row_group(part).num_rows
                here = wanted[(wanted >= first) & (wanted < behind)]
                if len(here):
                    table = file.read_row_group(part, columns=names, use_threads=False).take(
                        pa.array(here - first)
                    )
                    rows.update(zip((here + work.starts[task]).tolist(), table.to_pylist(), strict=True))
                first = behind
    return rows
