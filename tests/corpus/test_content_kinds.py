"""Content that is no text or no page is skipped with its kind, whatever its name or its server says."""

import gzip
import json
import lzma
import random
import zlib
from pathlib import Path

import brotli
import pytest
import zstandard
from raw_files import page, response

from headstart.corpus.readers.http_messages import charset, media_type
from headstart.corpus.readers.read import read
from headstart.corpus.readers.records import Raw, Skip
from headstart.corpus.readers.sources import find_sources, plan_tasks

PAGE = page(1).encode()
NOISE = random.Random(1).randbytes(4_000)
FEED = b'<?xml version="1.0"?><!-- made by x --><rss version="2.0"><channel><title>T</title></channel></rss>'
SITEMAP = (
    b'\xef\xbb\xbf<?xml version="1.0"?>\n<urlset xmlns="x"><url><loc>http://a.org/1</loc></url></urlset>'
)


def record(tmp_path: Path, name: str, content: bytes) -> Raw | Skip:
    (tmp_path / name).write_bytes(content)
    sources, _ = find_sources([tmp_path / name])
    (found,) = [one for task in plan_tasks(sources) for one in read(task, {})]
    return found


def answered(tmp_path: Path, body: bytes, *fields: str) -> Raw | Skip:
    head = "\r\n".join(fields or ["Content-Type: text/html"]).encode()
    return record(tmp_path, "a.warc", response("http://a.org/", body, head))


@pytest.mark.parametrize("name", ["a.html", "a.txt", "a.md", "a.warc"])
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"%PDF-1.4\n%\xe2\xe3\n1 0 obj << /Length 9 >> stream", "PDF, which is not read"),
        (b"%!PS-Adobe-3.0\n(Hello) show", "PostScript, which is not read"),
        (rb"{\rtf1\ansi Hello \b world\b0 \par}", "RTF, which is not read"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF" + NOISE, "JPEG, which is not read"),
        (b"PK\x03\x04" + NOISE, "zip, which is not read"),
        (b"GIF89a\x20\x00\x20\x00" + NOISE, "GIF, which is not read"),
        (NOISE.replace(b"\0", b""), "binary"),
    ],
)
def test_what_is_no_text_is_skipped_with_its_kind(
    tmp_path: Path, name: str, content: bytes, reason: str
) -> None:
    found = answered(tmp_path, content) if name == "a.warc" else record(tmp_path, name, content)
    assert isinstance(found, Skip)
    assert found.reason.startswith(reason)


@pytest.mark.parametrize("name", ["a.html", "a.warc"])
@pytest.mark.parametrize(
    ("content", "kind"), [(FEED, "<rss>"), (SITEMAP, "<urlset>"), (b'\n{"items": [1, "a"]}', "JSON")]
)
def test_data_that_was_sent_as_a_page_is_none(tmp_path: Path, name: str, content: bytes, kind: str) -> None:
    found = answered(tmp_path, content) if name == "a.warc" else record(tmp_path, name, content)
    assert isinstance(found, Skip)
    assert kind in found.reason


def test_binary_html_of_a_row_is_none(tmp_path: Path) -> None:
    found = record(tmp_path, "a.jsonl", json.dumps({"html": NOISE.decode("latin-1")}).encode())
    assert found == Skip("a.jsonl:1", "binary html")


@pytest.mark.parametrize(
    "content",
    [
        PAGE + b"\0" * 9_000,
        PAGE.replace(b"Page", b"Pa\0ge", 3),
        b"<!-- {} --><!-- <rss> -->" + PAGE,
        b"{% raw %}" + PAGE,
        b"[1] " + PAGE,
        b"<p>%PDF-1.4 is how a PDF begins.</p>",
        PAGE.decode().encode("utf-16"),
    ],
)
def test_what_is_a_page_stays_one(tmp_path: Path, content: bytes) -> None:
    assert isinstance(answered(tmp_path, content), Raw)


@pytest.mark.parametrize(
    "text", ["FWS says\n\nmore", "CWS - 漢字", "GIF89a is a format", "wOFF no", "RIFF raff WAVE"]
)
def test_a_text_may_begin_as_a_file_of_another_kind_nearly_does(tmp_path: Path, text: str) -> None:
    assert isinstance(record(tmp_path, "a.txt", text.encode()), Raw)


