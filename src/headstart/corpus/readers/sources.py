"""Which files a corpus is made from, in a fixed order, and how they are split into tasks."""

import glob
import hashlib
import os
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from urllib.parse import quote

from headstart.corpus.readers import zip_files
from headstart.corpus.readers.records import Skip
from headstart.corpus.readers.storage import (
    PACKINGS,
    absolute,
    filesystem,
    is_remote,
    local_path,
    open_file,
    pinned,
    printable,
)
from headstart.corpus_folder import KIND
from headstart.errors import HeadstartError, nearest
from headstart.folder import MANIFEST, JSONObject, read_json

FORMATS = {
    ".warc": "warc",
    ".wet": "warc",
    ".arc": "warc",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".txt": "text",
    ".md": "text",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".xml": "mediawiki",
}
# Bytes that a task reads of a large file, about: more where there is much, so that tasks do not become too
# many, but never so much that one task's text would not fit into a worker's memory several times.
LEAST_PART, MOST_PART, TASKS = 2_000_000, 64_000_000, 4_096
PACKED_TEXT = 4  # bytes of text in a byte of Parquet or of packed text, about
LEAST_WARC = 8_000_000  # most of which is no text
_DIGESTED = 65_536  # bytes of each sample of a digest
_UNKNOWN, _UNREADABLE = "unknown file extension", "cannot be read: "
GIVEN_TWICE = "the file was given twice, and is read once"
# A file that can only be read from its beginning is read so by every part; so it is cut less finely.
SEQUENTIAL_PARTS = 8


@dataclass(frozen=True)
class Source:
    """One input file. `label` names it in the corpus: its path from the input that was given."""

    address: str
    label: str
    format: str
    size: int
    digest: str

    @property
    def packed(self) -> bool:
        """Whether it has to be unpacked."""
        return self.address.lower().endswith(PACKINGS) or self.in_archive

    @property
    def in_archive(self) -> bool:
        """Whether it is a member of a .zip, which is read from its beginning."""
        return zip_files.split_address(self.address) is not None


@dataclass(frozen=True)
class Kept:
    """Where an earlier corpus keeps what it read of a source: a file, and which of the sources in it."""

    file: str
    place: int


@dataclass(frozen=True)
class Task:
    """What one worker reads: one part of a large file, or several small files whole.

    `kept` says for each source where an earlier corpus keeps it; such a source is not read again.
    """

    sources: tuple[Source, ...]
    part: int
    parts: int
    kept: tuple[Kept | None, ...] = ()

    @property
    def size(self) -> int:
        return sum(source.size for source in self.sources) // self.parts


def find_sources(
    inputs: Sequence[Path | str], leave_out: Path | None = None
) -> tuple[list[Source], list[Skip]]:
    """The input files in a fixed order, and the files in folders that cannot be used.

    Args:
        inputs: files, folders and patterns (`crawl/*.warc.gz`), local or as addresses that fsspec knows.
        leave_out: a folder that is not searched.

    Raises:
        HeadstartError: an input is missing, of unknown kind or unreadable, or there is nothing to read.
    """
    sources: list[Source] = []
    skipped: list[Skip] = []
    for given in inputs:
        address = local_path(str(given))
        listed = _remote(address) if is_remote(address) else _local(address, leave_out)
        for path, label, named in listed:
            found = _members(path, label) if zip_files.is_zip(path) else [_source(path, label)]
            for one in found:
                if isinstance(one, Source):
                    sources.append(one)
                elif not named or one.source != label:
                    skipped.append(Skip(printable(one.source), one.reason))
                elif one.reason == _UNKNOWN:
                    raise HeadstartError(
                        f"cannot tell what {given} holds{nearest(PurePosixPath(path).suffix, FORMATS)} "
                        f"(also with {', '.join(PACKINGS)}, or in a .zip)"
                    )
                else:
                    reason = one.reason.removeprefix(_UNREADABLE)
                    raise HeadstartError(
                        f"cannot read {printable(str(given))} ({reason}); make it readable or leave it out"
                    )
    if not sources:
        where = ", ".join(str(given) for given in inputs) or "no input"
        raise HeadstartError(
            f"nothing to read in {where}: give files, folders or a .zip of {', '.join(FORMATS)}"
        )
    sources, twice = _each_once(sources)
    return sorted(_named_apart(sources), key=lambda source: source.label), skipped + twice


