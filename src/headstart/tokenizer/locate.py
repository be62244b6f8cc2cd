"""Which document a token belongs to, and which tokens a document became."""

from pathlib import Path
from typing import TypedDict, cast

import pyarrow.parquet as pq

from headstart.errors import HeadstartError
from headstart.tokenizer.shards import SPLITS, tokens_manifest


class TokenSpan(TypedDict):
    """Tokens of a document in a shard."""

    shard: str
    start: int
    tokens: int
    first: int
    """Its first token's place in the split."""


class DocumentSpan(TokenSpan):
    """A document, and where its tokens lie."""

    id: str
    domain: str


class Place(TokenSpan):
    """Where a copy of a document lies."""

    split: str


def document_at(folder: Path, split: str, token: int) -> DocumentSpan:
    """The document that holds a token.

    Args:
        folder: a tokens folder.
        split: `train` or `heldout`.
        token: its place in the split, from 0, over all shards.

    Raises:
        HeadstartError: there is no such split or token.
    """
    splits = tokens_manifest(folder)["splits"]
    if split not in splits:
        raise HeadstartError(f"{folder} has no split {split!r}; it has {' and '.join(splits)}")
    before = 0
    for number in range(splits[split]["shards"]):
        path = folder / f"{split}-{number:05d}.documents.parquet"
        table = pq.read_table(path, columns=["id", "domain", "start", "tokens"])
        starts = table["start"].to_numpy()
        size = int(starts[-1]) + table["tokens"][-1].as_py()
        if 0 <= token - before < size:
            row = int(starts.searchsorted(token - before, side="right")) - 1
            (document,) = table.slice(row, 1).to_pylist()
            place = {"shard": f"{split}-{number:05d}", "first": before + document["start"]}
            return cast(DocumentSpan, document | place)
        before += size
    raise HeadstartError(f"the split {split} of {folder} has {before:,} tokens, so no token {token:,}")


def places_of(folder: Path, identity: str) -> list[Place]:
    """Where the tokens of a document lie, for every copy: as `document_at`, with the split."""
    found: list[Place] = []
    splits = tokens_manifest(folder)["splits"]
    for split in SPLITS:
        before = 0
        for number in range(splits[split]["shards"]):
            path = folder / f"{split}-{number:05d}.documents.parquet"
            table = pq.read_table(path, columns=["id", "start", "tokens"])
            for row in (table["id"].to_numpy(zero_copy_only=False) == identity).nonzero()[0].tolist():
                (place,) = table.select(["start", "tokens"]).slice(row, 1).to_pylist()
                shard = f"{split}-{number:05d}"
                beside = {"split": split, "shard": shard, "first": before + place["start"]}
                found.append(cast(Place, beside | place))
            before += table["start"][-1].as_py() + table["tokens"][-1].as_py()
    return found
