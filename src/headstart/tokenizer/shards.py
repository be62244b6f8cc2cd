"""Token shards: flat files of ids with document boundaries, read by random access.

A tokens folder holds, for each split (`train`, `heldout`), numbered shards: `train-00000.npy`, the
ids of one document after another, each opened and closed by what the tokenizer's family has for it
(`<s> … </s>` for headstart's own); and `train-00000.documents.parquet`, one row a document: id, domain,
start, tokens, bytes.
"""

import hashlib
import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import ClassVar, NotRequired, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field
from typing_extensions import TypedDict  # typing's own is not checked before Python 3.12

from headstart.corpus_folder import DocumentRow, corpus_documents, corpus_manifest
from headstart.errors import HeadstartError
from headstart.folder import MANIFEST, atomic, checked, read_manifest, write_json, write_manifest
from headstart.progress import ProgressBar
from headstart.recipe import Recipe
from headstart.tokenizer.base import Tokenizer
from headstart.tokenizer.folder import CONFIG, DEFINITION
from headstart.tokenizer.leaks import shares_in_training
from headstart.tokenizer.stage_counts import StageTokens, count_stages

KIND, VERSION = "tokens", 1
SPLITS = ("train", "heldout")
BATCH = 512

Item = TypeVar("Item")


class SplitFacts(TypedDict):
    """What the manifest says of a split."""

    shards: int
    documents: int
    bytes: int
    tokens: int
    domains: dict[str, dict[str, int]]


class LeakFacts(TypedDict):
    """Held-out documents that were left out, because the training text has them too."""

    documents: int
    bytes: int
    tokens: int


class CorpusOrigin(TypedDict):
    """Which corpus a tokens folder was made from."""

    corpus: NotRequired[str]
    """Its fingerprint. Documents from elsewhere have none."""
    stages: NotRequired[list[StageTokens]]
    """What every stage of it held, where `count_stages` asked for it."""


class TokensManifest(CorpusOrigin):
    """What the manifest of a tokens folder says."""

    tokenizer_sha256: str
    vocab_size: int
    splits: dict[str, SplitFacts]
    leaked: NotRequired[LeakFacts]
    """Folders of earlier versions did not look."""


def tokens_manifest(folder: Path) -> TokensManifest:
    """The manifest of a finished tokens folder.

    Raises:
        HeadstartError: the folder is none, is unfinished or damaged, or has another version of the format.
    """
    manifest = checked(read_manifest(folder, KIND, VERSION), TokensManifest, folder / MANIFEST)
    if missing := [split for split in SPLITS if split not in manifest["splits"]]:
        raise HeadstartError(f"{folder / MANIFEST} has no split {missing[0]!r}; encode again")
    return manifest


class ShardRecipe(Recipe):
    """Settings of `headstart tokenizer encode`."""

    heldout_share: float = 0.01
    """Share of the documents, chosen by a hash of their id, that training never sees."""
    shard_tokens: int = 100_000_000
    """A shard is closed at the first document that reaches this."""
    heldout_overlap: float = Field(0.05, ge=0, le=1)
    """Largest overlap of a held-out document with the training text: the share of its tokens in runs of 20
    that the training text has too. Documents with more are left out of both, and counted; 1 leaves nothing
    out."""
    count_stages: bool = False
    """Also count the tokens that every stage of the corpus held, by domain, from what it removed."""

    USUAL_NAMES: ClassVar[dict[str, str]] = {
        "heldout_share": "val_fraction validation_split test_size val_size",
        "shard_tokens": "shard_size max_tokens_per_file",
    }


def is_heldout(document_id: str, share: float) -> bool:
    """Whether a document is held out: the same answer on every machine, for any order."""
    return _draw(document_id) < share * 2**64


def _draw(document_id: str) -> int:
    """A number below 2**64, drawn by the id."""
    return int.from_bytes(hashlib.sha256(document_id.encode()).digest()[:8], "big")


