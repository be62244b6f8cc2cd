"""Repeated runs of words: the answer is that of the definition, whatever the tasks and partitions."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_files import prose, rules_off, write_jsonl

from headstart.corpus import CorpusRecipe, build, work
from headstart.corpus.dedup.substrings import picks, without_words
from headstart.corpus.readers import sources
from headstart.corpus.text.hashing import rolling
from headstart.corpus.text.words import split_words
from headstart.corpus_folder import corpus_documents

NO_RULES = ["languages=any", "near_duplicates.enabled=false", "rules.too_few_words=off"]


def defined(documents: list[str], size: int) -> list[str]:
    """The words that stay, by the definition: runs that began before, in another document or apart."""
    first: dict[tuple[str, ...], tuple[int, int]] = {}
    kept = []
    for number, text in enumerate(documents):
        words = text.split()
        gone = [False] * len(words)
        for start in range(len(words) - size + 1):
            document, place = first.setdefault(tuple(words[start : start + size]), (number, start))
            if document != number or start >= place + size:
                gone[start : start + size] = [True] * size
        kept.append(" ".join(word for word, drop in zip(words, gone, strict=True) if not drop))
    return kept


def rows_with_repeats(seed: int, count: int) -> list[dict]:
    """Documents that lend each other stretches of 5 to 60 words."""
    rng = np.random.default_rng(seed)
    texts: list[list[str]] = []
    for number in range(count):
        words = prose(seed * 1000 + number, 8).replace(".", "").lower().split()
        for _ in range(rng.integers(0, 3)):
            lender = texts[rng.integers(len(texts))] if texts else words
            start, length, at = rng.integers(len(lender)), rng.integers(5, 60), rng.integers(len(words))
            words[at:at] = lender[start : start + length]
        texts.append(words)
    return [{"id": f"d{number:04d}", "text": " ".join(words)} for number, words in enumerate(texts)]


def built(folder: Path, rows: list[dict], size: int, workers: int = 1) -> dict[str, str]:
    """The texts of a corpus made from the rows in several files."""
    folder.mkdir(exist_ok=True)
    paths = [write_jsonl(folder / f"{at:06d}.jsonl", rows[at : at + 50]) for at in range(0, len(rows), 50)]
    given = [f"repeated_substrings={size}", *NO_RULES, *rules_off()]
    build(paths, folder / "out", CorpusRecipe.load(None, given), workers=workers)
    return {row["id"]: row["text"] for row in corpus_documents(folder / "out")}


@given(st.lists(st.integers(0, 5), max_size=200), st.integers(4, 12))
def test_equal_runs_hold_an_equal_pick(values: list[int], size: int) -> None:
    hashes = np.array(values, np.uint64)
    places, keys = picks(hashes, size)
    picked = dict(zip(places.tolist(), keys.tolist(), strict=True))
    half = size // 2
    of: dict[tuple[int, ...], set[int]] = {}
    for start in range(len(values) - size + 1):
        inside = {picked[at] for at in range(start, start + size - half + 1) if at in picked}
        run = tuple(values[start : start + size])
        assert of.setdefault(run, inside) & inside


@given(st.lists(st.integers(0, 3), max_size=60), st.integers(1, 9))
def test_rolling_hashes_are_equal_for_equal_runs(values: list[int], size: int) -> None:
    hashes = rolling(np.array(values, np.uint64), size, 0xD1342543DE82EF95)
    runs = [tuple(values[at : at + size]) for at in range(len(values) - size + 1)]
    assert len(hashes) == len(runs)
    assert len(set(hashes.tolist())) == len(set(runs))
    assert len(set(zip(runs, hashes.tolist(), strict=True))) == len(set(runs))


@pytest.mark.parametrize(("seed", "size"), [(1, 20), (2, 8), (3, 31)])
def test_what_is_cut_is_what_is_defined(tmp_path: Path, seed: int, size: int) -> None:
    rows = rows_with_repeats(seed, 60)
    wanted = dict(zip((row["id"] for row in rows), defined([row["text"] for row in rows], size), strict=True))
    assert built(tmp_path, rows, size) == {name: text for name, text in wanted.items() if text}


def test_partitions_and_workers_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = rows_with_repeats(4, 300)
    one = built(tmp_path / "one", rows, 20)
    monkeypatch.setattr(work, "PARTITION_BYTES", 1 << 12)
    monkeypatch.setattr(sources, "MOST_PART", 20_000)
    assert built(tmp_path / "many", rows, 20, workers=2) == one
    first, second = (pq.read_table(tmp_path / way / "out" / "pieces").to_pylist() for way in ("one", "many"))
    assert first == second


def test_a_run_within_one_document_is_kept_once(tmp_path: Path) -> None:
    loop = " ".join(f"w{n}" for n in range(25))
    texts = built(tmp_path, [{"id": "a", "text": " ".join([loop] * 4)}, {"id": "b", "text": "x " * 60}], 25)
    assert texts == {"a": loop, "b": " ".join("x" * 25)}


def test_pieces_say_where_the_words_stay(tmp_path: Path) -> None:
    notice = " ".join(f"notice{n}" for n in range(30))
    rows = [
        {"id": "a", "text": f"{prose(1)}\n\n{notice}.\n\n{prose(2)}"},
        {"id": "b", "text": f"{prose(3)}\n\n“{notice.upper()}.”\n\nNow {prose(4)}"},
    ]
    assert built(tmp_path, rows, 30) == {"a": rows[0]["text"], "b": f"{prose(3)}\n\nNow {prose(4)}"}
    (piece,) = pq.read_table(tmp_path / "out" / "pieces").to_pylist()
    assert piece == {
        "id": "b",
        "stage": "repeated substrings",
        "rule": "repeated_substring",
        "start": len(prose(3)) + 2,
        "text": f"“{notice.upper()}.”",
        "kept_in": "a",
    }


PARTS = ["a", "Bb", "ÇİĞ", "ß", "漢字", "1", ".", "“x”", "\n", "\n\n", "İ"]


@settings(max_examples=60)
@given(st.lists(st.sampled_from(PARTS), max_size=40), st.data())
def test_the_words_that_stay_are_those_that_should(tokens: list[str], data: st.DataObject) -> None:
    text = " ".join(tokens).strip()
    words = split_words(text)
    size = data.draw(st.integers(1, 5))
    last = len(words.hashes) - size
    starts = sorted(data.draw(st.sets(st.integers(0, last), max_size=4))) if last >= 0 else []
    cut, pieces = without_words(text, words, np.array(starts, np.int64), size, ["d"] * len(starts))
    gone = {word for start in starts for word in range(start, start + size)}
    left = [key for word, key in enumerate(words.hashes.tolist()) if word not in gone]
    assert split_words(cut).hashes.tolist() == left
    for piece in pieces:
        assert text[piece.start : piece.start + len(piece.text)] == piece.text


@pytest.mark.parametrize(("least", "stays"), [(20, True), (60, False)])
def test_whether_too_little_is_left_is_told_by_the_languages_own_rule(
    tmp_path: Path, least: int, stays: bool
) -> None:
    notice, own = prose(7, 2), prose(8, 2)
    rows = [{"id": "a", "text": f"{prose(9, 9)}\n\n{notice}"}, {"id": "b", "text": f"{own}\n\n{notice}"}]
    assert 20 < len(own.split()) < 60
    path = write_jsonl(tmp_path / "a.jsonl", [row | {"language": "en"} for row in rows])
    settings = [
        "languages=any",
        "near_duplicates.enabled=false",
        "repeated_substrings=20",
        f"by_language={{en: {{rules: {{too_few_words: words < {least}}}}}}}",
    ]
    manifest = build([path], tmp_path / "out", CorpusRecipe.load(None, settings), workers=0)
    texts = {row["id"]: row["text"] for row in corpus_documents(tmp_path / "out")}
    assert texts.get("b") == (own if stays else None)
    gone = {} if stays else {"repeated substrings": {"too_little_left": 1}}
    assert manifest["removed"] == gone
