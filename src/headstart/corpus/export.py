"""A finished corpus for other tools: JSON lines or Parquet, in a folder or at an address that fsspec knows.

A file of the corpus becomes one file, which is there whole or not at all: an export that was stopped goes on.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypedDict, cast, get_args

import orjson
import pyarrow.parquet as pq
import zstandard

from headstart.corpus.readers.storage import filesystem, is_remote, local_path
from headstart.corpus_folder import BATCH, corpus_manifest
from headstart.errors import HeadstartError
from headstart.folder import atomic
from headstart.output import output
from headstart.progress import ProgressBar

Form = Literal["jsonl.zst", "parquet"]
KIND, MARK = "exported corpus", "exported.json"


def form_named(name: str) -> Form:
    """The form of that name.

    Raises:
        HeadstartError: there is none.
    """
    for known in get_args(Form):
        if name == known:
            return known
    raise HeadstartError(f"a corpus is exported as {' or '.join(get_args(Form))}, not as {name!r}")


class Exported(TypedDict):
    """What was exported: of which corpus, in which form, and how much."""

    corpus: str
    form: str
    files: int
    documents: int


def export(corpus: Path, out: str, form: Form = "jsonl.zst", replace: bool = False) -> Exported:
    """Write the documents of a corpus, in their order, as files in `out`.

    Args:
        corpus: a finished corpus folder.
        out: a folder, or an address that fsspec knows.
        form: JSON lines in zstd, with `metadata` as an object, or Parquet as the corpus has it.
        replace: delete what `out` holds.

    Raises:
        HeadstartError: the corpus is unfinished, or `out` holds something else or cannot be written.
    """
    identity = {"corpus": corpus_manifest(corpus)["fingerprint"], "form": form}
    files = sorted((corpus / "documents").glob("*.parquet"))
    if is_remote(out):
        with _address(out, identity, replace) as (held, put):
            return _write(files, identity, held, put)
    place = Path(local_path(out))
    with output(place, KIND, settings=identity, inputs=[corpus], replace=replace) as claimed:
        if not claimed.finished:

            def move(made: Path, name: str) -> None:
                with atomic(place / name) as temporary:
                    shutil.copyfile(made, temporary)

            held = {path.name for path in place.iterdir()}
            claimed.finish(_write(files, identity, held, move))
        return cast(Exported, claimed.facts)


Put = Callable[[Path, str], None]
"""Puts a finished file under a name into the output."""


def _write(files: list[Path], identity: Mapping[str, str], held: set[str], put: Put) -> Exported:
    """Put the files that the output does not hold yet; returns what it holds then."""
    documents = 0
    with ProgressBar("exporting", len(files), "files") as bar, tempfile.TemporaryDirectory() as folder:
        for file in files:
            name = f"{file.stem}.{identity['form']}"
            if name not in held:
                made = file if identity["form"] == "parquet" else Path(folder, "made")
                if made is not file:
                    _write_lines(file, made)
                put(made, name)
            documents += pq.read_metadata(file).num_rows
            bar.advance(1)
    return Exported(corpus=identity["corpus"], form=identity["form"], files=len(files), documents=documents)


def _write_lines(file: Path, out: Path) -> None:
    with (
        pq.ParquetFile(file) as documents,
        out.open("wb") as packed,
        zstandard.ZstdCompressor().stream_writer(packed) as lines,
    ):
        for batch in documents.iter_batches(BATCH):
            for row in batch.to_pylist():
                row["metadata"] = orjson.Fragment(row["metadata"] or "{}")
                lines.write(orjson.dumps(row) + b"\n")


@contextmanager
def _address(out: str, identity: Mapping[str, str], replace: bool) -> Iterator[tuple[set[str], Put]]:
    """An address to write to: the names of the files that it holds of the same export, and how to add one.

    Raises:
        HeadstartError: it holds something else, or cannot be written.
    """
    system, path = filesystem(out)
    try:
        held = {Path(one).name for one in system.ls(path, detail=False)} if system.exists(path) else set()
        mark = f"{path}/{MARK}"
        same = MARK in held and orjson.loads(system.cat_file(mark)) == identity
        if held and replace and not same:
            system.rm(path, recursive=True)
            held = set()
        elif held and not same:
            raise HeadstartError(
                f"{out} holds other files ({', '.join(sorted(held)[:4])}); choose an empty or a new address, "
                "or pass --replace to delete them"
            )
        system.makedirs(path, exist_ok=True)
        system.pipe_file(mark, orjson.dumps(identity))
        yield held, lambda made, name: _put(system, made, f"{path}/{name}")
    except (OSError, ValueError, NotImplementedError) as error:
        raise HeadstartError(f"cannot write to {out} ({error}); check the address and its rights") from None


def _put(system: Any, made: Path, path: str) -> None:
    """Only a whole file gets its name, where the address is a file system of folders, too."""
    system.put_file(str(made), f"{path}.part")
    system.mv(f"{path}.part", path)
