"""Bad input: whatever is in a file, reading goes on, memory is bounded, and every record is accounted for."""

import codecs
import encodings.aliases
import gzip
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from raw_files import page, prose, response, write_jsonl

from headstart.corpus import CorpusRecipe, build, prepare
from headstart.corpus.readers.charsets import decode
from headstart.corpus.readers.read import read
from headstart.corpus.readers.records import MAX_TEXT, Raw, Skip
from headstart.corpus.readers.sources import Task, find_sources
from headstart.corpus_folder import corpus_documents

PAGES = [response(f"http://host{n}.org/", page(n).encode()) for n in range(4)]
ROWS = b"".join(json.dumps({"text": prose(n, 2)}).encode() + b"\n" for n in range(4))
MEMBERS = b"".join(gzip.compress(record, mtime=0) for record in PAGES)


def parquet() -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({"text": [prose(n, 2) for n in range(4)]}), sink, row_group_size=2)
    return sink.getvalue()


WHOLE: dict[str, bytes] = {
    "a.warc": b"".join(PAGES),
    "a.warc.gz": MEMBERS,
    "a.warc.zst": b"".join(zstandard.compress(record) for record in PAGES),
    "a.arc.gz": MEMBERS,
    "a.jsonl": ROWS,
    "a.jsonl.gz": gzip.compress(ROWS, mtime=0),
    "a.csv": b"text,id\n" + b"".join(b'"%b",%d\n' % (prose(n, 2).encode(), n) for n in range(4)),
    "a.parquet": parquet(),
    "a.xml": b"".join(
        b"<page><revision><text>%b</text></revision></page>" % prose(n).encode() for n in range(4)
    ),
    "a.html": page(1).encode(),
    "a.txt.zst": zstandard.compress(prose(1).encode()),
}


def read_all(path: Path, parts: int = 1) -> list[Raw | Skip]:
    (source,), _ = find_sources([path])
    return [record for part in range(parts) for record in read(Task((source,), part, parts), {})]


@st.composite
def damages(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """Cut off, overwrite, insert, repeat or leave out some bytes somewhere."""
    where, length = draw(st.floats(0, 1)), draw(st.integers(0, 300))
    noise = draw(st.binary(max_size=40))
    kind = draw(st.sampled_from(["truncate", "overwrite", "insert", "repeat", "leave out"]))

    def damage(content: bytes) -> bytes:
        at = int(where * len(content))
        head, part, tail = content[:at], content[at : at + length], content[at + length :]
        return {
            "truncate": head,
            "overwrite": head + noise + content[at + len(noise) :],
            "insert": head + noise + part + tail,
            "repeat": head + part + part + tail,
            "leave out": head + tail,
        }[kind]

    return damage


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(sorted(WHOLE)), damage=damages(), parts=st.integers(1, 3))
def test_damage_never_stops_reading(
    tmp_path: Path, name: str, damage: Callable[[bytes], bytes], parts: int
) -> None:
    path = tmp_path / name
    path.write_bytes(damage(WHOLE[name]))
    for record in read_all(path, parts):
        assert isinstance(record, Raw | Skip)
        assert record.source.startswith(name)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(which=st.integers(0, 3), at=st.integers(12, 60), noise=st.binary(min_size=8, max_size=30))
