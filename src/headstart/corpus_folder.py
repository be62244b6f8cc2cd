"""A finished corpus folder, as every part reads it: `manifest.json` and Parquet files of documents."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NotRequired, cast

import pyarrow.parquet as pq
from typing_extensions import TypedDict  # typing's own is not checked before Python 3.12

from headstart.folder import read_manifest

KIND, VERSION = "corpus", 1
BATCH = 1024
"""Documents that are in memory at once."""


class Totals(TypedDict):
    """How much there is of something."""

    documents: int
    bytes: int
    words: int


class FunnelRow(TypedDict):
    """What a stage left; of what was `read` nobody has counted the words."""

    stage: str
    documents: int
    bytes: int
    words: NotRequired[int]


class Input(TypedDict):
    """A file that the corpus was made from: how documents call it, and where it lay."""

    path: str
    address: str
    bytes: int
    digest: str


class PlannedMix(TypedDict):
    """What the mix planned of a domain or language, in bytes and tokens."""

    share: float
    available: int
    wanted: int
    chosen: int
    repeats: float
    tokens_available: int
    tokens_chosen: int


class MixRow(PlannedMix):
    """What the mix planned, and what the corpus holds of it."""

    result: int
    result_share: float


class SearchedFile(TypedDict):
    """A file of an evaluation: items looked for, too short to be, and found."""

    items: int
    too_short: int
    found: int


class CorpusFacts(TypedDict):
    """What became of the documents."""

    funnel: list[FunnelRow]
    removed: dict[str, dict[str, int]]
    skipped: dict[str, int]
    domains: dict[str, Totals]
    languages: dict[str, Totals]
    personal_data: dict[str, int]
    repaired: int
    """Records with text that was decoded by the wrong charset."""
    renamed: NotRequired[int]
    """Documents whose id another record has; theirs have the place of their record in them, too."""
    mix: dict[str, MixRow]
    contamination: dict[str, SearchedFile]


class NearIndex(TypedDict):
    """How the keys of near duplicates were made."""

    words: int
    bands: int
    rows: int
    method: int


class ExactIndex(TypedDict):
    """How the digests of whole texts were made."""

    method: int


class IndexFacts(TypedDict):
    """What the index of a corpus can be asked for, by the setting that a later corpus has to share."""

    exact_duplicates: ExactIndex | None
    near_duplicates: NearIndex | None
    repeated_lines: bool
    repeated_paragraphs: bool
    repeated_substrings: int | None


class Origin(TypedDict):
    """What a corpus was made from, how long it took, and what its index can be asked for."""

    fingerprint: str
    inputs: list[Input]
    seconds: float
    index: IndexFacts


class CorpusManifest(Origin, CorpusFacts):
    """All of it, with what every manifest says."""

    format: str
    version: int
    headstart: str
    created: str


class DocumentRow(TypedDict, total=False):
    """Columns of a document, as many of them as were asked for."""

    id: str
    text: str
    url: str
    domain: str
    language: str
    date: str
    source: str
    metadata: str
    """JSON."""
    copies: int
    signature: bytes
    """MinHash values; not in a finished corpus."""


def corpus_manifest(folder: Path) -> CorpusManifest:
    """The manifest of a finished corpus.

    Raises:
        HeadstartError: the folder is none, is unfinished, or has another version of the format.
    """
    return cast(CorpusManifest, read_manifest(folder, KIND, VERSION))


def corpus_documents(folder: Path, columns: Sequence[str] | None = None) -> Iterator[DocumentRow]:
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
                yield from cast(list[DocumentRow], batch.to_pylist())
