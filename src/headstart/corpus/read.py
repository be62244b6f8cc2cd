"""Reading: files and folders of WARC, WET, HTML, text, JSONL and Parquet become raw records.

Whatever cannot be used becomes a `Skip` with its place and the reason; reading goes on behind it.
"""

import hashlib
import os
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard
from fastwarc.warc import WarcRecord
from resiliparse.parse.encoding import bytes_to_str, detect_encoding

from headstart.corpus.warc import Broken, records
from headstart.errors import HeadstartError, nearest

FORMATS = {
    ".warc": "warc",
    ".wet": "warc",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".txt": "text",
    ".md": "text",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
}
PART_BYTES = 2_000_000  # what one task reads, about
MAX_PACKED_PARTS = 8  # every part of a packed JSONL file unpacks the whole file
MAX_TEXT = 256_000_000  # bytes of one text or one line
LINES_PER_BLOCK = 256
_CHUNK = 1 << 20
_PACKED_CHUNK = 1 << 16  # unpacks to 64 MB at the very most
_META_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([\w-]{2,30})", re.IGNORECASE)


@dataclass(frozen=True)
class Source:
    """One input file. `label` names it in the corpus: its path from the input that was given."""

    path: Path
    label: str
    format: str
    size: int
    digest: str


@dataclass(frozen=True)
class Task:
    """What one worker reads: one part of a large file, or several small files whole."""

    sources: tuple[Source, ...]
    part: int
    parts: int

    @property
    def size(self) -> int:
        return sum(source.size for source in self.sources) // self.parts


@dataclass(slots=True)
class Raw:
    """One decoded record. `page` marks the open web, where the rules for pages hold."""

    text: str
    source: str
    html: bool = False
    page: bool = False
    id: str = ""
    url: str = ""
    domain: str = ""
    language: str = ""
    date: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)


class Skip(NamedTuple):
    """A record that could not be used."""

    source: str
    reason: str


def find_sources(inputs: list[Path], leave_out: Path | None = None) -> tuple[list[Source], list[Skip]]:
    """The input files in a fixed order, and the files in folders whose kind is unknown.

    Raises:
        HeadstartError: an input is missing, of unknown kind or unreadable, or there is nothing to read.
    """
    found: list[tuple[Path, str]] = []
    skipped: list[Skip] = []
    for given in inputs:
        if given.is_dir():
            for path in _walk(given, leave_out):
                label = f"{given.resolve().name}/{path.relative_to(given).as_posix()}"
                if _format(path):
                    found.append((path, label))
                else:
                    skipped.append(Skip(label, "unknown file extension"))
        elif not given.exists():
            raise HeadstartError(f"there is no input {given}; check the path")
        elif not _format(given):
            raise HeadstartError(
                f"cannot tell what {given} holds{nearest(given.suffix, FORMATS)} (also with .gz or .zst)"
            )
        else:
            found.append((given, given.name))
    if not found:
        where = ", ".join(str(given) for given in inputs) or "no input"
        raise HeadstartError(f"nothing to read in {where}: give files or folders of {', '.join(FORMATS)}")
    repeated = {label for label, count in Counter(label for _, label in found).items() if count > 1}
    sources = [_source(path, path.as_posix() if label in repeated else label) for path, label in found]
    return sorted(sources, key=lambda source: source.label), skipped


def _walk(folder: Path, leave_out: Path | None) -> Iterator[Path]:
    """All files below a folder but hidden ones and those in `leave_out`. Links to folders are not read."""
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".")
            and (not leave_out or Path(place, name).resolve() != leave_out.resolve())
        )
        for name in sorted(files):
            if not name.startswith("."):
                yield Path(place, name)


def _format(path: Path) -> str | None:
    name = path.name.lower().removesuffix(".gz").removesuffix(".zst")
    return FORMATS.get(Path(name).suffix)