def _each_once(sources: list[Source]) -> tuple[list[Source], list[Skip]]:
    """Every file once, under its longest label, in whatever order it was given; and the other labels."""
    longest_first = sorted(sources, key=lambda source: (-len(source.label), source.label))
    once: dict[str, Source] = {}
    for source in longest_first:
        once.setdefault(absolute(source.address), source)
    others = {one.label for one in sources} - {one.label for one in once.values()}
    return list(once.values()), [Skip(label, GIVEN_TWICE) for label in sorted(others)]


def _named_apart(sources: list[Source]) -> list[Source]:
    """The sources, in place of a label that several have the address, as it was given or else in full."""
    for named in (lambda address: address, absolute):
        count = Counter(source.label for source in sources)
        sources = [
            replace(source, label=named(source.address)) if count[source.label] > 1 else source
            for source in sources
        ]
    return sources


def _source(path: str, label: str) -> Source | Skip:
    format = format_of(path)
    if format is None:
        return Skip(label, _UNKNOWN)
    try:
        size, digest = _measured(path)
    except (OSError, ValueError) as error:
        return Skip(label, _UNREADABLE + (getattr(error, "strerror", None) or str(error)).lower())
    return Source(_as_text(path), printable(label), format, size, digest)


def _members(path: str, label: str) -> Iterator[Source | Skip]:
    """The files in an archive; what changes with one is its checksum. Of one name the last one counts."""
    archive = _as_text(path)
    try:
        with open_file(path) as file:
            found = list(zip_files.members(file))
            last = {name: place for place, (name, _, _) in enumerate(found)}
            if not found:
                yield Skip(label, "no file in it")
            for place, (name, size, checksum) in enumerate(found):
                format, within = format_of(name), f"{label}/{name}"
                if last[name] != place:
                    yield Skip(within, "the archive has a later file of this name")
                elif format is None:
                    yield Skip(within, _UNKNOWN)
                else:
                    address = zip_files.member_address(archive, name)
                    yield Source(address, printable(within), format, size, f"{checksum:08x}{size:x}")
    except (OSError, ValueError) as error:
        yield Skip(label, _UNREADABLE + (getattr(error, "strerror", None) or str(error)).lower())


def _as_text(path: str) -> str:
    """A path as text, which the bytes of a name need not be: as a `file://` address where they are none."""
    return path if printable(path) == path else f"file://{quote(os.fsencode(Path(path).absolute()))}"


Listed = tuple[str, str, bool]
"""Address, label, and whether just this file was asked for."""


def _local(given: str, leave_out: Path | None) -> Iterator[Listed]:
    if Path(given).is_dir():
        yield from _in_folder(Path(given), leave_out)
    elif Path(given).exists() or Path(given).is_symlink():
        yield given, Path(given).name, True
    elif not glob.has_magic(given):
        raise HeadstartError(f"there is no input {given}; check the path")
    else:
        matches = sorted(glob.glob(given, recursive=True))  # noqa: PTH207
        if not matches:
            raise HeadstartError(f"no file matches {given}; check the pattern")
        for match in matches:
            if not Path(match).is_dir():
                yield match, Path(match).name, False


def _in_folder(given: Path, leave_out: Path | None) -> Iterator[Listed]:
    """All files in a folder but hidden ones and those in `leave_out`; of a finished corpus its documents.

    Links to folders are not followed.
    """
    for place, folders, files in os.walk(given):
        if _is_corpus(Path(place), folders, files):
            folders[:], files = ["documents"], []
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".")
            and (not leave_out or Path(place, name).resolve() != leave_out.resolve())
        )
        for name in sorted(files):
            if not name.startswith("."):
                path = Path(place, name)
                yield str(path), f"{given.resolve().name}/{path.relative_to(given).as_posix()}", False


def _is_corpus(place: Path, folders: Sequence[str], files: Sequence[str]) -> bool:
    """Whether a folder is a finished corpus.

    Raises:
        HeadstartError: it has the files of one, and no manifest that can be read. As a plain folder it would
            give back what the corpus has removed.
    """
    looks_like_one = {"documents", "removed"} <= set(folders) and "skipped.jsonl" in files
    if MANIFEST not in files and not looks_like_one:
        return False
    try:
        manifest = read_json(place / MANIFEST, JSONObject)
    except (HeadstartError, OSError):
        if looks_like_one:
            raise HeadstartError(
                f"{place} is a corpus whose {MANIFEST} is damaged or missing; make the corpus again, or name "
                f"{place / 'documents'}"
            ) from None
        return False
    return manifest.get("format") == f"headstart.{KIND}"


