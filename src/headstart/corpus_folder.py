"""A finished corpus folder, as every part reads it: `manifest.json` and Parquet files of documents."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from headstart.folder import read_manifest

KIND, VERSION = "corpus", 1
BATCH = 1024
"""Documents that are in memory at once."""


def corpus_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a finished corpus.

    Raises:
        HeadstartError: the folder is none, is unfinished, or has another version of the format.
    """
    return read_manifest(folder, KIND, VERSION)


def corpus_documents(folder: Path, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
    """The documents of a corpus in their final order, one dict each, in bounded memory.

    Args:
        folder: a finished corpus folder.
        columns: the columns to read; None reads all of them.

    Raises:
        HeadstartError: as `corpus_manifest`.
    """
    corpus_manifest(folder)
    for path in sorted((folder / "documents").glob("*.parquet")):
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(BATCH, columns=list(columns) if columns is not None else None):
                yield from batch.to_pylist()
