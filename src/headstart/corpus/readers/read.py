"""Reading: whatever the format, files become raw records.

What cannot be used becomes a `Skip` with its place and the reason; reading goes on behind it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from headstart.corpus.readers.records import Raw, Skip
from headstart.corpus.readers.sources import Source, Task, find_sources, plan_tasks
from headstart.corpus.readers.storage import is_remote, local_path, printable
from headstart.corpus.readers.tables import read_csv, read_jsonl, read_parquet
from headstart.corpus.readers.text_files import read_file
from headstart.corpus.readers.web_records import read_web
from headstart.corpus.readers.wiki.dump import read_wiki
from headstart.corpus.readers.zip_files import split_address

Fields = Mapping[str, str]
_READERS: dict[str, Callable[[Source, int, int, Fields], Iterator[Raw | Skip]]] = {
    "warc": lambda source, part, parts, _: read_web(source, part, parts),
    "html": lambda source, *_: read_file(source),
    "text": lambda source, *_: read_file(source),
    "mediawiki": lambda source, part, parts, _: read_wiki(source, part, parts),
    "jsonl": read_jsonl,
    "csv": read_csv,
    "parquet": read_parquet,
}


def read(task: Task, hosts: Mapping[str, str], fields: Fields | None = None) -> Iterator[Raw | Skip]:
    """The records of one task.

    Args:
        task: what to read.
        hosts: patterns of host names, and the domain of each.
        fields: names of fields in rows, where they are not our own.
    """
    for source in task.sources:
        yield from read_source(source, task.part, task.parts, hosts, fields)


def read_source(
    source: Source, part: int, parts: int, hosts: Mapping[str, str], fields: Fields | None = None
) -> Iterator[Raw | Skip]:
    """The records of one of the parts of a file; see `read`."""
    if source.size == 0:
        yield Skip(source.label, "empty file")
        return
    folder, nothing = _folder(source), parts == 1
    try:
        for record in _READERS[source.format](source, part, parts, fields or {}):
            nothing = False
            if isinstance(record, Raw) and not record.domain:
                record.domain = _domain(record, hosts) or ("web" if record.page else folder)
            yield record
        if nothing:
            yield Skip(source.label, "no record in it")
    except Exception as error:  # whatever is in one file, the others are read
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        yield Skip(source.label, f"reading ended early: {reason.lower()[:200]}")


def iterate_raw(inputs: Sequence[Path | str]) -> Iterator[str]:
    """Yield the decoded text of every readable record, HTML included, as the `read` stage counts it."""
    sources, _ = find_sources(inputs)
    for task in plan_tasks(sources):
        yield from (record.text for record in read(task, {}) if isinstance(record, Raw))


def _folder(source: Source) -> str:
    if within := split_address(source.address):
        archive, member = map(PurePosixPath, within)
        return printable(member.parent.name or archive.stem)
    if is_remote(source.address):
        return PurePosixPath(source.address).parent.name or "text"
    return printable(Path(local_path(source.address)).resolve().parent.name) or "text"


def _domain(record: Raw, hosts: Mapping[str, str]) -> str | None:
    """The domain that the recipe gives to the record's host."""
    if not (record.url and hosts):
        return None
    try:
        host = urlsplit(record.url).hostname or ""
    except ValueError:
        return None
    return next((domain for pattern, domain in hosts.items() if fnmatch(host, pattern)), None)