def test_a_damaged_member_costs_only_itself(tmp_path: Path, which: int, at: int, noise: bytes) -> None:
    members = [gzip.compress(record, mtime=0) for record in PAGES]
    members[which] = members[which][:at] + noise + members[which][at + len(noise) :]
    (tmp_path / "a.warc.gz").write_bytes(b"".join(members))
    records = read_all(tmp_path / "a.warc.gz")
    urls = [record.url for record in records if isinstance(record, Raw)]
    others = [f"http://host{n}.org/" for n in range(4) if n != which]
    assert [url for url in urls if url in others] == others
    assert len(records) >= 4


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kinds=st.lists(
        st.sampled_from(["good", "same", "short", "page", "empty", "broken", "no text", "deep", "long"]),
        min_size=1,
        max_size=25,
    )
)
def test_every_document_is_kept_removed_or_skipped(
    tmp_path_factory: pytest.TempPathFactory, kinds: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("counted")
    lines = {
        "good": lambda n: json.dumps({"id": f"d{n}", "text": prose(n)}),
        "same": lambda n: json.dumps({"id": f"d{n}", "text": prose(-1)}),
        "short": lambda n: json.dumps({"id": f"d{n}", "text": "Too short."}),
        "page": lambda n: json.dumps({"id": f"d{n}", "html": page(n)}),
        "empty": lambda n: json.dumps({"id": f"d{n}", "html": "<p></p>"}),
        "broken": lambda n: '{"text": ',
        "no text": lambda n: "{}",
        "deep": lambda n: json.dumps({"html": "<div>" * 5_000}),
        "long": lambda n: json.dumps({"id": f"d{n}", "text": prose(n, 300)}),
    }
    rows = [lines["good"](1_000), *(lines[kind](n) for n, kind in enumerate(kinds))]
    (folder / "a.jsonl").write_text("\n".join(rows))
    manifest = build([folder / "a.jsonl"], folder / "out", CorpusRecipe(extractor="resiliparse"), workers=0)
    skipped = [json.loads(line) for line in (folder / "out" / "skipped.jsonl").read_text().splitlines()]
    assert manifest["funnel"][0]["documents"] + len(skipped) == len(rows)
    assert len(skipped) == sum(kind in ("broken", "no text", "deep") for kind in kinds)
    assert len({skip["source"] for skip in skipped}) == len(skipped)
    kept = [row["id"].partition("#")[0] for row in corpus_documents(folder / "out")]
    gone = [
        identity.partition("#")[0]
        for path in (folder / "out" / "removed").glob("*")
        for identity in pq.read_table(path, columns=["id"])["id"].to_pylist()
    ]
    assert len(gone) == sum(count for rules in manifest["removed"].values() for count in rules.values())
    assert set(kept) | set(gone) == {json.loads(row)["id"] for row in rows if '"id"' in row}


def test_a_page_is_skipped_for_what_is_wrong_with_it(tmp_path: Path) -> None:
    deep = {"html": "<div>" * 5_000, "url": "https://a.org/b"}
    write_jsonl(tmp_path / "a.jsonl", [{"text": prose(1)}, deep])
    manifest = build(
        [tmp_path / "a.jsonl"], tmp_path / "out", CorpusRecipe(extractor="resiliparse"), workers=0
    )
    assert manifest["skipped"] == {"this page nests elements more than 512 deep": 1}


def test_a_table_that_unpacks_to_gigabytes(tmp_path: Path) -> None:
    """A thousand rows that share one text of a megabyte are read; texts that are too long are counted."""
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 1_000, pa.int32()), pa.array(["x" * 1_000_000]))
    pq.write_table(pa.table({"text": column}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"text": ["short", "x" * (MAX_TEXT + 1)]}), tmp_path / "b.parquet")
    (source,), _ = find_sources([tmp_path / "a.parquet"])
    assert sum(isinstance(record, Raw) for record in read(Task((source,), 0, 1), {})) == 1_000
    assert [type(record) for record in read_all(tmp_path / "b.parquet")] == [Raw, Skip]


def test_gzip_in_gzip(tmp_path: Path) -> None:
    twice = {
        "a.jsonl.gz": (gzip.compress(gzip.compress(ROWS)), "binary file"),
        "a.txt.gz": (gzip.compress(gzip.compress(b"text")), "gzip, which is not read"),
        "a.warc.gz": (gzip.compress(gzip.compress(PAGES[0])), "not a WARC record"),
    }
    for name, (content, reason) in twice.items():
        (tmp_path / name).write_bytes(content)
        assert {record.reason for record in read_all(tmp_path / name) if isinstance(record, Skip)} == {reason}
    http = b"Content-Type: text/html\r\nContent-Encoding: gzip, gzip"
    record = response("http://twice.org/", gzip.compress(gzip.compress(page(1).encode())), http)
    (tmp_path / "b.warc").write_bytes(record)
    assert len(read_all(tmp_path / "b.warc")) == 1


def _bomb(size: int) -> bytes:
    packer = zstandard.ZstdCompressor().compressobj()
    return b"".join([packer.compress(bytes(1 << 20)) for _ in range(size >> 20)]) + packer.flush()


