"""Reading: every format, and every kind of damage; nothing is lost unsaid and nothing stops a run."""

import bz2
import gzip
import io
import os
import zlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from raw_files import page, prose, response, write_jsonl

from headstart.corpus.readers.read import iterate_raw, read
from headstart.corpus.readers.records import Raw, Skip
from headstart.corpus.readers.sources import Task, find_sources, plan_tasks
from headstart.corpus.readers.storage import Blocks
from headstart.corpus.readers.wiki.wikitext import plain_text
from headstart.errors import HeadstartError


def read_all(*inputs: Path, hosts: dict[str, str] | None = None) -> tuple[list[Raw], list[str]]:
    """The records and the reasons of skips."""
    sources, unknown = find_sources(list(inputs))
    records = [*unknown, *(record for task in plan_tasks(sources) for record in read(task, hosts or {}))]
    raws = [record for record in records if isinstance(record, Raw)]
    return raws, [record.reason for record in records if isinstance(record, Skip)]


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def members(*records: bytes) -> bytes:
    return b"".join(gzip.compress(record, mtime=0) for record in records)


PAGES = [response(f"http://host{n}.org/", page(n).encode()) for n in range(5)]


@pytest.mark.parametrize("packing", ["plain", "members", "one member"])
def test_warc(tmp_path: Path, packing: str) -> None:
    content = {"plain": b"".join(PAGES), "members": members(*PAGES), "one member": members(b"".join(PAGES))}[
        packing
    ]
    path = write(tmp_path / ("a.warc" if packing == "plain" else "a.warc.gz"), content)
    raws, skips = read_all(path, hosts={"host1.*": "first"})
    assert [raw.url for raw in raws] == [f"http://host{n}.org/" for n in range(5)]
    assert [raw.domain for raw in raws] == ["web", "first", "web", "web", "web"]
    assert raws[0].text == page(0)
    assert raws[0].date == "2024-05-06T07:08:09Z"
    assert not skips


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("parts", [1, 2, 3, 7])
def test_parts_of_a_warc_hold_each_record_once(tmp_path: Path, packed: bool, parts: int) -> None:
    path = (
        write(tmp_path / "a.warc.gz", members(*PAGES))
        if packed
        else write(tmp_path / "a.warc", b"".join(PAGES))
    )
    (source,), _ = find_sources([path])
    found = [record for part in range(parts) for record in read(Task((source,), part, parts), {})]
    assert [record.url for record in found if isinstance(record, Raw)] == [
        f"http://host{n}.org/" for n in range(5)
    ]


def test_wet_and_other_records(tmp_path: Path) -> None:
    text = prose(1).encode()
    head = "WARC/1.0\r\nWARC-Type: {}\r\nWARC-Target-URI: http://a.org/\r\n"
    head += "Content-Type: {}\r\nContent-Length: {}\r\n\r\n"
    wet = head.format("conversion", "text/plain", len(text)).encode() + text + b"\r\n\r\n"
    note = head.format("warcinfo", "application/warc-fields", 4).encode() + b"a: b\r\n\r\n"
    picture = response("http://a.org/x.png", b"\x89PNG", b"Content-Type: image/png")
    raws, skips = read_all(write(tmp_path / "a.warc.wet.gz", members(note, wet, picture)))
    assert [(raw.text, raw.html, raw.page) for raw in raws] == [(prose(1), False, True)]
    assert skips == ["neither HTML nor text"]


@pytest.mark.parametrize("packed", [True, False])
def test_broken_records_cost_only_themselves(tmp_path: Path, packed: bool) -> None:
    body = page(9).encode()
    bad = [
        (response("http://long.org/", body, length=10**6), "truncated WARC record"),
        (response("http://short.org/", body, length=100), "wrong WARC record length"),
        (b"WARC/1.0\r\nno length\r\n\r\n\r\n\r\n", "broken WARC header"),
    ]
    records = [PAGES[0], bad[0][0], PAGES[1], bad[1][0], PAGES[2], bad[2][0], PAGES[3]]
    path = (
        write(tmp_path / "a.warc.gz", members(*records))
        if packed
        else write(tmp_path / "a.warc", b"".join(records))
    )
    raws, skips = read_all(path)
    assert [raw.url for raw in raws] == [f"http://host{n}.org/" for n in range(4)]
    assert skips == [reason for _, reason in bad]


