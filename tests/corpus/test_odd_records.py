"""Files as tools write them: packed without regard to records, with old line ends, with bytes beside text."""

import datetime
import gzip
import io
import json
import zipfile
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from raw_files import page, response

from headstart.corpus.readers.read import read
from headstart.corpus.readers.records import Raw, Skip
from headstart.corpus.readers.sources import Task, find_sources
from headstart.corpus.text.language_codes import declared_language

PAGES = [response(f"http://h{n}.org/", page(n).encode()) for n in range(9)]
IGNORED = b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd"  # a frame of zstd that means nothing


def found(path: Path, parts: int = 1) -> tuple[list[Raw], list[Skip]]:
    sources, skipped = find_sources([path.parent])
    records = [one for part in range(parts) for one in read(Task(tuple(sources), part, parts), {})]
    return [one for one in records if isinstance(one, Raw)], [
        *skipped,
        *(one for one in records if isinstance(one, Skip)),
    ]


def written(tmp_path: Path, name: str, content: bytes) -> Path:
    path = tmp_path / "in" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return path


def blocks(content: bytes, size: int) -> list[bytes]:
    return [content[at : at + size] for at in range(0, len(content), size)]


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("size", [700, 5_000])
@pytest.mark.parametrize("name", ["a.warc.gz", "a.warc.zst"])
def test_records_may_go_over_the_borders_of_what_is_packed(
    tmp_path: Path, name: str, size: int, parts: int
) -> None:
    pack = gzip.compress if name.endswith("gz") else zstandard.compress
    path = written(tmp_path, name, b"".join(map(pack, blocks(b"".join(PAGES), size))))
    pages, skipped = found(path, parts)
    assert [one.url for one in pages] == [f"http://h{n}.org/" for n in range(9)]
    assert skipped == []


@pytest.mark.parametrize("place", [0, 1, 2])
def test_frames_that_mean_nothing_are_passed_over(tmp_path: Path, place: int) -> None:
    frames = [zstandard.compress(PAGES[0]), zstandard.compress(PAGES[1])]
    frames.insert(place, IGNORED)
    pages, skipped = found(written(tmp_path, "a.warc.zst", b"".join(frames)))
    assert (len(pages), skipped) == (2, [])


def test_what_only_announces_a_response_is_none(tmp_path: Path) -> None:
    head, body = PAGES[0].split(b"\r\n\r\n", 1)
    body = b"HTTP/1.1 100 Continue\r\n\r\n" * 200_000 + body.removesuffix(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.startswith(b"Content-Length")]
    record = b"\r\n".join([*lines, b"Content-Length: %d" % len(body)]) + b"\r\n\r\n" + body + b"\r\n\r\n"
    assert len(found(written(tmp_path, "a.warc", record))[0]) == 1


@pytest.mark.parametrize(
    ("address", "ip", "date", "moment"),
    [
        ("http://a.org/a b", "1.2.3.4", "20050102030405", "2005-01-02T03:04:05Z"),
        ("http://a.org/", "-", "200501020304", "2005-01-02T03:04:00Z"),
    ],
)
def test_heads_of_arc_as_crawlers_wrote_them(
    tmp_path: Path, address: str, ip: str, date: str, moment: str
) -> None:
    body = b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n" + page(1).encode()
    record = f"{address} {ip} {date} text/html {len(body)}\n".encode() + body + b"\n"
    (one,), skipped = found(written(tmp_path, "a.arc", record))
    assert (one.url, one.date, skipped) == (address, moment, [])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", b"id,text\n"),
        ("a.jsonl", b"\n\n"),
        ("a.warc", b"WARC/1.0\r\nWARC-Type: warcinfo\r\nContent-Length: 1\r\n\r\na\r\n\r\n"),
    ],
)
def test_a_file_without_a_record_is_told(tmp_path: Path, name: str, content: bytes) -> None:
    assert found(written(tmp_path, name, content)) == ([], [Skip(f"in/{name}", "no record in it")])


