"""Which document a token belongs to, and which tokens a document became."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from headstart.errors import HeadstartError
from headstart.tokenizer.shards import SPLITS, tokens_manifest


def document_at(folder: Path, split: str, token: int) -> dict[str, Any]:
    """The document that holds a token.

    Args:
        folder: a tokens folder.
        split: `train` or `heldout`.
        token: its place in the split, from 0, over all shards.

    Returns:
        `id`, `domain`, `shard`, `start` in it, `tokens`, and `first`: its first token's place in the split.

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
            return document | {"shard": f"{split}-{number:05d}", "first": before + document["start"]}
        before += size
    raise HeadstartError(f"the split {split} of {folder} has {before:,} tokens, so no token {token:,}")


def places_of(folder: Path, identity: str) -> list[dict[str, Any]]:
    """Where the tokens of a document lie, for every copy: as `document_at`, with the split."""
    found = []
    splits = tokens_manifest(folder)["splits"]
    for split in SPLITS:
        before = 0
        for number in range(splits[split]["shards"]):
            path = folder / f"{split}-{number:05d}.documents.parquet"
            table = pq.read_table(path, columns=["id", "start", "tokens"])
            for row in (table["id"].to_numpy(zero_copy_only=False) == identity).nonzero()[0].tolist():
                (place,) = table.select(["start", "tokens"]).slice(row, 1).to_pylist()
                shard = {"split": split, "shard": f"{split}-{number:05d}"}
                found.append(shard | place | {"first": before + place["start"]})
            before += table["start"][-1].as_py() + table["tokens"][-1].as_py()
    return found
