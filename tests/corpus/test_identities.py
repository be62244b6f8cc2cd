"""Ids are unique over a corpus, whatever ids its records bring, also when it goes on."""

import shutil
import zipfile
import zlib
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_files import prose, write_jsonl

from headstart.corpus import CorpusRecipe, build, identities
from headstart.corpus.gathering import arrange
from headstart.corpus.readers import sources
from headstart.corpus.readers.sources import GIVEN_TWICE, Source, Task, find_sources
from headstart.corpus.trace import trace
from headstart.corpus.work import Work, make_work, rows_of


def recipe(*overrides: str) -> CorpusRecipe:
    return CorpusRecipe.load(None, ["languages=any", "piece_characters=3000", *overrides])


def rows(out: Path, *columns: str) -> list[dict[str, str]]:
    files = [*sorted(out.glob("documents/*")), *sorted(out.glob("removed/*"))]
    return [row for file in files for row in pq.read_table(file, columns=list(columns)).to_pylist()]


def contents(out: Path) -> dict[str, bytes]:
    files = [*out.glob("documents/*"), *out.glob("removed/*"), *out.glob("pieces/*"), out / "report.json"]
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Files whose rows are numbered alike, a copy of one, a long text, and an id that another gets."""
    folder = tmp_path / "raw"
    folder.mkdir()
    for number in range(2):
        lines = [{"id": str(n), "text": prose(100 * number + n)} for n in range(20)]
        lines[5]["text"] = prose(1000 + number, 90)
        write_jsonl(folder / f"b{number}.jsonl", lines)
    shutil.copy(folder / "b0.jsonl", folder / "b2.jsonl")
    write_jsonl(folder / "a.jsonl", [{"id": "3@raw/b1.jsonl:4", "text": prose(5000)}])
    return folder


def test_ids_are_unique_however_many_workers(
    tmp_path: Path, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = build([raw], tmp_path / "0", recipe(), workers=0)
    found = rows(tmp_path / "0", "id", "source")
    ids = {row["id"]: row["source"] for row in found}
    assert len(ids) == len(found)
    pieces = [name for name in ids if name.startswith("5#")]
    assert len(pieces) > 2
    assert {ids[name] for name in pieces} == {"raw/b0.jsonl:6"}
    assert len([name for name in ids if name.startswith("5@raw/b1.jsonl:6#")]) > 2
    assert ids["3@raw/b1.jsonl:4"] == "raw/a.jsonl:1"
    assert ids["3@raw/b1.jsonl:4@raw/b1.jsonl:4"] == "raw/b1.jsonl:4"
    assert manifest["renamed"] == len(found) - 1 - 19 - len(pieces)
    monkeypatch.setattr(sources, "LEAST_PART", 45_000)
    build([raw], tmp_path / "2", recipe(), workers=2)
    assert {(row["id"], row["source"]) for row in rows(tmp_path / "2", "id", "source")} == {*ids.items()}


def test_what_says_id_means_one_document(tmp_path: Path, raw: Path) -> None:
    build([raw], tmp_path / "out", recipe("repeated_substrings=20"), workers=0)
    found = {one["source"]: one for one in trace(tmp_path / "out", "7")}
    assert set(found) == {"raw/b0.jsonl:8", "raw/b1.jsonl:8", "raw/b2.jsonl:8"}
    assert [one["id"] for one in found["raw/b0.jsonl:8"]["duplicates"]] == ["7@raw/b2.jsonl:8"]
    assert found["raw/b1.jsonl:8"]["duplicates"] == []
    assert found["raw/b2.jsonl:8"]["detail"] == "same text as 7"
    assert '"renamed"' in (tmp_path / "out/report.json").read_text()
    assert "had the id of another record" in (tmp_path / "out/report.html").read_text()


def test_going_on_with_files_that_bring_the_same_ids(tmp_path: Path, raw: Path) -> None:
    for name in ("a.jsonl", "b1.jsonl"):
        (raw / name).rename(tmp_path / name)
    build([raw], tmp_path / "first", recipe(), workers=0)
    for name in ("a.jsonl", "b1.jsonl"):
        (tmp_path / name).rename(raw / name)
    build([raw], tmp_path / "on", recipe(), workers=0, go_on_from=tmp_path / "first")
    build([raw], tmp_path / "fresh", recipe(), workers=0)
    assert contents(tmp_path / "on") == contents(tmp_path / "fresh")


def test_a_file_that_is_given_twice_is_read_once(tmp_path: Path, raw: Path) -> None:
    (tmp_path / "link.jsonl").symlink_to(raw / "b0.jsonl")
    given = [raw / "b0.jsonl", tmp_path / "link.jsonl", raw, raw]
    found, skipped = find_sources(given)
    assert find_sources(given[::-1]) == (found, skipped)
    assert [one.label for one in found] == ["raw/a.jsonl", *(f"raw/b{n}.jsonl" for n in range(3))]
    assert [(*one,) for one in skipped] == [("b0.jsonl", GIVEN_TWICE), ("link.jsonl", GIVEN_TWICE)]
    manifest = build(given, tmp_path / "out", recipe("exact_duplicates=false"), workers=0)
    assert manifest["funnel"][0]["documents"] == 61
    assert manifest["skipped"] == {GIVEN_TWICE: 2}


def test_files_of_one_name_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, folder in enumerate(("a", "b", "other/a")):
        (tmp_path / folder).mkdir(parents=True)
        write_jsonl(tmp_path / folder / "x.jsonl", [{"text": prose(number)}])
    monkeypatch.chdir(tmp_path)
    found, _ = find_sources(["a/x.jsonl", "b/x.jsonl", "other/a"])
    labels = [one.label for one in found]
    assert len({*labels}) == 3
    assert "b/x.jsonl" in labels


def test_of_members_of_one_name_the_last_counts(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.txt", prose(1))
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("x.txt", prose(2))
    (source,), (skip,) = find_sources([path])
    assert source.digest.startswith(f"{zlib.crc32(prose(2).encode()):08x}")
    assert (*skip,) == ("a.zip/x.txt", "the archive has a later file of this name")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_going_on_with_what_is_passed_over_for_another_file_that_is_read(tmp_path: Path, raw: Path) -> None:
    """A member of a name that comes again, and a file that was given twice, can be read as before."""
    with zipfile.ZipFile(raw / "c.zip", "w") as archive:
        archive.writestr("x.txt", prose(1))
        archive.writestr("x.txt", prose(2))
    (tmp_path / "other").mkdir()
    write_jsonl(tmp_path / "other" / "d.jsonl", [{"text": prose(3)}])
    build([raw, tmp_path / "other" / "d.jsonl"], tmp_path / "first", recipe(), workers=0)
    write_jsonl(raw / "d.jsonl", [{"text": prose(4)}])
    given = [raw, raw / "d.jsonl"]  # the second one's short name is that of another file
    build(given, tmp_path / "on", recipe(), workers=0, go_on_from=tmp_path / "first")
    fresh = [*given, tmp_path / "other" / "d.jsonl"]
    build(fresh, tmp_path / "fresh", recipe(), workers=0)
    on, again = contents(tmp_path / "on"), contents(tmp_path / "fresh")
    assert {**on, "report.json": b""} == {**again, "report.json": b""}


def settle(work: Work) -> int:
    """All rounds in this process; returns how many there were."""
    for number in count(1):
        for task in range(work.tasks):
            identities.names(str(number))(work.folder, task)
        for partition in range(work.partition("names 1")):
            identities.repeated(str(number))(work.folder, partition)
        for one in range(work.ranges()):
            arrange(f"repeated names {number}")(work.folder, one)
        if identities.settled(work, number):
            break
    work.note(f"rounds of {identities.NAMES}", number)
    for task in range(identities.tasks_to_rename(work)):
        identities.rename(work.folder, task)
        identities.rename(work.folder, task)  # as after a kill
    return number


def named(folder: Path, tasks: Sequence[Sequence[tuple[str, str]]]) -> tuple[list[str], int]:
    """The ids of documents with that id and source, and the number of rounds."""
    files = [Source(f"{n}.jsonl", f"{n}.jsonl", "jsonl", 1, "") for n in range(len(tasks))]
    work = make_work(folder, CorpusRecipe(), [Task((one,), 0, 1) for one in files], {})
    for number, documents in enumerate(tasks):
        ids, places = zip(*documents, strict=True)
        table = pa.table({"id": pa.array(ids, pa.string()), "source": pa.array(places, pa.string())})
        work.prepared(number).parent.mkdir(exist_ok=True)
        pq.write_table(table, work.prepared(number))
    work.count_documents([len(documents) for documents in tasks])
    rounds = settle(work)
    every = [name for task in range(work.tasks) for name in work.columns(task, "id")["id"].to_pylist()]
    assert [row["id"] for _, row in sorted(rows_of(work, work.numbers(0), ["id"]).items())] == every[
        : len(tasks[0])
    ]
    return every, rounds


_IDS = st.sampled_from(["a", "b", "a@0:0", "a@1:1", "b@2:0", "a@1:1@1:1", "a@2:0@2:0", "a#0001", "a#0000"])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(_IDS, min_size=1, max_size=5), min_size=1, max_size=3))
def test_names_are_unique_and_the_first_keeps_its_own(brought: list[list[str]]) -> None:
    tasks = [[(name, f"{n}:{place}") for place, name in enumerate(ids)] for n, ids in enumerate(brought)]
    with TemporaryDirectory() as folder:
        every, _ = named(Path(folder), tasks)
    flat = [pair for one in tasks for pair in one]
    assert len({*every}) == len(every)
    for place, ((name, source), now) in enumerate(zip(flat, every, strict=True)):
        first = name not in [earlier for earlier, _ in flat[:place]]
        assert (now == name) if first else now.startswith(f"{name}@{source}")


def test_rounds_end_where_names_were_brought_on_purpose(tmp_path: Path) -> None:
    tasks = [[("a", "0:0"), ("a@1:0", "0:1"), ("a@1:0@1:0", "0:2")], [("a", "1:0")]]
    every, rounds = named(tmp_path, tasks)
    assert every[-1] == "a@1:0@1:0@1:0"
    assert rounds == 4