def test_an_archive_without_a_file_is_told(tmp_path: Path) -> None:
    archive = io.BytesIO()
    zipfile.ZipFile(archive, "w").close()
    written(tmp_path, "b.jsonl", b'{"text": "a"}\n')
    assert found(written(tmp_path, "a.zip", archive.getvalue()))[1] == [Skip("in/a.zip", "no file in it")]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", b"text,id\ra,1\rb,2\r"),
        ("a.csv", b'id,text\r1,"a"\r2,b'),
        ("a.tsv", b"id\ttext\r1\ta\r2\tb\r"),
    ],
)
def test_tables_of_old_macs(tmp_path: Path, name: str, content: bytes) -> None:
    rows, skipped = found(written(tmp_path, name, content))
    assert ([(one.id, one.text) for one in rows], skipped) == ([("1", "a"), ("2", "b")], [])


def test_quotes_behind_a_backslash(tmp_path: Path) -> None:
    content = b'id,text\n1,"a \\"b\\", c"\n2,"C:\\dir\\"\n3,"x \\"y\\"\nz"\n'
    rows, skipped = found(written(tmp_path, "a.csv", content))
    assert ([one.text for one in rows], skipped) == (['a "b", c', "C:\\dir\\", 'x "y"\nz'], [])


def test_a_quote_behind_many_backslashes_costs_no_other_row(tmp_path: Path) -> None:
    content = b'id,text\n1,"a' + b"\\" * 5_000 + b'"b"c"\n2,the next row\n'
    rows, skipped = found(written(tmp_path, "a.csv", content))
    assert (len(rows), rows[-1].text, skipped) == (2, "the next row", [])


@pytest.mark.parametrize(
    "column",
    [
        pa.array([b"one", b"two"]).dictionary_encode(),
        pa.array([b"one", b"two"], pa.binary(3)),
        pa.array([b"one", b"two"], pa.binary_view()),
        pa.array(["one", "two"], pa.string_view()),
    ],
)
def test_bytes_that_are_text_whatever_their_type(tmp_path: Path, column: pa.Array) -> None:
    path = tmp_path / "in" / "a.parquet"
    path.parent.mkdir()
    pq.write_table(pa.table({"text": column}), path)
    assert [one.text for one in found(path)[0]] == ["one", "two"]


@pytest.mark.parametrize(("end", "pack"), [(".gz", gzip.compress), (".zst", zstandard.compress)])
def test_parquet_may_be_packed_like_every_file(
    tmp_path: Path, end: str, pack: Callable[[bytes], bytes]
) -> None:
    table = io.BytesIO()
    pq.write_table(pa.table({"text": ["one", "two"]}), table)
    path = written(tmp_path, f"a.parquet{end}", pack(table.getvalue()))
    assert [one.text for one in found(path)[0]] == ["one", "two"]
    (reason,) = found(written(tmp_path, f"a.parquet{end}", pack(table.getvalue())[:-9]))[1]
    assert reason.reason.startswith(("broken Parquet", "reading ended early"))


def test_bytes_beside_the_text_cost_no_row(tmp_path: Path) -> None:
    path = tmp_path / "in" / "a.parquet"
    path.parent.mkdir()
    sums = [b"\xff\xfe\x00\x80", b"\xf0\x80\x81"]
    pq.write_table(pa.table({"text": ["one", "two"], "id": sums, "sum": sums, "name": [b"n", b"m"]}), path)
    rows, skipped = found(path)
    assert [(one.id, one.text) for one in rows] == [("fffe0080", "one"), ("f08081", "two")]
    assert [one.metadata for one in rows] == [{"name": "n"}, {"name": "m"}]
    assert skipped == []


def test_the_values_of_metadata_are_kept_whole(tmp_path: Path) -> None:
    metadata = {"tags": ["a", "b"], "by": {"name": "c"}, "n": 1, "none": None}
    row = json.dumps({"text": "x", "metadata": metadata, "vector": [1, 2]}).encode()
    ((one,), _) = found(written(tmp_path, "a.jsonl", row))
    assert one.metadata == {"tags": ["a", "b"], "by": {"name": "c"}, "n": 1}