def test_a_wrong_length_that_swallows_a_whole_record(tmp_path: Path) -> None:
    long = response("http://long.org/", page(9).encode(), length=len(page(9)) + 300)
    raws, skips = read_all(write(tmp_path / "a.warc", PAGES[0] + long + PAGES[1] + PAGES[2]))
    assert [raw.url[7:12] for raw in raws] == ["host0", "host1", "host2"]
    assert skips == ["wrong WARC record length"]


def test_damaged_gzip_members(tmp_path: Path) -> None:
    first, second, third = (gzip.compress(record, mtime=0) for record in PAGES[:3])
    damaged = second[:-6] + b"\0\0" + second[-4:]  # its checksum
    raws, skips = read_all(write(tmp_path / "a.warc.gz", first + damaged + b"noise" + third + second[:-20]))
    assert [raw.url for raw in raws] == ["http://host0.org/", "http://host2.org/"]
    assert skips == ["broken gzip", "truncated gzip"]


def test_http_damage_and_encodings(tmp_path: Path) -> None:
    umlaut = "<p>Grüße aus Köln und Düsseldorf</p>"
    records = [
        response(
            "http://latin.org/", umlaut.encode("latin-1"), b"Content-Type: text/html; charset=iso-8859-1"
        ),
        response(
            "http://meta.org/",
            b"<meta charset=windows-1252>" + umlaut.encode("cp1252"),
            b"Content-Type: text/html",
        ),
        response("http://wrong.org/", umlaut.encode(), b"Content-Type: text/html; charset=utf-16"),
        response(
            "http://zip.org/",
            gzip.compress(umlaut.encode()),
            b"Content-Type: text/html\r\nContent-Encoding: gzip",
        ),
        response("http://odd.org/", umlaut.encode("latin-1"), b"Content-Type: text/html; charset=no-such"),
        response("http://gone.org/", b"x").replace(b"200 OK", b"404 No"),
        response("http://empty.org/", b""),
        response("http://bad.org/", b"not gzip at all", b"Content-Type: text/html\r\nContent-Encoding: gzip"),
    ]
    raws, skips = read_all(write(tmp_path / "a.warc.gz", members(*records)))
    assert [raw.url for raw in raws if "Grüße" in raw.text] == [
        f"http://{name}.org/" for name in ("latin", "meta", "wrong", "zip", "odd")
    ]
    assert sum(map(len, (raws, skips))) == len(records)
    assert skips[:2] == ["HTTP status 404", "empty payload"]


def test_text_and_html_files(tmp_path: Path) -> None:
    books = tmp_path / "books"
    books.mkdir()
    write(books / "a.txt.gz", gzip.compress(b"one") + gzip.compress(b" two"))
    write(books / "b.md", "\ufeffKöln".encode())
    write(books / "c.html", page(1).encode())
    write(books / "d.txt", "Köln am Rhein, schöne Straße".encode("latin-1"))
    write(books / "e.txt.zst", zstandard.compress(b"packed"))
    raws, skips = read_all(books)
    assert [raw.text for raw in raws] == [
        "one two",
        "Köln",
        page(1),
        "Köln am Rhein, schöne Straße",
        "packed",
    ]
    assert [raw.domain for raw in raws] == ["books", "books", "web", "books", "books"]
    assert [raw.source for raw in raws][:2] == ["books/a.txt.gz", "books/b.md"]
    assert not skips


def test_jsonl_fields(tmp_path: Path) -> None:
    rows = [
        {"text": "a", "id": 7, "url": "http://x.org/y", "language": "en-US", "date": "2020", "label": "spam"},
        {"text": "b", "source": "letters"},
        {"html": "<p>c"},
    ]
    for name in ("r.jsonl", "r.jsonl.gz"):
        first, second, third = read_all(write_jsonl(tmp_path / name, rows))[0]
        assert (first.id, first.url, first.language, first.date) == ("7", "http://x.org/y", "en", "2020")
        assert (first.domain, first.page, first.metadata) == ("web", True, {"label": "spam"})
        assert (second.domain, second.page, second.source) == ("letters", False, f"{name}:2")
        assert (third.html, third.domain) == (True, "web")


