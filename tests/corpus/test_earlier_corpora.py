"""A new corpus beside earlier ones: what it does not repeat, found in their indexes alone."""

from itertools import product
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_files import prose, rules_off, write_jsonl

from headstart.corpus import CorpusRecipe, build, work
from headstart.corpus.dedup.substrings import fingerprints, reach
from headstart.corpus.readers import sources
from headstart.corpus_folder import corpus_documents
from headstart.errors import HeadstartError
from headstart.folder import remove


def made(
    out: Path, rows: list[dict], *given: str, against: tuple[Path, ...] = (), workers: int = 1
) -> dict[str, str]:
    """The texts of a corpus made from rows in several files."""
    folder = out.with_name(f"{out.name}-raw")
    folder.mkdir()
    paths = [write_jsonl(folder / f"{at:04d}.jsonl", rows[at : at + 40]) for at in range(0, len(rows), 40)]
    earlier = f"against=[{', '.join(map(str, against))}]"
    recipe = CorpusRecipe.load(
        None, [earlier, "languages=any", "near_duplicates.enabled=false", *given, *rules_off()]
    )
    build(paths, out, recipe, workers=workers)
    return {row["id"]: row["text"] for row in corpus_documents(out)}


def with_notices(name: str, count: int, seed: int) -> list[dict]:
    """Documents with lines and paragraphs that other ones may have, too."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        parts = [prose(seed * 1000 + number, 3), prose(seed * 1000 + 500 + number, 3)]
        for common in rng.choice(12, rng.integers(0, 4), replace=False).tolist():
            notice = prose(common, 1)
            parts.insert(int(rng.integers(len(parts) + 1)), notice if common % 2 else f"{notice}\nRead on.")
        rows.append({"id": f"{name}{number:03d}", "text": "\n\n".join(parts)})
    return rows


@pytest.mark.parametrize("given", [["repeated_lines=4"], ["repeated_lines=9", "repeated_paragraphs=5"]])
def test_lines_are_counted_over_all_corpora(tmp_path: Path, given: list[str]) -> None:
    old, new = with_notices("old", 24, 1), with_notices("new", 12, 2)
    joint = made(tmp_path / "joint", old + new, *given)
    alone = made(tmp_path / "alone", new, *given)
    first, second = tmp_path / "first", tmp_path / "second"
    made(first, old[:10], *given)
    made(second, old[10:], *given, against=(first,))
    for folder in (first, second):
        remove(folder / "documents")
    texts = made(tmp_path / "new", new, *given, against=(first, second))
    assert texts == {name: text for name, text in joint.items() if name.startswith("new")}
    assert texts != alone


def stretches(old: list[int], new: list[int]) -> set[tuple[int, int]]:
    """First word and length of each stretch of `new` that stands in `old` and is as long as it gets."""
    found = set()
    for there, here in product(range(len(old)), range(len(new))):
        if there and here and old[there - 1] == new[here - 1]:
            continue
        length = 0
        while there + length < len(old) and here + length < len(new):
            if old[there + length] != new[here + length]:
                break
            length += 1
        found.add((here, length))
    return found


@settings(max_examples=200)
@given(st.data())
def test_what_fingerprints_find_and_what_not(data: st.DataObject) -> None:
    size = data.draw(st.integers(8, 16))
    words = st.lists(st.integers(0, data.draw(st.sampled_from([1, 3, 1000]))), max_size=30)
    old = data.draw(words) + data.draw(words) + data.draw(words)
    new = data.draw(words)
    for _ in range(data.draw(st.integers(0, 2))):
        start, stop = sorted(data.draw(st.tuples(*[st.integers(0, len(old))] * 2)))
        new = new + old[start:stop] + data.draw(words)
    _, known = fingerprints(np.array(old, np.uint64), size)
    places, keys = fingerprints(np.array(new, np.uint64), size)
    gone = [False] * len(new)
    for place in places[np.isin(keys, known)].tolist():
        gone[place : place + size] = [True] * size
    may_go, edge = [False] * len(new), reach(size) - 1
    for start, length in stretches(old, new):
        if length >= size:
            may_go[start : start + length] = [True] * length
        if length >= size + edge:
            assert all(gone[start + edge : start + length - edge])
    assert all(may for may, went in zip(may_go, gone, strict=True) if went)


def lent(name: str, count: int, seed: int, lenders: list[dict]) -> list[dict]:
    """Documents that hold stretches of 10 to 90 words of others."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        words = prose(seed * 1000 + number, 8).replace(".", "").lower().split()
        for _ in range(rng.integers(0, 3) if lenders else 0):
            lender = lenders[rng.integers(len(lenders))]["text"].split()
            start, at = rng.integers(len(lender)), rng.integers(len(words))
            words[at:at] = lender[start : start + rng.integers(10, 90)]
        rows.append({"id": f"{name}{number:03d}", "text": " ".join(words)})
    return rows