def _remote(address: str) -> Iterator[Listed]:
    address = pinned(address)
    system, path = filesystem(address)
    try:
        if glob.has_magic(path):
            found = [(one, PurePosixPath(one).name, False) for one in sorted(system.glob(path))]
        elif system.isdir(path):
            top = PurePosixPath(path)
            within = sorted(system.find(path))
            found = [(one, str(PurePosixPath(one).relative_to(top.parent)), False) for one in within]
        else:
            system.info(path)
            found = [(path, PurePosixPath(path).name, True)]
    except (OSError, ValueError) as error:
        raise HeadstartError(f"cannot list {address} ({error}); check the address") from None
    if not found:
        raise HeadstartError(f"no file matches {address}; check the address")
    yield from ((system.unstrip_protocol(one), label, named) for one, label, named in found)


def format_of(address: str) -> str | None:
    """What a file holds, by its name."""
    name = address.lower()
    for packing in PACKINGS:
        name = name.removesuffix(packing)
    return FORMATS.get(PurePosixPath(name).suffix)


def _measured(address: str) -> tuple[int, str]:
    """Size and digest of a file.

    Terabytes need not be read twice: of a large file the digest covers three samples, and when it changed.
    """
    digest = hashlib.blake2b(digest_size=8)
    if is_remote(address):
        system, path = filesystem(address)
        facts: JSONObject = system.info(path)
        size = int(facts["size"])
        marks = ("ETag", "etag", "mtime", "LastModified", "updated", "created", "blob_id")
        known = {key: facts.get(key) for key in marks}
        digest.update(repr((size, sorted(known.items(), key=lambda item: item[0]))).encode())
        if not any(known.values()):  # nothing says when it changed
            with open_file(address) as remote:
                _add_samples(digest, remote, size)
        return size, digest.hexdigest()
    if not stat.S_ISREG(Path(address).stat().st_mode):
        raise ValueError("not a regular file")
    with Path(address).open("rb") as file:
        status = os.fstat(file.fileno())
        size = status.st_size
        digest.update(str(size).encode())
        _add_samples(digest, file, size)
        if size > 2 * _DIGESTED:
            digest.update(str(status.st_mtime_ns).encode())
    return size, digest.hexdigest()


def _add_samples(digest: "hashlib.blake2b", file: BinaryIO, size: int) -> None:
    for offset in (0, size // 2, max(size - _DIGESTED, 0)):
        file.seek(offset)
        digest.update(file.read(_DIGESTED))


def plan_tasks(sources: list[Source]) -> list[Task]:
    """Split the sources into tasks. The split depends on the files alone, not on the number of workers.

    Parts grow in steps of two, so that files that are added seldom change how the others are cut.
    """
    part = LEAST_PART
    while part < MOST_PART and part * TASKS < sum(source.size for source in sources):
        part = min(2 * part, MOST_PART)
    tasks: list[Task] = []
    small: list[Source] = []
    for source in sources:
        if source.size < part:
            small.append(source)
            if sum(one.size for one in small) >= part:
                tasks.append(Task(tuple(small), 0, 1))
                small = []
            continue
        parts = -(-source.size // part)
        packed_text = source.format == "parquet" or (source.packed and source.format != "warc")
        streamed = source.in_archive or source.address.lower().endswith((".bz2", ".xz"))
        if (
            source.format in ("html", "text")
            or (source.format == "warc" and streamed)
            or (source.format == "parquet" and source.packed)
        ):
            parts = 1
        elif source.format == "warc":
            parts = -(-source.size // max(part, LEAST_WARC))
        elif packed_text:
            parts = -(-source.size // max(part // PACKED_TEXT, LEAST_PART))
        if source.format in ("csv", "mediawiki") or (packed_text and source.format == "jsonl"):
            parts = min(parts, max(SEQUENTIAL_PARTS, -(-source.size // (MOST_PART // PACKED_TEXT))))
        tasks += [Task((source,), number, parts) for number in range(parts)]
    if small:
        tasks.append(Task(tuple(small), 0, 1))
    return tasks
