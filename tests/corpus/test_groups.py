"""Groups of near duplicates by rounds over files: those of a union-find, however links are cut."""

import os
import shutil
from collections.abc import Iterable
from itertools import count, pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_files import prose, stand_in_for_sbatch, write_jsonl

from headstart.corpus import CorpusRecipe, build, engine, gathering, pipeline, prepare, work
from headstart.corpus.dedup import copies, groups
from headstart.corpus.dedup.deduplicate import PAIR, components
from headstart.corpus.readers import sources
from headstart.corpus.readers.sources import Source, Task
from headstart.corpus.work import Work, labelled, load, make_work, save
from headstart.folder import read_json, write_json

Links = list[list[tuple[int, int]]]
"""Of each file the documents that are linked."""


def opened(folder: Path, links: Links, sizes: list[int], earlier: int = 0) -> Work:
    """A work folder in which partitions have found links of documents of those sizes, three in a task."""
    tasks = [sizes[first : first + 3] for first in range(0, len(sizes), 3)]
    files = [Source(f"{n}.txt", f"{n}.txt", "text", 1, "") for n in range(len(tasks))]
    recipe = CorpusRecipe().model_copy(update={"against": [folder / f"{n}" for n in range(earlier)]})
    made = make_work(folder, recipe, [Task((one,), 0, 1) for one in files], {})
    for number, own in enumerate(tasks):
        made.prepared(number).parent.mkdir(exist_ok=True)
        pq.write_table(pa.table({"bytes": pa.array(own, pa.int64())}), made.prepared(number))
    made.count_documents([len(own) for own in tasks])
    for number, pairs in enumerate(links):
        save(made.path("links", number), labelled(*components(np.array(pairs, np.int64).reshape(-1, 2))))
    return made


def grouped(made: Work) -> int:
    """All passes that group, in this process; returns the number of rounds."""
    ranges, files = range(made.ranges()), range(len(made.keys("links")))
    for number in count(1):
        for make, numbers in ((groups.hooked, ranges), (groups.labels, ranges), (groups.hooks, files)):
            for one in numbers:
                make(str(number))(made.folder, one)
        if groups.settled(made, number):
            break
    made.note("rounds of links", number)
    for step in (groups.best, groups.stays, groups.near):
        for one in ranges:
            step(made.folder, one)
    return number


def by_union_find(links: Iterable[tuple[int, int]], sizes: list[int]) -> list[tuple[int, int]]:
    """Which documents go, and for which others, the slow way."""
    parent: dict[int, int] = {}

    def root(node: int) -> int:
        while parent.setdefault(node, node) != node:
            node = parent[node]
        return node

    for a, b in links:
        parent[root(a)] = root(b)
    members: dict[int, list[int]] = {}
    for node in sorted(parent):
        members.setdefault(root(node), []).append(node)
    worth = {node: float("inf") if node < 0 else sizes[node] for node in parent}
    stays = {
        one: max(group, key=lambda node: (worth[node], -node)) for group in members.values() for one in group
    }
    return [(node, stays[node]) for node in sorted(parent) if stays[node] != node]


@st.composite
def graphs(draw: st.DrawFn) -> tuple[Links, list[int], int]:
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=25))
    earlier = draw(st.integers(0, 2))
    one = st.integers(-earlier, len(sizes) - 1)
    pair = st.tuples(one, one).filter(lambda ends: ends[0] != ends[1])
    return draw(st.lists(st.lists(pair, max_size=8), min_size=1, max_size=5)), sizes, earlier


