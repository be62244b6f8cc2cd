"""Losses on texts that were chosen to judge by, and shares of next tokens that are right."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch

from headstart.errors import HeadstartError
from headstart.lab.measures.losses import (
    AT_ONCE,
    DOCUMENTS,
    ROW,
    HeldOut,
    causal_by_document,
    heldout_rows,
    model_of,
)
from headstart.models.transformer import Transformer
from headstart.objectives.vocabulary import read_vocabulary
from headstart.tokenizer.folder import open_tokenizer


def rows_of_texts(texts: Iterable[str], tokenizer_folder: Path, length: int = ROW, each: int = 4) -> HeldOut:
    """The first rows of `length` tokens of the first texts that are long enough for one."""
    tokenizer = open_tokenizer(tokenizer_folder)
    rows: list[list[int]] = []
    documents: list[int] = []
    number = 0
    for text in texts:
        ids = [*tokenizer.opening, *tokenizer.encode(text[: 8 * each * length])]
        found = min(each, len(ids) // length)
        if not found:
            continue
        rows += [ids[n * length : (n + 1) * length] for n in range(found)]
        documents += [number] * found
        number += 1
        if number == DOCUMENTS:
            break
    return HeldOut(np.array(rows), np.array(documents), read_vocabulary(tokenizer))


def heldout_of_domain(tokens: Path, domain: str, each: int = 4) -> HeldOut:
    """The first rows of the held-out documents of a domain.

    Raises:
        HeadstartError: there is no such document that is long enough for one.
    """
    rows: list[np.ndarray] = []
    documents: list[int] = []
    for file in sorted(tokens.glob("heldout-*.npy")):
        ids = np.load(file, mmap_mode="r")
        table = pq.read_table(file.with_suffix(".documents.parquet"), columns=["domain", "start", "tokens"])
        for number, row in enumerate(row for row in table.to_pylist() if row["domain"] == domain):
            for n in range(min(each, row["tokens"] // ROW)):
                begin = row["start"] + n * ROW
                rows.append(np.asarray(ids[begin : begin + ROW]))
                documents.append(number)
    if not rows:
        raise HeadstartError(f"no held-out document of the domain {domain} in {tokens} has {ROW} tokens")
    order = np.unique(documents, return_inverse=True)[1]
    return HeldOut(np.stack(rows).astype(np.int64), order, read_vocabulary(open_tokenizer(tokens)))


def loss_and_size(run: Path, steps: int, step_tokens: int, tokens: Path) -> dict[str, float]:
    """What a fit of a scaling law needs of a run: nats a token on held-out text, weights, tokens read."""
    return {
        "nats": float(np.mean(causal_by_document(run, heldout_rows(tokens)))),
        "parameters": float(sum(one.numel() for one in model_of(run).parameters())),
        "tokens": float(steps * step_tokens),
    }


@torch.no_grad()
def next_right(model: Transformer, ids: np.ndarray) -> np.ndarray:
    """Whether the likeliest token is the one that comes, of every token but the first: `[N, T - 1]`."""
    found = []
    for start in range(0, len(ids), AT_ONCE):
        part = torch.from_numpy(ids[start : start + AT_ONCE])
        best = model.logits(model(part[:, :-1])).argmax(-1)
        found.append((best == part[:, 1:]).numpy())
    return np.concatenate(found)


def all_right(right: np.ndarray, length: int) -> float:
    """Share of pieces of `length` tokens in which every token is right, of `[N, T]`."""
    pieces = right.shape[1] // length
    cut = right[:, : pieces * length].reshape(len(right), pieces, length)
    return float(cut.all(-1).mean())
