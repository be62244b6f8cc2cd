"""Files and headers that are not as their standards say, and are read as they are meant."""

import datetime
import gzip
import io
import json
import zlib
from pathlib import Path

import brotli
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from raw_files import page, response

from headstart.corpus.readers.json_values import values_in
from headstart.corpus.readers.read import read
from headstart.corpus.readers.records import Raw, Skip
from headstart.corpus.readers.sources import find_sources, plan_tasks

PAGE = page(1).encode()


def records(tmp_path: Path, name: str, content: bytes) -> list[Raw | Skip]:
    (tmp_path / name).write_bytes(content)
    sources, _ = find_sources([tmp_path / name])
    return [one for task in plan_tasks(sources) for one in read(task, {})]


def texts(tmp_path: Path, name: str, content: bytes) -> list[str]:
    found = records(tmp_path, name, content)
    assert all(isinstance(one, Raw) for one in found), found
    return [one.text for one in found if isinstance(one, Raw)]


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", PAGE),
        ("br", PAGE),
        ("deflate", PAGE),
        ("zstd", PAGE),
        ("", gzip.compress(PAGE)),
        ("br", gzip.compress(PAGE)),
        ("gzip", zlib.compress(PAGE)),
        ("gzip", brotli.compress(PAGE)),
        ("identity", PAGE),
        ("utf-8", PAGE),
        ("gzip;q=1", gzip.compress(PAGE)),
        ("deflate, br", brotli.compress(zlib.compress(PAGE))),
        ("gzip", zstandard.compress(PAGE)),
    ],
)
def test_a_body_says_how_it_is_packed(tmp_path: Path, coding: str, body: bytes) -> None:
    http = f"Content-Type: text/html\r\nContent-Encoding: {coding}".encode()
    assert texts(tmp_path, "a.warc", response("http://a.org/", body, http)) == [PAGE.decode()]


def test_a_body_that_nothing_unpacks_is_no_text(tmp_path: Path) -> None:
    http = b"Content-Type: text/html\r\nContent-Encoding: gzip"
    (found,) = records(tmp_path, "a.warc", response("http://a.org/", b"\x01\x02\x03\xff" * 9, http))
    assert isinstance(found, Skip)
    assert found.reason == "broken HTTP payload"


@pytest.mark.parametrize(
    "kind",
    [
        "text/html,text/html",
        "text/html charset=utf-8",
        '"text/html"',
        "html",
        "text/*",
        "none",
        "content/unknown",
        "charset=utf-8",
        "text/xml",
        "application/vnd.wap.xhtml+xml",
    ],
)
def test_a_type_that_says_nothing_is_told_by_the_bytes(tmp_path: Path, kind: str) -> None:
    (found,) = records(tmp_path, "a.warc", response("http://a.org/", PAGE, f"Content-Type: {kind}".encode()))
    assert isinstance(found, Raw)
    assert found.html


def test_xml_that_is_no_page_is_none(tmp_path: Path) -> None:
    feed = b"<?xml version='1.0'?><rss><title>x</title></rss>"
    (found,) = records(tmp_path, "a.warc", response("http://a.org/", feed, b"Content-Type: text/xml"))
    assert isinstance(found, Skip)


def test_what_stands_before_the_first_record(tmp_path: Path) -> None:
    for before in (b"\r\n\r\n", b"\xef\xbb\xbf", b"\n"):
        assert len(texts(tmp_path, "a.warc", before + response("http://a.org/", PAGE) * 2)) == 2


def test_records_of_warc_0_18(tmp_path: Path) -> None:
    old = response("http://a.org/", PAGE).replace(b"WARC/1.0", b"WARC/0.18")
    assert len(texts(tmp_path, "a.warc", old * 3)) == 3


@pytest.mark.parametrize(
    "content",
    [
        '{"text": "a"}\n\ufeff{"text": "b"}\n',
        '{"text": "a"}\r{"text": "b"}',
        '\x1e{"text": "a"}\n\x1e{"text": "b"}\n',
        '{"text": "a"},\n{"text": "b"},\n',
        '{"text": "a"}{"text": "b"}',
        '{\n "text": "a"\n}\n{\n "text": "b"\n}\n',
        '[{"text": "a"}, {"text": "b"},]',
        '{"version": 1, "data": [{"text": "a"}, {"text": "b"}]}',
    ],
)
def test_json_as_it_is_found(tmp_path: Path, content: str) -> None:
    assert texts(tmp_path, "a.json", content.encode()) == ["a", "b"]