def _source(path: Path, label: str) -> Source:
    """Describe a file. Its digest covers the size and three samples: terabytes need not be read twice."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            digest = hashlib.blake2b(str(size).encode(), digest_size=8)
            for offset in (0, size // 2, max(size - 65_536, 0)):
                file.seek(offset)
                digest.update(file.read(65_536))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise HeadstartError(f"cannot read {path} ({reason}); make it readable or leave it out") from None
    return Source(path, label, _format(path) or "", size, digest.hexdigest())


def plan_tasks(sources: list[Source]) -> list[Task]:
    """Split the sources into tasks. The split depends on the files alone, not on the number of workers."""
    tasks: list[Task] = []
    small: list[Source] = []
    for source in sources:
        if source.size < PART_BYTES:
            small.append(source)
            if sum(one.size for one in small) >= PART_BYTES:
                tasks.append(Task(tuple(small), 0, 1))
                small = []
            continue
        parts = -(-source.size // PART_BYTES)
        if source.format in ("html", "text"):
            parts = 1
        elif source.format == "jsonl":
            parts = min(parts, MAX_PACKED_PARTS)
        tasks += [Task((source,), part, parts) for part in range(parts)]
    if small:
        tasks.append(Task(tuple(small), 0, 1))
    return tasks


def read(task: Task, hosts: dict[str, str]) -> Iterator[Raw | Skip]:
    """The records of one task. `hosts` maps patterns of host names to domains."""
    readers = {
        "warc": _read_warc,
        "html": _read_file,
        "text": _read_file,
        "jsonl": _read_jsonl,
        "parquet": _read_parquet,
    }
    for source in task.sources:
        if source.size == 0:
            yield Skip(source.label, "empty file")
            continue
        folder = source.path.resolve().parent.name or "text"
        for record in readers[source.format](source, task.part, task.parts):
            if isinstance(record, Raw) and not record.domain:
                record.domain = _domain(record, hosts) or ("web" if record.page else folder)
            yield record


def iterate_raw(inputs: list[Path]) -> Iterator[str]:
    """The decoded text of every readable record, HTML included: what the corpus's `read` stage counts."""
    sources, _ = find_sources(inputs)
    for task in plan_tasks(sources):
        yield from (record.text for record in read(task, {}) if isinstance(record, Raw))


def _domain(record: Raw, hosts: dict[str, str]) -> str | None:
    """The domain that the recipe gives to the record's host."""
    if not (record.url and hosts):
        return None
    host = urlsplit(record.url).hostname or ""
    return next((domain for pattern, domain in hosts.items() if fnmatch(host, pattern)), None)


def _read_warc(source: Source, part: int, parts: int) -> Iterator[Raw | Skip]:
    for position, content in records(source.path, part, parts):
        place = f"{source.label}@{position}"
        if isinstance(content, Broken):
            yield Skip(place, str(content))
            continue
        try:
            record = _web_page(content, place)
        except (OSError, ValueError) as error:
            record = Skip(place, f"broken WARC record: {error}")
        if record is not None:
            yield record


def _web_page(content: bytes, place: str) -> Raw | Skip | None:
    """The page or text in a WARC record; None for records that never hold one (requests, crawler notes)."""
    record = WarcRecord.from_bytes(content)
    kind = (record.headers.get("WARC-Type") or "").lower()
    if kind not in ("response", "resource", "conversion"):
        return None
    media_type, charset = (record.headers.get("Content-Type") or "").split(";")[0].strip(), None
    if kind == "response":
        try:
            record.parse_http(auto_decode="all", quirks_mode=True)
        except OSError:
            return Skip(place, "broken HTTP header")
        status = record.http_headers.status_code if record.http_headers else None
        if status != 200:
            return Skip(place, f"HTTP status {status}" if status else "broken HTTP header")
        media_type, charset = record.http_content_type or "", record.http_charset
    html = media_type in ("text/html", "application/xhtml+xml")
    if not html and media_type != "text/plain":
        return Skip(place, "neither HTML nor text")
    try:
        payload = record.reader.read()
    except OSError:
        return Skip(place, "broken HTTP payload")
    if not payload.strip():
        return Skip(place, "empty payload")
    return Raw(
        decode(payload, charset),
        place,
        html=html,
        page=True,
        url=record.headers.get("WARC-Target-URI") or "",
        date=record.headers.get("WARC-Date") or "",
    )


def decode(payload: bytes, charset: str | None = None) -> str:
    """Bytes as text: UTF-8 where they are valid UTF-8, else what was declared, else what they look like."""
    try:
        return payload.decode("utf-8-sig")
    except UnicodeDecodeError:
        meta = _META_CHARSET.search(payload[:4096])
        declared = charset or (meta[1].decode("ascii") if meta else None)
        if declared and not payload.startswith((b"\xff\xfe", b"\xfe\xff")):
            try:
                return payload.decode(declared, "replace")
            except (LookupError, UnicodeError):
                pass
        return bytes_to_str(payload, encoding=detect_encoding(payload) or "utf-8", errors="replace")


def _read_file(source: Source, _part: int, _parts: int) -> Iterator[Raw | Skip]:
    content, failure = bytearray(), None
    for chunk in _unpacked(source.path):
        if isinstance(chunk, str):
            failure = chunk
            break
        content += chunk
        if len(content) > MAX_TEXT:
            failure = "file too large for one text"
            break
    if failure is None and b"\0" in content[:4096] and not content.startswith((b"\xff\xfe", b"\xfe\xff")):
        failure = "binary file"
    if failure is None and not content.strip():
        failure = "empty file"
    if failure:
        yield Skip(source.label, failure)
    else:
        html = source.format == "html"
        yield Raw(decode(bytes(content)), source.label, html=html, page=html)