def test_runs_of_earlier_corpora_go_whatever_workers_and_partitions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size, old = 24, lent("old", 90, 1, [])
    new = lent("new", 120, 2, old)
    made(tmp_path / "old", old, f"repeated_substrings={size}")
    remove(tmp_path / "old" / "documents")
    texts = made(tmp_path / "new", new, f"repeated_substrings={size}", against=(tmp_path / "old",))
    pieces = pq.read_table(tmp_path / "new" / "pieces").to_pylist()
    there = [f" {row['text']} " for row in old]
    found = [one for one in pieces if one["kept_in"] == f"a document of {tmp_path / 'old'}"]
    assert len(found) > 20
    for one in found:  # that many words of it stand there
        words = one["text"].split()
        assert any(f" {' '.join(words[:size])} " in text for text in there)
    longest = size + reach(size) - 1
    for text in texts.values():
        words = text.split()
        for start in range(len(words) - longest + 1):
            assert not any(f" {' '.join(words[start : start + longest])} " in text for text in there)

    monkeypatch.setattr(work, "PARTITION_BYTES", 1 << 11)
    monkeypatch.setattr(sources, "MOST_PART", 20_000)
    made(tmp_path / "split", old, f"repeated_substrings={size}", workers=2)
    again = made(
        tmp_path / "again", new, f"repeated_substrings={size}", against=(tmp_path / "split",), workers=2
    )
    assert again == texts
    index = [
        np.concatenate([np.load(file) for file in sorted((folder / "index").glob("runs-*.npy"))])
        for folder in (tmp_path / "old", tmp_path / "split")
    ]
    assert np.array_equal(*index)
    assert len(list((tmp_path / "split" / "index").glob("runs-*.npy"))) > 1


@pytest.mark.parametrize(
    ("there", "here"),
    [
        ("repeated_substrings=null", "repeated_substrings=50"),
        ("repeated_substrings=40", "repeated_substrings=50"),
        ("repeated_lines=3", "repeated_paragraphs=3"),
        ("near_duplicates={enabled: true, bands: 20}", "near_duplicates.enabled=true"),
    ],
)
def test_an_index_that_lacks_what_is_asked_for_is_named(tmp_path: Path, there: str, here: str) -> None:
    rows = [{"id": f"d{n}", "text": prose(n)} for n in range(3)]
    made(tmp_path / "old", rows, there)
    setting = here.split("=")[0].split(".")[0]
    with pytest.raises(HeadstartError, match=f"old cannot be compared with: .* {setting} = "):
        made(tmp_path / "new", rows, here, against=(tmp_path / "old",))
    assert not (tmp_path / "new").exists()


def test_an_earlier_corpus_made_anew_makes_another_one(tmp_path: Path) -> None:
    rows, asked = with_notices("a", 12, 1), "repeated_lines=4"
    made(tmp_path / "old", rows[:6], asked)
    recipe = CorpusRecipe.load(
        None,
        [
            f"against=[{tmp_path / 'old'}]",
            "languages=any",
            "near_duplicates.enabled=false",
            asked,
            *rules_off(),
        ],
    )
    raw = [write_jsonl(tmp_path / "new.jsonl", rows[6:])]
    first = build(raw, tmp_path / "new", recipe, workers=1)
    assert build(raw, tmp_path / "new", recipe, workers=1) == first
    remove(tmp_path / "old")
    remove(tmp_path / "old-raw")
    made(tmp_path / "old", rows[:5], asked)
    with pytest.raises(HeadstartError, match="made from other inputs"):
        build(raw, tmp_path / "new", recipe, workers=1)
