"""Records in are documents, removed and skipped ones out: in every format, packed in every way, whatever is
wrong with some of the records."""

import bz2
import gzip
import io
import json
import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_files import page, prose, response

from headstart.corpus import CorpusRecipe, build
from headstart.corpus.readers.read import read
from headstart.corpus.readers.records import Raw, Skip
from headstart.corpus.readers.sources import Task, find_sources, plan_tasks

PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": lambda content: gzip.compress(content, 1, mtime=0),
    ".zst": lambda content: zstandard.compress(content, 1),
    ".bz2": lambda content: bz2.compress(content, 1),
    ".xz": lambda content: lzma.compress(content, preset=0),
}

# What a record may be: "good" is read, the others are one line of skipped.jsonl each.
LINES = {
    "good": json.dumps({"text": prose(1, 2)}).encode(),
    "blank": b'{"text": " "}',
    "number": b'{"text": 5}',
    "none": b'{"id": "a"}',
    "cut": b'{"text": "half a li',
    "latin1": '{"text": "Ã¼ber café Ã"}'.encode("latin-1"),
    "list": b"[1, 2]",
    "word": b"garbage",
}
ROWS = {"good": "1,a sea,x", "blank": "1, ,x", "short": "1", "long": "1,a,b,c,d", "quoted": '1,"",x'}
WEB = {
    "good": response("http://a.org/", page(1).encode()),
    "empty": response("http://a.org/", b" "),
    "pdf": response("http://a.org/", b"%PDF-1.4", b"Content-Type: application/pdf"),
    "gzip": response("http://a.org/", b"\x1f\x8bnone", b"Content-Type: text/html\r\nContent-Encoding: gzip"),
    "brotli": response("http://a.org/", b"\x00\x01\x02", b"Content-Type: text/html\r\nContent-Encoding: br"),
    "header": response("http://a.org/", b"x").replace(b"HTTP/1.1 200 OK", b"XXXX/1.1 200 OK"),
    "status": response("http://a.org/", b"x").replace(b" 200 OK", b" 404 no"),
    "type": response("http://a.org/", b"x").replace(b"WARC-Type: response", b"WARC-Type: whatever"),
    "revisit": response("http://a.org/", b"x").replace(b"WARC-Type: response", b"WARC-Type: revisit "),
}
ARTICLES = {
    "good": "<title>T</title><ns>0</ns><id>1</id><revision><text>The sea is wide.</text></revision>",
    "talk": "<title>Talk:T</title><ns>1</ns><revision><text>no</text></revision>",
    "redirect": '<title>R</title><ns>0</ns><redirect title="T"/><revision><text>x</text></revision>',
    "empty": "<title>E</title><ns>0</ns><revision><text/></revision>",
    "broken": "<title>B</title><ns>0</ns><revision><text>a < b & c</text></revision>",
}
CELLS: dict[str, bytes | None] = {
    "good": b"a sea",
    "none": None,
    "blank": b" ",
    "charset": b"caf\xe9 \xfc\xff",
}


def _arc(kinds: list[str]) -> bytes:
    records = [b"filedesc://a.arc 0.0.0.0 20240101000000 text/plain 8\n1 0 AA\n\n\n"]
    for kind in kinds:
        body = WEB[kind].split(b"\r\n\r\n", 1)[1].removesuffix(b"\r\n\r\n")
        head = f"http://a.org/ 1.2.3.4 20240101000000 text/html {len(body)}\n"
        records.append(head.encode() + body + b"\n")
    return b"".join(records)


def _parquet(kinds: list[str]) -> bytes:
    sink = io.BytesIO()
    table = pa.table({"text": pa.array([CELLS[kind] for kind in kinds], pa.binary())})
    pq.write_table(table, sink, row_group_size=3)
    return sink.getvalue()


def _json(kinds: list[str]) -> bytes:
    values = [LINES[kind] for kind in kinds if kind not in ("cut", "latin1")]
    return b"[" + b",\n".join(values) + b"]"


WET = b"WARC/1.0\r\nWARC-Type: conversion\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%b\r\n\r\n"


def _wet(kinds: list[str]) -> bytes:
    return b"".join(
        WET % (len(text), text)
        for text in (prose(1, 2).encode() if kind == "good" else b"" for kind in kinds)
    )


def _dump(kinds: list[str]) -> bytes:
    pages = "".join(f"<page>{ARTICLES[kind]}</page>\n" for kind in kinds)
    return f"<mediawiki>\n{pages}</mediawiki>\n".encode()


def _table(delimiter: str) -> Callable[[list[str]], bytes]:
    return lambda kinds: (
        "\n".join(["id,text,note", *(ROWS[kind] for kind in kinds)]).replace(",", delimiter).encode()
    )


# For each format: the kinds of records, and a file of some of them.
FORMATS: dict[str, tuple[dict, Callable[[list[str]], bytes]]] = {
    ".jsonl": (LINES, lambda kinds: b"\n".join(LINES[kind] for kind in kinds) + b"\n"),
    ".json": ({kind: LINES[kind] for kind in LINES if kind not in ("cut", "latin1")}, _json),
    ".csv": (ROWS, _table(",")),
    ".tsv": (ROWS, _table("\t")),
    ".warc": (WEB, lambda kinds: b"".join(WEB[kind] for kind in kinds)),
    ".wet": ({"good": "", "empty": ""}, _wet),
    ".arc": ({kind: WEB[kind] for kind in WEB if kind not in ("type", "revisit", "header")}, _arc),
    ".parquet": (CELLS, _parquet),
    ".xml": (ARTICLES, _dump),
}