@pytest.mark.parametrize(
    ("given", "code"),
    [("iw", "he"), ("in", "id"), ("nb", "no"), ("nob_Latn", "no"), ("yue", "yue"), ("pt_BR", "pt")]
    + [(none, "") for none in ("English", "und", "", "mul", "e n", "42")],
)
def test_what_names_no_language_declares_none(given: str, code: str) -> None:
    assert declared_language(given) == code


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
@pytest.mark.parametrize("name", ["a.warc.gz", "a.warc.zst"])
def test_a_packed_crawl_in_an_archive_is_read_as_one_beside_it(
    tmp_path: Path, name: str, method: int
) -> None:
    members = [gzip.compress(one) for one in PAGES]
    if name.endswith("zst"):
        dictionary = zstandard.train_dictionary(1_000, PAGES * 20)
        packed, size = dictionary.as_bytes(), len(dictionary.as_bytes()).to_bytes(4, "little")
        pack = zstandard.ZstdCompressor(dict_data=dictionary).compress
        members = [b"\x5d\x2a\x4d\x18" + size + packed, *map(pack, PAGES)]
    members[2] = members[2][: len(members[2]) // 2]
    with zipfile.ZipFile(tmp_path / "b.zip", "w", method) as archive:
        archive.writestr(f"archive/{name}", b"".join(members))
    (tmp_path / name).write_bytes(b"".join(members))
    places = [one.source.rpartition("@") for one in found(tmp_path / name)[0]]
    beside = [place for file, _, place in places if file.endswith(f"{tmp_path.name}/{name}")]
    assert len(beside) == len(PAGES) - 1
    assert [place for file, _, place in places if file.endswith(f"b.zip/archive/{name}")] == beside


def test_columns_of_one_name_are_told_apart(tmp_path: Path) -> None:
    rows, skipped = found(written(tmp_path, "a.csv", b"text,note,text,note\none,x,two,y\n"))
    assert skipped == []
    assert [(one.text, one.metadata) for one in rows] == [
        ("one", {"note": "x", "text.1": "two", "note.1": "y"})
    ]


def test_meta_is_metadata(tmp_path: Path) -> None:
    row = {"text": "a", "meta": {"url": "http://a.org/", "source": "c4", "tags": ["x"]}, "metadata": {"n": 1}}
    (one,), skipped = found(written(tmp_path, "a.jsonl", json.dumps(row).encode()))
    assert (one.url, one.metadata, skipped) == ("http://a.org/", {"source": "c4", "tags": ["x"], "n": 1}, [])


def test_columns_of_parquet_are_metadata_whatever_their_type(tmp_path: Path) -> None:
    map_type = pa.map_(pa.string(), pa.int64())
    columns = {
        "text": pa.array(["one"]),
        "made": pa.array([datetime.datetime(2024, 5, 6)], pa.timestamp("ms")),
        "price": pa.array([Decimal("1.50")]),
        "metadata": pa.array([[("a", 1), ("b", 2)]], map_type),
        "again": pa.array(["two"]),
    }
    table = pa.table(columns).rename_columns(["text", "made", "price", "metadata", "text"])
    content = io.BytesIO()
    pq.write_table(table, content)
    (one,), skipped = found(written(tmp_path, "a.parquet", content.getvalue()))
    made = datetime.datetime(2024, 5, 6)
    assert (one.text, skipped) == ("one", [])
    assert one.metadata == {"a": 1, "b": 2, "made": made, "price": "1.50", "text.1": "two"}


def test_a_wide_window_and_a_missing_dictionary_of_zstd(tmp_path: Path) -> None:
    line = b'{"text": "one"}\n'
    wide = zstandard.ZstdCompressionParameters(window_log=28, enable_ldm=True)
    pack = zstandard.ZstdCompressor(compression_params=wide).compressobj()  # as `zstd --long=28`
    written(tmp_path, "a.jsonl.zst", pack.compress(line) + pack.flush())
    dictionary = zstandard.train_dictionary(500, [b'{"text": "%d"}\n' % n for n in range(900)])
    packed = zstandard.ZstdCompressor(dict_data=dictionary).compress(line)
    texts, skipped = found(written(tmp_path, "b.jsonl.zst", packed))
    assert [one.text for one in texts] == ["one"]
    assert skipped == [Skip("in/b.jsonl.zst:1", "zstd with a dictionary that is not in the file")]


def test_members_named_from_the_folder_are_not_hidden(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("./a.txt", "../b.txt", "./c/../d.txt", ".e.txt", "./.f/g.txt"):
            archive.writestr(name, name)
    texts, skipped = found(tmp_path / "a.zip")
    assert (sorted(one.text for one in texts), skipped) == (["../b.txt", "./a.txt", "./c/../d.txt"], [])