BOMBS: dict[str, Callable[[], bytes]] = {
    "text.txt.gz": lambda: gzip.compress(bytes(4 * MAX_TEXT), 1),
    "line.jsonl.zst": lambda: rows_around(_bomb(1 << 30)),
    "member.warc.gz": lambda: gzip.compress(PAGES[0] + bytes(4 * MAX_TEXT), 1) + MEMBERS,
    "frame.warc.zst": lambda: _bomb(1 << 30) + zstandard.compress(PAGES[0]),
    "http.warc": lambda: response(
        "http://bomb.org/",
        gzip.compress(bytes(4 * MAX_TEXT), 1),
        b"Content-Type: text/html\r\nContent-Encoding: gzip",
    ),
}


def rows_around(packed: bytes) -> bytes:
    """Four good lines, one of a gigabyte, and four good ones."""
    return zstandard.compress(ROWS) + packed + zstandard.compress(b"\n" + ROWS)


@pytest.mark.parametrize("name", sorted(BOMBS))
def test_bombs_are_counted_in_bounded_memory(tmp_path: Path, name: str) -> None:
    """Files that unpack to a gigabyte, and lines as long: read under a limit on the process's memory."""
    path = tmp_path / name
    path.write_bytes(BOMBS[name]())
    assert path.stat().st_size < 3_000_000
    script = (
        "import resource, sys; from pathlib import Path\n"
        "from headstart.corpus.readers.read import read\n"
        "from headstart.corpus.readers.records import Raw\n"
        "from headstart.corpus.readers.sources import Task, find_sources\n"
        "(source,), _ = find_sources([Path(sys.argv[1])])\n"
        "lines = open('/proc/self/status').read().split('\\n')\n"
        "(used,) = (int(line.split()[1]) * 1024 for line in lines if line.startswith('VmData'))\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (used + 500_000_000,) * 2)\n"
        "records = list(read(Task((source,), 0, 1), {}))\n"
        "print(sum(isinstance(record, Raw) for record in records))\n"
        "print(*(record.reason for record in records if not isinstance(record, Raw)), sep=',')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    read_whole, reasons = done.stdout.splitlines()
    whole = {"line.jsonl.zst": 8, "member.warc.gz": 4, "frame.warc.zst": 1}
    assert int(read_whole) == whole.get(name, 0)
    expected = {
        "text.txt.gz": "file too large for one text",
        "line.jsonl.zst": "line too long",
        "member.warc.gz": "wrong WARC record length",
        "frame.warc.zst": "not a WARC record",
    }
    assert reasons == expected.get(name, "record too large")


def test_a_plain_line_of_a_gigabyte(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with path.open("wb") as file:
        file.write(5 * ROWS)
        file.seek(1 << 30, 1)  # a hole, which takes no place on the disk
        file.write(b"\n" + 5 * ROWS)
    records = read_all(path, parts=3)
    assert sum(isinstance(record, Raw) for record in records) == 40
    assert [record.reason for record in records if isinstance(record, Skip)] == ["line too long"]


@pytest.mark.parametrize("charset", sorted({*encodings.aliases.aliases.values(), "no-such", "\0", "utf-8"}))
def test_every_charset_declared_wrongly(charset: str) -> None:
    """Valid UTF-8 is read as such whatever was declared; other bytes become some text."""
    text = "Grüße aus Köln, смотри 漢字 \U0001f600"
    assert decode(text.encode(), charset) == (text, True)
    assert decode(codecs.BOM_UTF8 + text.encode(), charset) == (text, True)
    declared = f"<meta charset='{charset}'>".encode()
    for payload in (
        text.encode("utf-16"),
        b"caf\xe9 \x00\xff\x81" * 20,
        bytes(range(256)),
        declared + b"\xff\xfe\xe9",
    ):
        assert isinstance(decode(payload, charset)[0], str)
        assert isinstance(decode(payload)[0], str)
        assert not decode(payload)[1]


HTML = {
    "a million unclosed divs": "<div>" * 1_000_000,
    "a million unclosed inline tags": "<b><i>" * 500_000,
    "a million paragraphs": "<p>x" * 1_000_000,
    "unclosed tables": "<table><tr><td>" * 300_000,
    "entities without end": "&#" * 1_000_000 + "&amp" * 1_000_000 + "&#x" + "f" * 1_000_000,
    "a tag without end": "<a href='" + "x" * 5_000_000,
    "comments without end": "<!--" * 1_000_000,
    "attributes": "<p " + "a=b " * 1_000_000 + ">",
    "zero bytes": "<p>\0" * 1_000_000,
    "closing tags alone": "</div>" * 1_000_000,
    "scripts without end": "<script>" * 500_000,
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(HTML))
def test_html_that_parsers_fear(tmp_path: Path, kind: str) -> None:
    """Under limits of seconds instead of a minute: the page is read or counted, and the others are there."""
    rows = [{"id": "before", "text": prose(1)}, {"html": HTML[kind]}, {"id": "behind", "text": prose(2)}]
    path = write_jsonl(tmp_path / "a.jsonl", rows)
    manifest = build_with(tmp_path, "limits.SECONDS, limits.GRACE = 5, 2", path)
    assert {row["id"] for row in corpus_documents(tmp_path / "out")} >= {"before", "behind"}
    assert manifest["funnel"][0]["documents"] + sum(manifest["skipped"].values()) == 3


def build_with(folder: Path, changes: str, *inputs: Path) -> dict[str, Any]:
    """Build in worker processes that make some changes first; the manifest."""
    script = folder / "script.py"
    script.write_text(
        "import os, sys\nfrom pathlib import Path\n"
        "from headstart.corpus import CorpusRecipe, build, engine, prepare\n"
        "from headstart.corpus.readers import limits\n"
        f"{changes}\n"
        "if __name__ == '__main__':\n"
        "    build([Path(given) for given in sys.argv[2:]], Path(sys.argv[1]), CorpusRecipe(), workers=2)\n"
    )
    command = [sys.executable, str(script), str(folder / "out"), *map(str, inputs)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    manifest: dict[str, Any] = json.loads((folder / "out" / "manifest.json").read_text())
    return manifest


# Limits


def test_python_code_that_takes_too_long_costs_one_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    normalise = prepare.normalise

    def slow(text: str) -> str:
        while "slow" in text:
            pass
        return normalise(text)

    monkeypatch.setattr(prepare, "normalise", slow)
    monkeypatch.setattr("headstart.corpus.readers.limits.SECONDS", 0.2)
    rows = [{"id": f"d{n}", "text": prose(n) + (" slow" if n == 1 else "")} for n in range(3)]
    manifest = build([write_jsonl(tmp_path / "a.jsonl", rows)], tmp_path / "out", CorpusRecipe(), workers=0)
    assert {row["id"] for row in corpus_documents(tmp_path / "out")} == {"d0", "d2"}
    assert list(manifest["skipped"].values()) == [1]


def test_native_code_that_hangs_or_crashes_costs_its_records(tmp_path: Path) -> None:
    """In two tasks and at three records of one of them: a worker that ends costs no more than it was at."""
    rows = [{"id": f"a{n}", "text": prose(n)} for n in range(6)]
    for n, word in ((1, "hangs"), (2, "crashes"), (4, "hoards")):
        rows[n]["text"] += f" {word}"
    first = write_jsonl(tmp_path / "a.jsonl", rows)
    large = [{"id": f"b{n}", "text": prose(900 + n, 40)} for n in range(500)]
    large[7]["text"] += " crashes"
    second = write_jsonl(tmp_path / "b.jsonl", large)
    changes = (
        "normalise = prepare.normalise\n"
        "def bad(text):\n"
        "    if 'hangs' in text:\n        sum(range(10**13))\n"
        "    if 'crashes' in text:\n        os.abort()\n"
        "    if 'hoards' in text:\n        bytearray(4 << 30)\n"
        "    return normalise(text)\n"
        "def run_step(*given):\n    prepare.normalise = bad\n    return original(*given)\n"
        "limits.SECONDS, limits.GRACE = 0.5, 0.5\n"
        "original, engine.run_step = engine.run_step, run_step\n"
    )
    manifest = build_with(tmp_path, changes, first, second)
    skipped = [json.loads(line) for line in (tmp_path / "out" / "skipped.jsonl").read_text().splitlines()]
    reasons = {skip["source"]: skip["reason"] for skip in skipped}
    assert [reasons.pop(f"a.jsonl:{n}") for n in (2, 3, 5)] == [
        "it ended the process twice",
        "it ended the process twice",
        "it took too much memory",
    ]
    assert list(reasons.values()) == ["it ended the process twice"]
    assert manifest["funnel"][0]["documents"] == 6 + 500 - 4