class _Writer:
    """Collects the documents of one split and writes a shard whenever enough have come."""

    def __init__(self, folder: Path, split: str, tokenizer: Tokenizer, shard_tokens: int) -> None:
        self.folder, self.split, self.shard_tokens = folder, split, shard_tokens
        self.dtype = np.dtype(np.uint16 if tokenizer.vocab_size <= 2**16 else np.uint32)
        self.opening, self.closing = (
            np.array(ids, self.dtype) for ids in (tokenizer.opening, tokenizer.closing)
        )
        self._empty()

    def _empty(self) -> None:
        self.shards = 0
        self.tokens = self.bytes = self.documents = 0
        self.domains: dict[str, dict[str, int]] = {}
        self._start_shard()

    def _start_shard(self) -> None:
        self.ids: list[np.ndarray] = []
        self.rows: list[tuple[str, str, int, int, int]] = []
        self.position = 0

    def add(self, document_id: str, domain: str, ids: np.ndarray, size: int) -> None:
        self._add(
            document_id, domain, np.concatenate((self.opening, ids.astype(self.dtype), self.closing)), size
        )

    def _add(self, document_id: str, domain: str, ids: np.ndarray, size: int) -> None:
        """Add a document with its opening and closing."""
        length = len(ids)
        self.rows.append((document_id, domain, self.position, length, size))
        self.ids.append(ids)
        self.position += length
        counts = self.domains.setdefault(domain, {"documents": 0, "bytes": 0, "tokens": 0})
        for key, amount in (("documents", 1), ("bytes", size), ("tokens", length)):
            counts[key] += amount
        if self.position >= self.shard_tokens:
            self.flush()

    def flush(self) -> None:
        if not self.rows:
            return
        name = f"{self.split}-{self.shards:05d}"
        np.save(self.folder / f"{name}.npy", np.concatenate(self.ids))
        columns = list(zip(*self.rows, strict=True))
        table = pa.table(dict(zip(("id", "domain", "start", "tokens", "bytes"), columns, strict=True)))
        pq.write_table(table, self.folder / f"{name}.documents.parquet")
        self.shards += 1
        self.documents += len(self.rows)
        self.tokens += self.position
        self.bytes += sum(row[4] for row in self.rows)
        self._start_shard()

    def shard_ids(self) -> Iterator[np.ndarray]:
        """The ids of every shard that was written."""
        for number in range(self.shards):
            yield np.load(self.folder / f"{self.split}-{number:05d}.npy", mmap_mode="r")

    def leave_out_leaks(self, training: "_Writer", most: float) -> LeakFacts:
        """Write the split again without the documents that share too much with the training text."""
        documents = [document for number in range(self.shards) for document in self._written(number)]
        shares = shares_in_training([ids for *_, ids in documents], training.shard_ids())
        leaked: LeakFacts = {"documents": 0, "bytes": 0, "tokens": 0}
        if not (shares > most).any():
            return leaked
        for file in self.folder.glob(f"{self.split}-*"):
            file.unlink()
        self._empty()
        for (document_id, domain, size, ids), share in zip(documents, shares, strict=True):
            if share > most:
                leaked["documents"] += 1
                leaked["bytes"] += size
                leaked["tokens"] += len(ids)
            else:
                self._add(document_id, domain, ids, size)
        self.flush()
        return leaked

    def _written(self, number: int) -> Iterator[tuple[str, str, int, np.ndarray]]:
        """The documents of a shard: id, domain, bytes, ids."""
        name = self.folder / f"{self.split}-{number:05d}"
        ids = np.load(name.with_suffix(".npy"))
        for row in pq.read_table(name.with_suffix(".documents.parquet")).to_pylist():
            yield row["id"], row["domain"], row["bytes"], ids[row["start"] : row["start"] + row["tokens"]]


def encode_corpus(corpus: Path, tokenizer: Tokenizer, recipe: ShardRecipe, out: Path) -> TokensManifest:
    """Encode a corpus folder into a tokens folder, which says of which corpus it is; see `encode`."""
    origin = CorpusOrigin(corpus=corpus_manifest(corpus)["fingerprint"])
    if recipe.count_stages:
        origin["stages"] = count_stages(corpus, tokenizer)
    documents = corpus_documents(corpus, ("id", "text", "domain"))
    return encode(documents, tokenizer, recipe, out, origin)