def test_a_manual_with_letters_struck_twice_is_a_text(tmp_path: Path) -> None:
    assert isinstance(record(tmp_path, "man.txt", b"N\x08NA\x08AM\x08ME\x08E\n  \x1b[1mls\x1b[0m\x0c\n"), Raw)


def chunked(body: bytes) -> bytes:
    return b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        (["Content-Encoding: gzip", "Content-Encoding: br"], brotli.compress(gzip.compress(PAGE))),
        (["Content-Encoding: gzip", "Content-Encoding: gzip"], gzip.compress(PAGE)),
        (["Transfer-Encoding: deflate, chunked"], chunked(zlib.compress(PAGE))),
        (["Transfer-Encoding: gzip", "Transfer-Encoding: chunked"], chunked(gzip.compress(PAGE))),
        (
            ["Content-Encoding: br", "Transfer-Encoding: gzip, chunked"],
            chunked(gzip.compress(brotli.compress(PAGE))),
        ),
        (["Content-Encoding: gzip"], gzip.compress(gzip.compress(PAGE))),
        (["Content-Encoding: br"], zstandard.compress(gzip.compress(PAGE))),
        (["Content-Encoding: compress"], PAGE),
        (["Content-Encoding: gzip"], PAGE.decode().encode("utf-16")),
    ],
)
def test_codings_are_undone_in_whatever_fields_they_stand(
    tmp_path: Path, fields: list[str], body: bytes
) -> None:
    found = answered(tmp_path, body, "Content-Type: text/html", *fields)
    assert isinstance(found, Raw)
    assert found.text == PAGE.decode()


@pytest.mark.parametrize(
    ("coding", "body"), [("xz", lzma.compress(PAGE)), ("dcb", b"\xffDCB" + NOISE), ("compress", NOISE)]
)
def test_a_coding_that_is_not_read_is_named(tmp_path: Path, coding: str, body: bytes) -> None:
    found = answered(tmp_path, body, "Content-Type: text/html", f"Content-Encoding: {coding}")
    assert isinstance(found, Skip)
    assert found.reason == f"content coding {coding}, which is not read"


@pytest.mark.parametrize(
    ("given", "kind", "label"),
    [
        ("text/html, text/html; charset=koi8-r", "text/html", "koi8-r"),
        ("text/html; charset=koi8-r, text/html", "text/html", "koi8-r"),
        ("text/plain; charset=koi8-r, text/html", "text/html", None),
        ("text/html; charset=koi8-r, */*", "text/html", "koi8-r"),
        ("html, text/html", "text/html", None),
    ],
)
def test_of_several_types_the_last_one_holds(given: str, kind: str, label: str | None) -> None:
    assert (media_type(given), charset(given)) == (kind, label)


def test_a_type_in_two_fields(tmp_path: Path) -> None:
    body = PAGE.replace(b"Page", "слово".encode("koi8-r"))
    found = answered(tmp_path, body, "Content-Type: text/html", "Content-Type: text/html; charset=koi8-r")
    assert isinstance(found, Raw)
    assert "слово" in found.text


def test_a_page_that_was_sent_as_plain_text_is_a_page(tmp_path: Path) -> None:
    for body in (PAGE, b"\n<!DOCTYPE HTML>\n" + PAGE):
        found = answered(tmp_path, body, "Content-Type: text/plain")
        assert isinstance(found, Raw)
        assert found.html
    found = answered(tmp_path, b"<p> opens a paragraph of HTML.", "Content-Type: text/plain")
    assert isinstance(found, Raw)
    assert not found.html


def test_a_resource_may_be_packed(tmp_path: Path) -> None:
    body = gzip.compress(PAGE)
    head = "WARC/1.1\r\nWARC-Type: resource\r\nWARC-Target-URI: ftp://a.org/\r\nContent-Type: text/html\r\n"
    content = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body + b"\r\n\r\n"
    found = record(tmp_path, "a.warc", content)
    assert isinstance(found, Raw)
    assert found.text == PAGE.decode()
