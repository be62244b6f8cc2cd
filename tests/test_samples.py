"""The packed samples hold what their README says."""

import gzip
import json
import re
import zlib
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
from fastwarc.warc import ArchiveIterator, WarcRecordType

SAMPLES = Path(__file__).parent.parent / "samples"
README = (SAMPLES / "README.md").read_text()
FIGURES = {
    name: (int(count), int(size))
    for name, count, size in re.findall(r"^\| `(\S+)` \| (\d+) \w+ \| (\d+) \|$", README, re.M)
}
UNIVERSAL_TAGS = {"NOUN", "VERB", "ADJ", "ADV", "PRON", "DET", "ADP", "NUM", "CONJ", "PRT", "X", "."}


@cache
def rows(name: str) -> list[dict]:
    """The rows of one JSONL file."""
    with gzip.open(SAMPLES / name, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def words(text: str) -> str:
    """A text without layout, case and digits."""
    return " ".join(re.findall(r"[^\W\d_]+", text.lower()))


def gzip_members(data: bytes) -> tuple[list[bytes], int]:
    """The readable members of a gzip file and the number of unreadable ones."""
    members, bad = [], 0
    for start in [
        m.start() for m in re.finditer(re.escape(b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff"), data)
    ]:
        inflate = zlib.decompressobj(31)
        try:
            members.append(inflate.decompress(data[start:]))
            bad += not inflate.eof
        except zlib.error:
            bad += 1
    return members, bad


def test_every_file_is_in_the_readme_with_its_size() -> None:
    packed = {str(p.relative_to(SAMPLES)): p.stat().st_size for p in SAMPLES.glob("*/*.gz")}
    assert packed == {name: size for name, (_, size) in FIGURES.items()}
    assert sum(p.stat().st_size for p in SAMPLES.rglob("*") if p.is_file()) < 25_000_000


@pytest.mark.parametrize("number", [0, 1, 2])
def test_sound_crawl_files_read_to_the_end(number: int) -> None:
    name = f"crawl/headstart-sample-0000{number}.warc.gz"
    kinds: Counter = Counter()
    hosts = set()
    with (SAMPLES / name).open("rb") as stream:
        for record in ArchiveIterator(stream, record_types=WarcRecordType.any_type):
            kinds[record.headers["WARC-Type"]] += 1
            if record.record_type == WarcRecordType.response:
                hosts.add(record.headers["WARC-Target-URI"].split("/")[2])
    assert kinds["response"] == FIGURES[name][0]
    assert kinds["warcinfo"] == 1
    assert kinds["revisit"] > 0
    assert kinds["request"] > 90
    assert len(hosts) == 10


def test_broken_crawl_file_is_broken_as_described() -> None:
    name = "crawl/headstart-sample-00003.warc.gz"
    members, bad = gzip_members((SAMPLES / name).read_bytes())
    assert bad == 2  # the destroyed checksum, the cut end
    records = [m for m in members if b"WARC-Type: response" in m.partition(b"\r\n\r\n")[0]]
    assert FIGURES[name][0] - 2 <= len(records) <= FIGURES[name][0] + 1
    targets = b" ".join(m.partition(b"\r\n\r\n")[0] for m in records)
    for fault in (
        "length-too-short",
        "length-too-long",
        "bad-header",
        "invalid-utf-8",
        "picture.html",
        "moved",
    ):
        assert f"https://broken.example/{fault}".encode() in targets


def test_books_are_plain_text_without_licence_boilerplate() -> None:
    books = {p.name: gzip.decompress(p.read_bytes()).decode() for p in (SAMPLES / "books").glob("*.txt.gz")}
    for name, text in books.items():
        assert len(text.split()) == FIGURES[f"books/{name}"][0]
        assert "gutenberg" not in text.lower()
    assert sum(name.endswith("-folio.txt.gz") for name in books) == 12
    assert 12e6 < sum(len(text) for text in books.values()) < 16e6


@pytest.mark.parametrize("name", [n for n in FIGURES if n.endswith(".jsonl.gz")])
def test_row_counts_and_unique_ids(name: str) -> None:
    assert len(rows(name)) == FIGURES[name][0]
    assert len({row["id"] for row in rows(name)}) == len(rows(name))


def test_brown_documents() -> None:
    assert all(set(row) == {"id", "text", "domain"} for row in rows("brown/brown.jsonl.gz"))
    assert len({row["domain"] for row in rows("brown/brown.jsonl.gz")}) == 15


def test_spam_rows_and_disjoint_split() -> None:
    train, test = rows("labels/spam.train.jsonl.gz"), rows("labels/spam.test.jsonl.gz")
    for row in train + test:
        assert set(row) == {"id", "text", "label"}
        assert row["text"].strip()
    assert {row["label"] for row in train} == {row["label"] for row in test} == {"spam", "ham"}
    assert not {row["id"] for row in train} & {row["id"] for row in test}
    assert not {words(row["text"]) for row in train} & {words(row["text"]) for row in test}


def test_pos_rows_and_split_by_document() -> None:
    train, test = rows("labels/pos.train.jsonl.gz"), rows("labels/pos.test.jsonl.gz")
    for row in train + test:
        assert set(row) == {"id", "tokens", "tags"}
        assert len(row["tokens"]) == len(row["tags"]) > 0
        assert set(row["tags"]) <= UNIVERSAL_TAGS

    def documents(part: list[dict]) -> set[str]:
        return {row["id"].rpartition("-")[0] for row in part}

    assert not documents(train) & documents(test)
    assert not (documents(train) | documents(test)) & {row["id"] for row in rows("brown/brown.jsonl.gz")}