def encode(
    documents: Iterable[DocumentRow],
    tokenizer: Tokenizer,
    recipe: ShardRecipe,
    out: Path,
    origin: CorpusOrigin | None = None,
) -> TokensManifest:
    """Encode documents (`id`, `text`, `domain`) into a tokens folder; returns its manifest's fields.

    Args:
        origin: of which corpus they are, for the manifest.

    Raises:
        HeadstartError: no documents, or all of them fell on one side of the split.
    """
    with atomic(out) as folder, ProgressBar("encode", None, "documents") as bar:
        folder.mkdir(parents=True)
        writers = {split: _Writer(folder, split, tokenizer, recipe.shard_tokens) for split in SPLITS}
        least, most = 2**64, 0  # drawn by the documents
        for batch in batches(documents, BATCH):
            for document, ids in zip(batch, tokenizer.encode_arrays([d["text"] for d in batch]), strict=True):
                split = "heldout" if is_heldout(document["id"], recipe.heldout_share) else "train"
                least, most = min(least, _draw(document["id"])), max(most, _draw(document["id"]))
                size = _bytes(document["text"])
                writers[split].add(document["id"], document["domain"], ids, size)
            bar.advance(len(batch))
        for split, writer in writers.items():
            writer.flush()
            if not writer.documents:
                near = math.ceil(least * 1000 / 2**64) if split == "heldout" else most * 1000 // 2**64
                way = f", or pass heldout_share={near / 1000:g}" if least < most else ""
                raise HeadstartError(f"no document is left for the {split} split; give more text{way}")
        leaked = writers["heldout"].leave_out_leaks(writers["train"], recipe.heldout_overlap)
        if not writers["heldout"].documents:
            raise HeadstartError(
                f"all {leaked['documents']:,} held-out documents share more than "
                f"{recipe.heldout_overlap:.0%} of "
                "their text with the training text, so a held-out loss would say nothing; give more text, or "
                "pass heldout_overlap=1 to keep them"
            )
        fields: TokensManifest = {
            "tokenizer_sha256": tokenizer.sha256,
            "vocab_size": tokenizer.vocab_size,
            "leaked": leaked,
            "splits": {
                split: {
                    "shards": writer.shards,
                    "documents": writer.documents,
                    "bytes": writer.bytes,
                    "tokens": writer.tokens,
                    "domains": writer.domains,
                }
                for split, writer in writers.items()
            },
        }
        fields.update(origin or {})
        recipe.save(folder / "recipe.yaml")
        write_json(folder / DEFINITION, tokenizer.definition)
        if tokenizer.config:
            write_json(folder / CONFIG, tokenizer.config)
        write_manifest(folder, KIND, VERSION, fields)
    return fields


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode(errors="replace"))


def batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Lists of `size` items; the last may be shorter."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


@dataclass(frozen=True)
class _Shard:
    path: Path
    _ids: np.ndarray
    starts: np.ndarray
    """Where each document begins, ascending."""
    domains: np.ndarray
    """The domain of each document, a place in `TokenRows.domains`."""
    first_row: int
    vocab_size: int

    def __len__(self) -> int:
        return len(self._ids)

    def ids(self, places: slice | np.ndarray) -> np.ndarray:
        """Some ids.

        Raises:
            HeadstartError: one of them is none of the vocabulary.
        """
        found = self._ids[places]
        if len(found) and found.max() >= self.vocab_size:
            raise HeadstartError(
                f"{self.path} holds the id {found.max():,}, but its tokenizer has {self.vocab_size:,} "
                "tokens; the file is damaged or of another folder: encode again"
            )
        return found


