"""Whatever is damaged: a record is read, or there is a line that says why not."""

import bz2
import gzip
import io
import json
import lzma
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from raw_files import page, prose, response

from headstart.corpus import CorpusRecipe, build
from headstart.corpus.readers.read import read
from headstart.corpus.readers.records import Raw, Skip
from headstart.corpus.readers.sources import Task, find_sources

COUNT = 12
TEXTS = [prose(n, 3) for n in range(COUNT)]
PAGES = [response(f"http://h{n}.org/", page(n).encode()) for n in range(COUNT)]


def table(delimiter: str) -> bytes:
    rows = [f"{n}{delimiter}{text}" for n, text in enumerate(TEXTS)]
    return "\n".join([f"id{delimiter}text", *rows]).encode()


def parquet() -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({"text": TEXTS}), sink, row_group_size=3, compression="none")
    return sink.getvalue()


def dump() -> bytes:
    pages = "".join(
        f"<page><title>T{n}</title><ns>0</ns><id>{n}</id><revision><text>{text}</text></revision></page>\n"
        for n, text in enumerate(TEXTS)
    )
    return f"<mediawiki>\n{pages}</mediawiki>\n".encode()


def arc() -> bytes:
    records = [b"filedesc://a.arc 0.0.0.0 20240101000000 text/plain 8\n1 0 AA\n\n\n"]
    for n in range(COUNT):
        body = b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n" + page(n).encode()
        head = f"http://h{n}.org/ 1.2.3.4 20240101000000 text/html {len(body)}\n"
        records.append(head.encode() + body + b"\n")
    return b"".join(records)


LINES = "\n".join(json.dumps({"id": str(n), "text": text}) for n, text in enumerate(TEXTS)).encode()
FORMATS: dict[str, bytes] = {
    "a.jsonl": LINES,
    "b.json": json.dumps([{"text": text} for text in TEXTS]).encode(),
    "a.csv": table(","),
    "a.tsv": table("\t"),
    "a.warc": b"".join(PAGES),
    "a.warc.gz": b"".join(gzip.compress(record, mtime=0) for record in PAGES),
    "b.warc.gz": gzip.compress(b"".join(PAGES), mtime=0),
    "a.warc.zst": b"".join(zstandard.compress(record) for record in PAGES),
    "a.warc.bz2": bz2.compress(b"".join(PAGES)),
    "a.warc.xz": lzma.compress(b"".join(PAGES)),
    "a.arc": arc(),
    "a.jsonl.gz": gzip.compress(LINES, mtime=0),
    "a.jsonl.zst": zstandard.compress(LINES),
    "a.jsonl.bz2": bz2.compress(LINES),
    "a.jsonl.xz": lzma.compress(LINES),
    "a.parquet": parquet(),
    "a.xml": dump(),
    "a.xml.bz2": bz2.compress(dump()),
}


def counted(path: Path, parts: int = 1) -> tuple[int, list[str]]:
    """How many records there are, and why others are not."""
    (source,), skipped = find_sources([path])
    found: list[Raw | Skip] = [*skipped]
    for part in range(parts):
        found += read(Task((source,), part, parts), {})
    return (
        sum(isinstance(one, Raw) for one in found),
        [one.reason for one in found if isinstance(one, Skip)],
    )


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("parts", [1, 3])
def test_what_is_whole_is_read_whole(tmp_path: Path, name: str, parts: int) -> None:
    path = tmp_path / name
    path.write_bytes(FORMATS[name])
    if name.endswith((".warc.bz2", ".warc.xz")):
        parts = 1  # as `plan_tasks` has it
    assert counted(path, parts) == (COUNT, [])


def cut(content: bytes, place: int, size: int, put: bytes) -> bytes:
    return content[:place] + content[place + size :]


def flipped(content: bytes, place: int, size: int, put: bytes) -> bytes:
    other = bytes(byte ^ 0x55 for byte in content[place : place + size])
    return content[:place] + other + content[place + size :]


def truncated(content: bytes, place: int, size: int, put: bytes) -> bytes:
    return content[:place]


def inserted(content: bytes, place: int, size: int, put: bytes) -> bytes:
    return content[:place] + put + content[place:]


@settings(max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(sorted(FORMATS)),
    st.sampled_from([cut, flipped, truncated, inserted]),
    st.floats(0, 1, exclude_max=True),
    st.integers(1, 60),
    st.binary(min_size=1, max_size=20),
)
@example("a.warc.gz", flipped, 0.0, 3, b"x")
@example("a.warc.zst", flipped, 0.5, 2, b"x")
@example("a.warc.bz2", truncated, 0.5, 1, b"x")
@example("a.tsv", inserted, 0.3, 1, b'\t"')
@example("a.xml", truncated, 0.5, 1, b"x")
@example("b.json", truncated, 0.5, 1, b"x")
def test_no_damage_loses_a_record_without_a_word(
    tmp_path: Path,
    name: str,
    damage: Callable[[bytes, int, int, bytes], bytes],
    where: float,
    size: int,
    put: bytes,
) -> None:
    content = FORMATS[name]
    path = tmp_path / name
    path.write_bytes(damage(content, int(where * len(content)), size, put))
    read_now, reasons = counted(path)
    # Up to two records may go into one line that cannot be read, or become one text.
    whole = read_now == COUNT or (read_now == COUNT - 1 and damage is not truncated)
    assert reasons or whole or _ends_between_records(name, damage, content, where), f"{read_now} of {COUNT}"


def _ends_between_records(name: str, damage: Callable[..., bytes], content: bytes, where: float) -> bool:
    """Whether what is left of a file is a whole file of fewer records, or but for the end of a line."""
    left = content[: int(where * len(content))]
    if damage is not truncated or name in ("b.json", "b.warc.gz", "a.parquet"):
        return False
    if name.endswith((".csv", ".tsv", ".warc.gz", ".warc.zst")):  # half a row is a row
        return True
    return not left or left.endswith((b"\n", b"}", b"."))


def test_every_record_is_in_documents_removed_or_skipped(tmp_path: Path) -> None:
    folder = tmp_path / "raw"
    folder.mkdir()
    for number, (name, content) in enumerate(FORMATS.items()):
        (folder / f"{number}{name}").write_bytes(content)
    (folder / "nothing.warc.gz").write_bytes(b"no gzip at all")
    (folder / "note.doc").write_bytes(b"what is this")
    manifest = build([folder], tmp_path / "out", CorpusRecipe(), workers=0)
    funnel = manifest["funnel"]
    gone = sum(sum(rules.values()) for rules in manifest["removed"].values())
    assert funnel[0]["documents"] == COUNT * len(FORMATS)
    assert funnel[-1]["documents"] + gone == COUNT * len(FORMATS)
    assert sum(manifest["skipped"].values()) == 2