def test_jsonl_damage(tmp_path: Path) -> None:
    lines = [
        b'{"text": "ok"}',
        b"{",
        b"[1]",
        b'{"text": 5}',
        b'{"no": 1}',
        b'{"text": " "}',
        b'{"text": "\xff"}',
        b"",
    ]
    raws, skips = read_all(write(tmp_path / "a.jsonl", b"\n".join(lines)))
    assert [raw.text for raw in raws] == ["ok"]
    assert skips == [
        "invalid JSON",
        "not a JSON object",
        "text is not a string",
        "no text or html field",
        "empty text",
        "invalid UTF-8",
    ]


def test_truncated_gzip_keeps_what_came_before(tmp_path: Path) -> None:
    rows = [{"text": prose(n)} for n in range(50)]
    whole = write_jsonl(tmp_path / "a.jsonl.gz", rows).read_bytes()
    raws, skips = read_all(write(tmp_path / "b.jsonl.gz", whole[: len(whole) // 2]))
    assert 5 < len(raws) < 50
    assert skips[-1] == "truncated gzip"
    assert read_all(write(tmp_path / "c.jsonl.gz", b"this is not gzip"))[1] == ["invalid JSON"]


def test_binary_empty_and_unknown_files(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", b"\x7fELF\0\0\0" + bytes(range(256)) * 20)
    write(tmp_path / "b.txt", b"\0\1\2" * 100)
    write(tmp_path / "c.txt", b"")
    write(tmp_path / "d.txt", b" \n\n ")
    write(tmp_path / "e.docx", b"x")
    write(tmp_path / "f.parquet", b"PAR1 nonsense")
    raws, skips = read_all(tmp_path)
    assert not raws
    assert sorted(skip.split(":")[0] for skip in skips) == [
        "binary file",
        "binary file",
        "broken Parquet",
        "empty file",
        "empty file",
        "unknown file extension",
    ]


def test_parquet(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["a", None, "c"], "domain": ["x", "y", "z"]}), path, row_group_size=2)
    raws, skips = read_all(path)
    assert [(raw.text, raw.domain, raw.source) for raw in raws] == [
        ("a", "x", "a.parquet:0.0"),
        ("c", "z", "a.parquet:1.0"),
    ]
    assert skips == ["no text or html field"]


def test_large_jsonl_is_split_and_each_line_read_once(tmp_path: Path) -> None:
    rows = [
        {"text": f"{n} " + zlib.crc32(str(n).encode()).to_bytes(4, "big").hex() * 250} for n in range(2_500)
    ]
    (source,), _ = find_sources([write_jsonl(tmp_path / "a.jsonl", rows)])
    tasks = plan_tasks([source])
    assert len(tasks) > 1
    found = [
        int(record.text.split()[0]) for task in tasks for record in read(task, {}) if isinstance(record, Raw)
    ]
    assert sorted(found) == list(range(2_500))


def test_iterate_raw_gives_payloads(tmp_path: Path) -> None:
    path = write(tmp_path / "a.warc.gz", members(*PAGES[:2]))
    assert list(iterate_raw([path])) == [page(0), page(1)]


def test_input_that_is_not_there_or_of_no_kind(tmp_path: Path) -> None:
    with pytest.raises(HeadstartError, match="there is no input"):
        find_sources([tmp_path / "missing"])
    with pytest.raises(HeadstartError, match="nothing to read"):
        find_sources([tmp_path])
    with pytest.raises(HeadstartError, match=r"did you mean '\.jsonl'"):
        find_sources([write(tmp_path / "a.jsonlx", b"{}")])
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "a.txt").symlink_to(tmp_path / "nowhere")
    with pytest.raises(HeadstartError, match="cannot read"):
        find_sources([tmp_path / "a.txt"])
    write(tmp_path / "b.txt", b"b")
    (tmp_path / "c.txt").symlink_to(tmp_path / "c.txt")
    os.mkfifo(tmp_path / "d.txt")
    sources, skipped = find_sources([tmp_path])
    assert [source.label for source in sources] == [f"{tmp_path.name}/b.txt"]
    assert {skip.source.rpartition("/")[2]: skip.reason for skip in skipped} == {
        "a.jsonlx": "unknown file extension",
        "a.txt": "cannot be read: no such file or directory",
        "c.txt": "cannot be read: too many levels of symbolic links",
        "d.txt": "cannot be read: not a regular file",
    }


# More formats


def arc(*pages: tuple[str, bytes]) -> list[bytes]:
    """ARC records: the file's description, then what servers answered."""
    about = b"1 0 test\nURL IP-address Archive-date Content-type Archive-length\n"
    records = [b"filedesc://a.arc 0.0.0.0 20100203040506 text/plain %d\n%b\n" % (len(about), about)]
    for url, html in pages:
        body = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + html
        records.append(b"%b 1.2.3.4 20100203040506 text/html %d\n%b\n" % (url.encode(), len(body), body))
    return records


@pytest.mark.parametrize("packed", [True, False])
def test_arc(tmp_path: Path, packed: bool) -> None:
    records = arc(*((f"http://host{n}.org/a?b=c", page(n).encode()) for n in range(4)))
    records[2] = records[2].replace(b"text/html 1", b"text/html 9", 1)  # a wrong length
    content = members(*records) if packed else b"".join(records)
    path = write(tmp_path / ("a.arc.gz" if packed else "a.arc"), content)
    raws, skips = read_all(path)
    assert [raw.url for raw in raws] == [f"http://host{n}.org/a?b=c" for n in (0, 2, 3)]
    assert raws[0].text == page(0)
    assert raws[0].date == "2010-02-03T04:05:06Z"
    assert skips == ["truncated ARC record"]
    (source,), _ = find_sources([path])
    for parts in (2, 5):
        found = [record for part in range(parts) for record in read(Task((source,), part, parts), {})]
        assert [record.source for record in found if isinstance(record, Raw)] == [raw.source for raw in raws]


@pytest.mark.parametrize("dictionary", [False, True])
def test_zstd_warc(tmp_path: Path, dictionary: bool) -> None:
    """Frames of a record each, and as the Internet Archive has them, with a dictionary before them."""
    head, trained = b"", None
    if dictionary:
        trained = zstandard.ZstdCompressionDict(b"".join(PAGES) * 4, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
        content = trained.as_bytes()
        head = b"\x5d\x2a\x4d\x18" + len(content).to_bytes(4, "little") + content
    packer = zstandard.ZstdCompressor(dict_data=trained, write_checksum=True)
    frames = [packer.compress(record) for record in PAGES]
    frames[3] = frames[3][:-4] + bytes(4)  # its checksum
    path = write(tmp_path / "a.warc.zst", head + b"".join(frames) + frames[0][:-9])
    raws, skips = read_all(path)
    assert [raw.url for raw in raws] == [f"http://host{n}.org/" for n in (0, 1, 2, 4)]
    assert skips == ["broken zstd", "truncated zstd"]
    (source,), _ = find_sources([path])
    found = [record for part in range(3) for record in read(Task((source,), part, 3), {})]
    assert [record.source for record in found if isinstance(record, Raw)] == [raw.source for raw in raws]


def test_csv_and_tsv(tmp_path: Path) -> None:
    rows = 'key,body,lang\n1,"two\nlines, ""quoted""",EN\n2,,en\n3,x\n4,"four",de\n'
    write(tmp_path / "a.csv", rows.encode())
    fields = {"text": "body", "id": "key", "language": "lang"}
    (source,), _ = find_sources([tmp_path / "a.csv"])
    first, empty, short, last = read(Task((source,), 0, 1), {}, fields)
    assert isinstance(first, Raw)
    assert (first.text, first.id, first.language) == ('two\nlines, "quoted"', "1", "en")
    assert (first.source, first.metadata) == ("a.csv:2", {})
    assert empty == Skip("a.csv:4", "empty text")
    assert short == Skip("a.csv:5", "2 cells under 3 names")
    assert isinstance(last, Raw)
    raws, skips = read_all(
        write(tmp_path / "b.tsv.gz", gzip.compress(b"text\tn\na, b\t1\n")),
        write(tmp_path / "c.csv", b"x,y\n1,2\n"),
    )
    assert [(raw.text, raw.metadata) for raw in raws] == [("a, b", {"n": "1"})]
    assert skips == ["no text or html column among 'x', 'y': fields={text: NAME} reads another"]


def test_a_reason_names_the_field_that_may_hold_the_text(tmp_path: Path) -> None:
    rows = [{"doc": f"d{n}", "content": "Once upon a time.", "stars": n} for n in range(3)]
    path = write_jsonl(tmp_path / "a.jsonl", rows)
    reason = "no text or html field; the longest string is in 'content': fields={text: content} reads it"
    assert read_all(path) == ([], [reason] * 3)
    sources, _ = find_sources([path])
    named = list(read(Task(tuple(sources), 0, 1), {}, {"text": "content"}))
    assert [raw.text for raw in named if isinstance(raw, Raw)] == ["Once upon a time."] * 3
    assert read_all(write_jsonl(tmp_path / "b.jsonl", [{"stars": 1}])) == ([], ["no text or html field"])


def test_fields_may_have_other_names(tmp_path: Path) -> None:
    rows = [{"body": "a", "meta": {"link": "http://a.org", "key": 3}, "text": "not this"}, {"text": "b"}]
    sources, _ = find_sources([write_jsonl(tmp_path / "a.jsonl", rows)])
    pq.write_table(
        pa.table({"body": ["c"], "meta": [{"link": "http://c.org", "key": "9"}]}), tmp_path / "b.parquet"
    )
    sources += find_sources([tmp_path / "b.parquet"])[0]
    fields = {"text": "body", "url": "meta.link", "id": "meta.key"}
    records = list(read(Task(tuple(sources), 0, 1), {}, fields))
    raws = [record for record in records if isinstance(record, Raw)]
    assert [(raw.text, raw.url, raw.id) for raw in raws] == [
        ("a", "http://a.org", "3"),
        ("c", "http://c.org", "9"),
    ]
    assert [record for record in records if isinstance(record, Skip)] == [
        Skip("a.jsonl:2", "no body or html field")
    ]


def test_parts_of_a_parquet_file_cut_through_its_row_groups(tmp_path: Path) -> None:
    texts = [f"text {n}" for n in range(1_000)]
    pq.write_table(pa.table({"text": texts}), tmp_path / "a.parquet", row_group_size=700)
    (source,), _ = find_sources([tmp_path / "a.parquet"])
    found = [record for part in range(7) for record in read(Task((source,), part, 7), {})]
    assert [record.text for record in found if isinstance(record, Raw)] == texts
    assert len({record.source for record in found}) == 1_000


DUMP = """<mediawiki><siteinfo/>
<page><title>Cat</title><ns>0</ns><id>7</id><revision><timestamp>2024-01-02T03:04:05Z</timestamp>
<text>{{Infobox|a={{b}}}}'''Cats''' are [[animal]]s&lt;ref&gt;x&lt;/ref&gt;, of the [[cat family|family]].

== Life ==
* sleep
* [[File:c.jpg|thumb|A [[cat]] asleep]]eat
{| class="x"
| a {{t}} || b
|}
See [https://a.org the site].&lt;!-- hidden --&gt;[[Category:Cats]]</text></revision></page>
<page><title>Talk:Cat</title><ns>1</ns><id>8</id><revision><text>hi</text></revision></page>
<page><title>Kit</title><ns>0</ns><id>9</id><redirect title="Cat"/><revision><text>x</text></revision></page>
<page><title>Bad</title><ns>0</ns><id>10</id><revision><text>a < b</text></revision></page>
<page><title>Dog</title><ns>0</ns><id>11</id><revision><text>Dogs bark.</text></revision></page>
</mediawiki>
"""


@pytest.mark.parametrize("name", ["a.xml", "a.xml.bz2"])
def test_mediawiki(tmp_path: Path, name: str) -> None:
    content = DUMP.encode()
    path = write(
        tmp_path / name,
        bz2.compress(content[:900]) + bz2.compress(content[900:]) if "bz2" in name else content,
    )
    raws, skips = read_all(path)
    assert [(raw.id, raw.metadata["title"]) for raw in raws] == [("7", "Cat"), ("11", "Dog")]
    assert raws[0].text == "Cats are animals, of the family.\n\nLife\n- sleep\n- eat\n\nSee the site."
    assert raws[0].date == "2024-01-02T03:04:05Z"
    assert [skip.split(":")[0] for skip in skips] == ["not an article", "redirect", "broken XML"]
    assert read_all(write(tmp_path / "feed.xml", b"<rss></rss>"))[1] == ["no page of a MediaWiki dump in it"]


def test_patterns(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt", "c.md", "d.bin"):
        write(tmp_path / name, name.encode())
    raws, skips = read_all(tmp_path / "?.*")
    assert [raw.text for raw in raws] == ["a.txt", "b.txt", "c.md"]
    assert skips == ["unknown file extension"]
    with pytest.raises(HeadstartError, match="no file matches"):
        find_sources([tmp_path / "*.jsonl"])


def test_addresses_that_fsspec_knows(tmp_path: Path) -> None:
    memory = pytest.importorskip("fsspec").filesystem("memory")
    content = {
        "a.warc.gz": members(*PAGES),
        "b.jsonl": b"".join(b'{"text": "%d"}\n' % n for n in range(50)),
        "c.txt.zst": zstandard.compress(b"packed"),
        "plain.warc": b"".join(PAGES),
    }
    local = tmp_path / "bucket"
    local.mkdir()
    for name, one in content.items():
        memory.pipe(f"/bucket/{name}", one)
        write(local / name, one)
    pq.write_table(pa.table({"text": ["p", "q"]}), local / "d.parquet")
    memory.pipe("/bucket/d.parquet", (local / "d.parquet").read_bytes())

    def everything(address: str, parts: int) -> list[tuple[str, str]]:
        sources, _ = find_sources([address])
        found = [
            record
            for one in sources
            for part in range(parts)
            for record in read(Task((one,), part, parts), {})
        ]
        return sorted((record.source, record.text) for record in found if isinstance(record, Raw))

    for parts in (1, 3):
        assert everything("memory://bucket", parts) == everything(str(local), parts)
    assert len(everything("memory://bucket/*.jsonl", 2)) == 50
    assert everything(f"file://{local}/c.txt.zst", 1) == [("c.txt.zst", "packed")]
    for wrong, message in (("memory://bucket/no.txt", "cannot list"), ("nothing://x", "cannot open")):
        with pytest.raises(HeadstartError, match=message):
            find_sources([wrong])
    memory.rm("/bucket", recursive=True)


@given(
    content=st.binary(max_size=200),
    start=st.integers(0, 220),
    stop=st.integers(0, 220),
    wanted=st.binary(min_size=1, max_size=4),
)
def test_a_remote_file_looks_like_its_bytes(content: bytes, start: int, stop: int, wanted: bytes) -> None:
    blocks = Blocks(io.BytesIO(content), block=16, keep=2)
    assert len(blocks) == len(content)
    assert blocks[start:stop] == content[start:stop]
    wanted = content[start : start + 3] or wanted
    assert blocks.find(wanted, start, stop) == content.find(wanted, start, stop)
    assert blocks.find(wanted) == content.find(wanted)


@given(st.text(alphabet="ab[]{}|'=<>/ref\n*:", max_size=80))
def test_wikitext_of_any_kind_is_some_text(text: str) -> None:
    assert isinstance(plain_text(text), str)


def test_wikitext_takes_time_in_proportion() -> None:
    """A megabyte of what is never closed: each of these once took hours in somebody's parser."""
    for part in ("{{", "[[", "<ref>", "<!--", "{|", "[http://a ", "=", "''", "(", "<ref", "[[a|"):
        plain_text(part * (300_000 // len(part)))