@settings(max_examples=30, deadline=None)
@given(graphs(), st.integers(1, 9), st.booleans())
def test_groups_are_those_of_a_union_find(
    graph: tuple[Links, list[int], int], of_range: int, bundled: bool
) -> None:
    links, sizes, earlier = graph
    with TemporaryDirectory() as folder, patch.object(work, "PARTITION_BYTES", 16 * of_range):
        made = opened(Path(folder), links, sizes, earlier)
        made.note("files of a bundle of links", 2)
        if bundled:
            for one in range(-(-len(links) // 2)):
                groups.bundle(made.folder, one)
        grouped(made)
        assert made.ranges() == -(-len(sizes) // of_range)
        found = np.concatenate([np.zeros(0, PAIR), *(load(path) for path in made.files("near"))])
    assert found.tolist() == by_union_find([pair for file in links for pair in file], sizes)


@pytest.mark.parametrize("seed", [None, 1])
def test_long_chains_take_few_rounds(
    tmp_path: Path, seed: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every link in a file of its own: nothing is joined but by rounds."""
    monkeypatch.setattr(work, "PARTITION_BYTES", 16 * 25)
    order = np.arange(40) if seed is None else np.random.default_rng(seed).permutation(40)
    links = [[(int(a), int(b))] for a, b in pairwise(order)]
    made = opened(tmp_path, links, [7] * 40)
    assert grouped(made) <= 7
    assert [row for path in made.files("near") for row in load(path).tolist()] == [
        (n, 0) for n in range(1, 40)
    ]


def test_a_star_is_never_held_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many documents resemble one, a step gets one file and one range of them."""
    monkeypatch.setattr(work, "PARTITION_BYTES", 16 * 10)
    links = [[(0, n)] for n in range(1, 60)]
    made = opened(tmp_path, links, [5] * 60)
    assert grouped(made) == 1
    for kind in ("hooked 1", "labels 1", "best", "stays", "near"):
        assert max(len(load(path)) for path in made.files(kind)) <= 10
    assert len(made.files("near")) == 6


def crawl(folder: Path) -> Path:
    """Texts of which many are exact or near copies of others, some in chains, on pages of three hosts."""
    raw = folder / "raw"
    raw.mkdir()
    rng = np.random.default_rng(5)
    texts = [prose(n, 14) for n in range(12)]
    for n in range(60):
        words = texts[int(rng.integers(len(texts)))].split()
        words[int(rng.integers(len(words)))] = f"word{n}"
        texts.append(" ".join(words) if n % 4 else texts[n])
    for number in range(9):
        rows = [
            {
                "id": str(n),
                "text": text,
                "url": f"http://h{n % 3}.org/{n % 40}",
                "date": f"2024-01-{number + 1:02}",
            }
            for n, text in enumerate(texts)
            if n % 9 == number
        ]
        write_jsonl(raw / f"{number}.jsonl", rows)
    return raw


SETTINGS = [
    "languages=any",
    "urls.same=latest",
    "urls.per_host=20",
    "repeated_lines=2",
    "repeated_substrings=30",
]


def contents(out: Path) -> dict[str, bytes]:
    kept = ("documents", "removed", "pieces", "report.json")
    files = [path for name in kept for path in (out / name, *(out / name).rglob("*")) if path.is_file()]
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    """Raw files, and the corpus of them that is made in one partition and one range."""
    folder = tmp_path_factory.mktemp("whole")
    raw = crawl(folder)
    with patch.object(sources, "LEAST_PART", 5_000):
        manifest = build([raw], folder / "out", CorpusRecipe.load(None, SETTINGS), workers=0)
    assert manifest["removed"]["near duplicates"]["similar_text"] > 5
    assert manifest["removed"]["exact duplicates"]["same_text"] > 2
    return raw, contents(folder / "out")


@pytest.fixture
def finely_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many tasks, bundles, partitions and ranges; decided in this process, obeyed in others."""
    monkeypatch.setattr(sources, "LEAST_PART", 5_000)
    monkeypatch.setattr(work, "PARTITION_BYTES", 1 << 12)
    monkeypatch.setattr(work, "DOCUMENT_BYTES", 1 << 8)
    monkeypatch.setattr(gathering, "FEW", 2)


@pytest.mark.parametrize("on", ["here", "workers"])
@pytest.mark.usefixtures("finely_cut")
def test_the_same_bytes_however_it_is_cut(
    tmp_path: Path, whole: tuple[Path, dict[str, bytes]], on: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw, wanted = whole
    recipe, out = CorpusRecipe.load(None, SETTINGS), tmp_path / "out"
    seen: set[str] = set()
    run = engine.run

    def noted(on, step, folder, numbers, workers):
        seen.add(f"{step.name.rpartition('.')[2]} {min(len(numbers), 2)}")
        return run(on, step, folder, numbers, workers)

    monkeypatch.setattr(engine, "run", noted)
    build([raw], out, recipe, workers=2 * (on == "workers"))
    assert contents(out) == wanted
    for name in (
        "gather:bands",
        "arrange:exact",
        "hooked:1",
        "hooks:1",
        "labels:1",
        "links",
        "near",
    ):
        assert any(f"{name} 2" in one for one in seen), name
    for name in ("gather:address_keys", "gather:host_keys"):
        assert any(name in one for one in seen), name


@pytest.mark.parametrize("stops", [4])
@pytest.mark.usefixtures("finely_cut")
def test_grouping_goes_on_where_it_stopped(
    tmp_path: Path, whole: tuple[Path, dict[str, bytes]], stops: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw, wanted = whole
    recipe, run = CorpusRecipe.load(None, SETTINGS), engine.run
    left = [stops]

    def stopped(on, step, folder, numbers, workers):
        for done in run(on, step, folder, numbers, workers):
            if step.name.startswith(groups.__name__):
                left[0] -= 1
                if not left[0]:
                    raise KeyboardInterrupt
            yield done

    monkeypatch.setattr(engine, "run", stopped)
    with pytest.raises(KeyboardInterrupt):
        build([raw], tmp_path / "out", recipe, workers=0)
    made = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out/.work/links").iterdir()}
    build([raw], tmp_path / "out", recipe, workers=0)
    assert made
    assert contents(tmp_path / "out") == wanted


def test_work_that_another_version_left_is_made_anew(
    tmp_path: Path, whole: tuple[Path, dict[str, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It had other files under the same names, and noted what it was made from without a version."""
    raw, wanted = whole
    recipe, out = CorpusRecipe.load(None, SETTINGS), tmp_path / "out"
    monkeypatch.setattr(sources, "LEAST_PART", 5_000)

    def stopped(*given: object) -> None:
        raise KeyboardInterrupt

    with patch.object(pipeline, "_facts", stopped), pytest.raises(KeyboardInterrupt):
        build([raw], out, recipe, workers=0)
    left = out / ".work"
    note = left / "made_from.json"
    write_json(note, read_json(note)[0])
    for path in (left / "links").iterdir():
        save(path, load(path).view(np.int64).reshape(-1, 2).copy())
    for path in [path for path in left.iterdir() if path.is_dir()]:
        if path.name not in ("prepared", "plan", "links"):
            shutil.rmtree(path)
    with patch.object(prepare, "read_source", side_effect=AssertionError):  # what is read is kept
        build([raw], out, recipe, workers=0)
    assert contents(out) == wanted


def test_jobs_of_slurm_find_a_round_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "PARTITION_BYTES", 16 * 3)
    monkeypatch.setenv("PATH", f"{stand_in_for_sbatch(tmp_path)}:{os.environ['PATH']}")
    made = opened(tmp_path / "a folder", [[(0, 4)], [(4, 5)]], [1] * 6)
    numbers = range(made.ranges())
    for step in (groups.hooked("1"), groups.labels("1")):
        assert sorted(engine.run("slurm", step, made.folder, numbers, 2)) == [0, 1]
    assert [load(path).tolist() for path in made.files("labels 1")] == [[(0, 0)], [(4, 0), (5, 0)]]


def test_copies_count_exact_and_near_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "PARTITION_BYTES", 16 * 3)
    made = opened(tmp_path, [[]], [1] * 9)
    exact = [(2, 0), (3, 1), (4, 1)]
    near = [(1, 8), (0, 8), (7, 6)]  # 1 stands for three, 0 for two
    for one in range(made.ranges()):
        for kind, pairs in ((copies.SAME, exact), (copies.NEAR, near)):
            inside = [pair for pair in sorted(pairs) if pair[0] in made.span(one)]
            save(made.path(kind, one), np.array(inside, PAIR))
    for step in (copies.exact_copies, copies.stands_for, copies.near_copies, copies.copies):
        for one in range(made.ranges()):
            step(made.folder, one)
    found = [row for path in made.files(copies.COPIES) for row in load(path).tolist()]
    assert found == [(0, 2), (1, 3), (6, 2), (8, 6)]