def _unpacked(path: Path) -> Iterator[bytes | str]:
    """The content of a plain, gzip or zstd file in chunks; after a fault, one string that names it."""
    with path.open("rb") as file:
        if path.name.lower().endswith(".zst"):
            try:
                with zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True) as stream:
                    while chunk := stream.read(_CHUNK):
                        yield chunk
            except zstandard.ZstdError:
                yield "broken zstd"
        elif path.name.lower().endswith(".gz"):
            yield from _gunzipped(iter(lambda: file.read(_PACKED_CHUNK), b""))
        else:
            yield from iter(lambda: file.read(_CHUNK), b"")


def unpacked_text(path: Path) -> str:
    """The whole of a plain, gzip or zstd file as text.

    Raises:
        HeadstartError: it cannot be read or unpacked.
    """
    content = bytearray()
    try:
        for chunk in _unpacked(path):
            if isinstance(chunk, str):
                raise HeadstartError(f"{path}: {chunk}; mend it or leave it out")
            content += chunk
    except OSError as error:
        raise HeadstartError(f"cannot read {path} ({error.strerror or error}); check the path") from None
    return decode(bytes(content))


def _gunzipped(chunks: Iterator[bytes]) -> Iterator[bytes | str]:
    """All members of a gzip stream; zlib's own reader would lose what precedes a fault."""
    unpacker = zlib.decompressobj(wbits=31)
    try:
        for chunk in chunks:
            packed = chunk
            while packed:
                yield unpacker.decompress(packed)
                if not (unpacker.eof and (packed := unpacker.unused_data.lstrip(b"\0"))):
                    break
                unpacker = zlib.decompressobj(wbits=31)
    except zlib.error:
        yield "broken gzip"
        return
    if not unpacker.eof:
        yield "truncated gzip"


def _lines(path: Path) -> Iterator[tuple[int, bytes | str]]:
    """Numbered lines of a file; a string in place of a line names what is wrong there."""
    number, rest = 0, bytearray()
    too_long = False
    for chunk in _unpacked(path):
        if isinstance(chunk, str):
            if rest and not too_long:
                yield number + 1, bytes(rest)
            yield number + 1, chunk
            return
        *complete, last = chunk.split(b"\n")
        for line in complete:
            number += 1
            yield number, "line too long" if too_long else bytes(rest) + line if rest else line
            rest, too_long = bytearray(), False
        rest += last
        if len(rest) > MAX_TEXT:
            rest, too_long = bytearray(), True
    if rest or too_long:
        yield number + 1, "line too long" if too_long else bytes(rest)


def _read_jsonl(source: Source, part: int, parts: int) -> Iterator[Raw | Skip]:
    for number, line in _lines(source.path):
        place = f"{source.label}:{number}"
        if number == 1 and not isinstance(line, str) and b"\0" in line[:4096]:
            if part == 0:
                yield Skip(source.label, "binary file")
            return
        if (number - 1) // LINES_PER_BLOCK % parts != part:
            continue
        if isinstance(line, str):
            yield Skip(place, line)
        elif line.strip():
            yield _parse_line(line, place)


def _parse_line(line: bytes, place: str) -> Raw | Skip:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError:
        try:
            line.decode()
        except UnicodeDecodeError:
            return Skip(place, "invalid UTF-8")
        return Skip(place, "invalid JSON")
    if not isinstance(row, dict):
        return Skip(place, "not a JSON object")
    return _row(row, place)


def _read_parquet(source: Source, part: int, parts: int) -> Iterator[Raw | Skip]:
    try:
        with pq.ParquetFile(source.path) as file:
            names = file.schema_arrow.names
            if "text" not in names and "html" not in names:
                if part == 0:
                    yield Skip(source.label, "no text or html column")
                return
            for group in range(part, file.num_row_groups, parts):
                for offset, row in enumerate(file.read_row_group(group, use_threads=False).to_pylist()):
                    yield _row(row, f"{source.label}:{group}.{offset}")
    except (pa.ArrowInvalid, OSError) as error:
        if part == 0:
            yield Skip(source.label, f"broken Parquet: {str(error).splitlines()[0][:200]}")


def _row(row: dict[str, Any], place: str) -> Raw | Skip:
    """A record from named fields. Where there is no `text`, `html` is extracted."""
    html = row.get("text") is None
    text = row.get("html" if html else "text")
    if text is None:
        return Skip(place, "no text or html field")
    if not isinstance(text, str):
        return Skip(place, "text is not a string")
    if not text.strip():
        return Skip(place, "empty text")
    known = {name: str(row[name]) for name in ("id", "url", "language", "date") if row.get(name) is not None}
    language = known.pop("language", "").lower().replace("_", "-").split("-")[0]
    domain = row.get("domain") or row.get("source")
    rest = {
        name: value
        for name, value in row.items()
        if name not in _FIELDS and isinstance(value, str | int | float)
    }
    return Raw(
        text,
        place,
        html=html,
        page=html or "url" in known,
        domain=domain if isinstance(domain, str) else "",
        language=language,
        metadata=rest,
        **known,
    )


_FIELDS = {"text", "html", "id", "url", "language", "date", "domain", "source", "metadata"}