@st.composite
def files(draw: st.DrawFn) -> tuple[str, bytes, int, int]:
    """Name and content of a file, how many records it has, and how many of them can be read."""
    suffix = draw(st.sampled_from(sorted(FORMATS)))
    kinds_there_are, written = FORMATS[suffix]
    kinds = draw(st.lists(st.sampled_from(sorted(kinds_there_are)), min_size=1, max_size=9))
    if kinds[0] in ("list", "word") and suffix == ".jsonl":
        kinds[0] = "good"  # what a file of lines cannot begin with
    packing = "" if suffix == ".parquet" else draw(st.sampled_from(sorted(PACKINGS)))
    content = PACKINGS[packing](written(kinds))
    name = f"a{suffix}{packing}"
    if draw(st.booleans()):
        sink = io.BytesIO()
        with zipfile.ZipFile(
            sink, "w", draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))
        ) as to:
            to.writestr(f"in/{name}", content)
        name, content = "a.zip", sink.getvalue()
    return name, content, len(kinds), kinds.count("good")


@settings(max_examples=300, deadline=None)
@given(files(), st.integers(1, 3))
def test_every_record_is_read_or_skipped(file: tuple[str, bytes, int, int], parts: int) -> None:
    name, content, count, good = file
    with TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(content)
        (source,), none = find_sources([path])
        if len(plan_tasks([source])) == 1 and (source.format == "warc" or source.in_archive):
            parts = 1  # as `plan_tasks` has it for streams
        found = [one for part in range(parts) for one in read(Task((source,), part, parts), {})]
    assert not none
    assert sum(isinstance(one, Raw) for one in found) == good, (name, found)
    assert len(found) == count, (name, found)
    places = [one.source for one in found]
    assert len(set(places)) == len(places)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.sampled_from(["page", "blank", "binary", "cut", "none", "other"]), max_size=8), st.booleans()
)
def test_every_file_of_a_folder_or_archive_is_read_or_skipped(kinds: list[str], zipped: bool) -> None:
    written = {
        "page": (".html", page(1).encode()),
        "blank": (".md", b" \n"),
        "binary": (".txt", b"a\0b"),
        "cut": (".htm.gz", gzip.compress(page(2).encode())[:-9]),
        "none": (".txt.bz2", b""),
        "other": (".doc", b"what"),
    }
    with TemporaryDirectory() as folder:
        top = Path(folder, "raw")
        top.mkdir()
        (top / "z.txt").write_text("so that there is something to read")
        for number, kind in enumerate(kinds):
            (top / f"{number}{written[kind][0]}").write_bytes(written[kind][1])
        given_path = top
        if zipped:
            given_path = Path(folder, "raw.zip")
            with zipfile.ZipFile(given_path, "w") as archive:
                for path in sorted(top.iterdir()):
                    archive.write(path, path.name)
        sources, skipped = find_sources([given_path])
        found: list[Raw | Skip] = [*skipped]
        for task in plan_tasks(sources):
            found += read(task, {})
    assert len(found) == len(kinds) + 1
    assert sum(isinstance(one, Raw) for one in found) == kinds.count("page") + 1


def _all_kinds(folder: Path) -> int:
    """A folder with every kind of record in every format; returns how many there are."""
    count = 0
    for suffix, (kinds, written) in FORMATS.items():
        (folder / f"a{suffix}").write_bytes(written(list(kinds)))
        count += len(kinds)
    return count


def test_documents_removed_and_skipped_are_all_records(tmp_path: Path) -> None:
    folder = tmp_path / "raw"
    folder.mkdir()
    count = _all_kinds(folder)
    with zipfile.ZipFile(folder / "b.zip", "w") as archive:
        for path in sorted(folder.glob("a.*")):
            archive.write(path, path.name)
    manifest = build([folder], tmp_path / "out", CorpusRecipe(), workers=0)
    kept = manifest["funnel"][-1]["documents"]
    removed = sum(sum(rules.values()) for rules in manifest["removed"].values())
    skipped = sum(manifest["skipped"].values())
    assert kept + removed + skipped == 2 * count
    assert kept >= 1
    lines = (tmp_path / "out/skipped.jsonl").read_text().splitlines()
    assert len(lines) == skipped
    rows = [json.loads(line) for line in lines]
    assert len({row["source"] for row in rows}) == skipped
    files = [*(tmp_path / "out").glob("documents/*"), *(tmp_path / "out").glob("removed/*")]
    ids = [name for file in files for name in pq.read_table(file, columns=["id"])["id"].to_pylist()]
    assert len({*ids}) == len(ids) == kept + removed


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_an_archive_is_damaged(tmp_path: Path, method: int) -> None:
    lines = b"".join(b'{"text": "%d %d"}\n' % (n, n * 7919 % 10007) for n in range(4000))
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("a.jsonl", lines)
        archive.writestr("b.txt", "the other one")
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 40] = b"\x55" * 40
    path.write_bytes(content)
    sources, _ = find_sources([path])
    found = [one for task in plan_tasks(sources) for one in read(task, {})]
    reasons = [one.reason for one in found if isinstance(one, Skip)]
    assert any("broken zip" in reason for reason in reasons)
    assert "the other one" in [one.text for one in found if isinstance(one, Raw)]
    if method != zipfile.ZIP_BZIP2:  # of which a block is whole or nothing
        assert sum(isinstance(one, Raw) for one in found) > 1000