def test_a_list_without_an_end_is_told(tmp_path: Path) -> None:
    one, two, fault = records(tmp_path, "a.json", b'[\n{"text": "a"},\n{"text": "b"}\n')
    assert [found.text for found in (one, two) if isinstance(found, Raw)] == ["a", "b"]
    assert fault == Skip("a.json:3", "truncated: the list has no end")


values = st.recursive(
    st.text() | st.integers() | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.lists(values, min_size=1, max_size=6), st.integers(1, 40), st.sampled_from([None, 1]), st.booleans()
)
def test_values_are_cut_wherever_the_chunks_end(
    given_values: list, size: int, indent: int | None, ascii_alone: bool
) -> None:
    content = json.dumps(given_values, indent=indent, ensure_ascii=ascii_alone).encode("utf-8", "replace")
    chunks = [content[at : at + size] for at in range(0, len(content), size)]
    assert [json.loads(one) for one in values_in(chunks, 1 << 20)] == json.loads(content)


@pytest.mark.parametrize("damaged", ["{", '{"text": "x",', '{"a": {', '{"text": "it', '{"text": "it"'])
@pytest.mark.parametrize("place", [0, 1, 3])
def test_a_damaged_line_costs_itself_alone_wherever_it_stands(
    tmp_path: Path, damaged: str, place: int
) -> None:
    lines = ['{"text": "one"}', '{"text": "two"}', '{"text": "three"}']
    lines.insert(place, damaged)
    found = records(tmp_path, "rows.jsonl", "\n".join(lines).encode())
    assert [one.text for one in found if isinstance(one, Raw)] == ["one", "two", "three"]
    assert len(found) == 4


def test_a_value_that_is_too_long_costs_itself_alone() -> None:
    chunks = [b'[{"a": "', b"x" * 3000, b'"}, {"b": [', b"1, " * 900, b"1]}, {", b'"c": 1}, {"d":']
    assert list(values_in(chunks, 100)) == ["value too long", "value too long", b'{"c": 1}', b'{"d":']


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", 'id;text\n1;"a; b"\n'),
        ("a.csv", 'sep=;\nid;text\n1;"a; b"\n'),
        ("a.csv", "id\ttext\n1\ta; b\n"),
        ("a.csv", "id|text\n1|a; b\n"),
        ("a.tsv", "id,text\n1,a; b\n"),
        ("a.csv", "id, text,\n1,a; b,,\n"),
    ],
)
def test_a_table_with_other_signs_between_cells(tmp_path: Path, name: str, content: str) -> None:
    assert [text.strip() for text in texts(tmp_path, name, content.encode())] == ["a; b"]


def test_moments_that_python_does_not_have(tmp_path: Path) -> None:
    sink = io.BytesIO()
    table = pa.table(
        {
            "text": ["a", "b"],
            "date": pa.array([2**62, 0], pa.timestamp("us")),
            "other": pa.array([1234567891, 0], pa.timestamp("ns", "Nowhere/At all")),
            "day": pa.array([datetime.date(2024, 5, 6), None]),
        }
    )
    pq.write_table(table, sink)
    first, second = records(tmp_path, "a.parquet", sink.getvalue())
    assert isinstance(second, Raw)
    assert second.date.startswith("1970-01-01")
    assert isinstance(first, Raw)


def test_a_damaged_row_group_costs_itself_alone(tmp_path: Path) -> None:
    sink = io.BytesIO()
    pq.write_table(
        pa.table({"text": [str(n) * 50 for n in range(9)]}), sink, row_group_size=3, compression="gzip"
    )
    content = bytearray(sink.getvalue())
    place = pq.ParquetFile(io.BytesIO(content)).metadata.row_group(1).column(0).dictionary_page_offset
    content[place : place + 40] = b"\xff" * 40
    found = records(tmp_path, "a.parquet", bytes(content))
    assert sum(isinstance(one, Raw) for one in found) == 6
    (skip,) = [one for one in found if isinstance(one, Skip)]
    assert "3 rows lost" in skip.reason