class TokenRows:
    """The rows of one split: `length` neighbouring tokens each, by number.

    A row is cut from the stream of documents, so it may hold the end of one, whole ones, and the
    start of another. Rows never span two shards; the tail of a shard shorter than a row is not read.
    """

    def __init__(self, folder: Path, split: str, length: int) -> None:
        manifest = tokens_manifest(folder)
        self.length, self.vocab_size = length, manifest["vocab_size"]
        self.domains: list[str] = sorted(manifest["splits"][split]["domains"])
        self.shards: list[_Shard] = []
        self.count = 0
        for number in range(manifest["splits"][split]["shards"]):
            self.shards.append(self._open(folder / f"{split}-{number:05d}.npy"))
            self.count += len(self.shards[-1]) // length
        self.first_rows = [shard.first_row for shard in self.shards]
        if not self.count:
            raise HeadstartError(
                f"{folder}: the {split} split is shorter than one row of {length} tokens; "
                "give more text or a shorter context"
            )

    def _open(self, path: Path) -> _Shard:
        documents = path.with_suffix(".documents.parquet")
        try:
            ids = np.load(path, mmap_mode="r")
            table = pq.read_table(documents, columns=["start", "tokens", "domain"])
        except (OSError, EOFError, ValueError, pa.ArrowInvalid) as error:
            raise HeadstartError(f"{path} or {documents.name} is damaged ({error}); encode again") from None
        starts, tokens = table["start"].to_numpy(), table["tokens"].to_numpy()
        ends = np.cumsum(tokens)
        whole = len(starts) and ids.ndim == 1 and ids.dtype.kind == "u" and len(ids) == ends[-1]
        if not whole or tokens.min() < 0 or not np.array_equal(starts, ends - tokens):
            raise HeadstartError(f"{path} does not hold the tokens of its documents; encode again")
        encoded = table["domain"].combine_chunks().dictionary_encode()
        names = encoded.dictionary.to_pylist()
        if unknown := set(names) - set(self.domains):
            raise HeadstartError(f"{documents} has a domain that the manifest lacks, {unknown}; encode again")
        places = np.array([self.domains.index(name) for name in names])
        return _Shard(path, ids, starts, places[encoded.indices.to_numpy()], self.count, self.vocab_size)

    def __len__(self) -> int:
        return self.count

    def domains_of(self, rows: np.ndarray) -> np.ndarray:
        """The domain of each token of some rows, `[B, length]` places in `domains`."""
        domains = np.empty((len(rows), self.length), np.int64)
        for index, row in enumerate(rows):
            shard = self.shards[bisect_right(self.first_rows, row) - 1]
            start = (int(row) - shard.first_row) * self.length
            at = np.searchsorted(shard.starts, np.arange(start, start + self.length), side="right") - 1
            domains[index] = shard.domains[at]
        return domains

    def beginning(self, most: int) -> tuple[np.ndarray, np.ndarray]:
        """Ids and document numbers of the first `most` tokens of the split, or of its first shard if that is
        shorter: two `[N]` arrays."""
        ids, starts = self.shards[0].ids(slice(most)), self.shards[0].starts
        return ids, np.searchsorted(starts, np.arange(len(ids)), side="right")

    def read(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Ids and document numbers of some rows: two `[B, length]` arrays of int64.

        Unequal document numbers are different documents, in different rows too.
        """
        ids = np.empty((len(rows), self.length), dtype=np.int64)
        segments = np.empty_like(ids)
        for index, row in enumerate(rows):
            shard = self.shards[bisect_right(self.first_rows, row) - 1]
            start = (int(row) - shard.first_row) * self.length
            ids[index] = shard.ids(slice(start, start + self.length))
            segments[index] = np.searchsorted(
                shard.starts, np.arange(start, start + self.length), side="right"
            )
        return ids, segments


class DomainRows:
    """The rows of one domain: those of a stream that holds the domain's documents one after another.

    Documents are not copied: a row is gathered from where its documents lie.
    """

    def __init__(self, rows: TokenRows, domain: str) -> None:
        self.length = rows.length
        self.shards = rows.shards
        number = rows.domains.index(domain)
        starts, sizes, shards = [], [], []
        for index, shard in enumerate(rows.shards):
            mine = np.flatnonzero(shard.domains == number)
            starts.append(shard.starts[mine])
            sizes.append(np.diff(shard.starts, append=len(shard))[mine])
            shards.append(np.full(len(mine), index))
        self.starts, self.shard_of = np.concatenate(starts), np.concatenate(shards)
        self.ends = np.cumsum(np.concatenate(sizes))  # of each document, in the domain's stream
        self.count = int(self.ends[-1]) // self.length if len(self.ends) else 0
        if not self.count:
            raise HeadstartError(f"the domain {domain!r} is shorter than one row of {self.length} tokens")

    def __len__(self) -> int:
        return self.count

    def read(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Ids and document numbers of some rows: two `[B, length]` arrays of int64."""
        places = rows[:, None] * self.length + np.arange(self.length)  # [B, length], in the domain's stream
        document = np.searchsorted(self.ends, places, side="right")
        begins = np.append(0, self.ends)[document]
        where = self.starts[document] + places - begins
        ids = np.empty(places.shape, np.int64)
        for shard in np.unique(self.shard_of[document]):
            here = self.shard_of[document] == shard
            ids[here] = self.shards[shard].ids(where[here])
        return ids, document
