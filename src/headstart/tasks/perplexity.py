"""How well a decoder foresees own text: perplexity and bits per byte."""

import lzma
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from headstart.errors import HeadstartError
from headstart.interchange.model_folder import LoadedModel
from headstart.tasks.evaluation_report import Evaluation, by_length, excerpt, slices
from headstart.tasks.likelihood import Asked, likelihoods, windows
from headstart.tasks.metrics.language import bits_per_byte, perplexity
from headstart.tasks.rows import TOO_LONG, format_of, read_rows

CHUNK_DOCUMENTS = 64
FEW_DOCUMENTS = 30
"""With fewer, the resamples draw windows: that many documents are too few to draw from."""
TEXT_NAMES = ("text", "content", "document", "body")
HARDEST = 10


def evaluate_text(
    loaded: LoadedModel, path: Path, stride: int | None = None, limit: int | None = None
) -> Evaluation:
    """Perplexity per token and per word, and bits per byte, of the documents in a file.

    Args:
        path: a text file, which is one document, or rows with a text each (JSONL, CSV, TSV, Parquet).
        stride: how far the window moves, in tokens; None: half of the model's context.
        limit: so many documents from the beginning; None: all.

    Raises:
        HeadstartError: the model is no decoder, or there is no text.
    """
    if loaded.head != "causal":
        raise HeadstartError(
            "perplexity is what a decoder has, which foresees a text from the left; this model is "
            f"{loaded.head}"
        )
    context = loaded.model.config.context
    stride = max(1, context // 2) if stride is None else stride
    units: list[tuple[int, float, float, float, float]] = []  # document, loss, tokens, words, bytes
    rows: list[dict[str, Any]] = []
    xz = lzma.LZMACompressor(preset=6)
    packed = 0
    documents = islice(read_documents(path), limit)
    while chunk := list(islice(documents, CHUNK_DOCUMENTS)):
        asked: list[tuple[int, Asked]] = []
        encoded = loaded.tokenizer.encode_batch([text for text, _ in chunk])
        for number, ids in enumerate(encoded, len(rows)):
            asked += [(number, window) for window in windows(loaded.tokenizer, ids, context, stride)]
        found = likelihoods(loaded, [window for _, window in asked])
        for (number, window), likelihood in zip(asked, found, strict=True):
            text = chunk[number - len(rows)][0]
            share = len(window.target) / len(encoded[number - len(rows)])
            words, size = len(text.split()), len(text.encode("utf-8", errors="replace"))
            units.append((number, -likelihood.logprob, len(window.target), words * share, size * share))
        packed += sum(len(xz.compress(text.encode("utf-8", errors="replace"))) for text, _ in chunk)
        rows += [other | {"text": excerpt(text), "tokens": len(ids)}
                 for (text, other), ids in zip(chunk, encoded, strict=True)]  # fmt: skip
    if not units:
        raise HeadstartError(f"{path} holds no text to foresee")
    owner, losses, tokens, words, sizes = np.array(units).T
    drawn = "windows"
    if len(rows) >= FEW_DOCUMENTS:
        drawn = "documents"
        kept = np.unique(owner.astype(int))
        losses, tokens, words, sizes = (
            np.bincount(owner.astype(int), part)[kept] for part in (losses, tokens, words, sizes)
        )
        rows = [rows[place] for place in kept]
    bits = bits_per_byte(losses, sizes)
    count = len(rows) if drawn == "documents" else len(set(owner))
    result = Evaluation(
        path.name,
        "text",
        f"Windows of {context} tokens that move by {stride}; each token is foreseen once, from at least "
        f"{context - stride} tokens before it (or the document's beginning); the end of a document does not "
        f"count. {count:,} documents, resamples draw {drawn}.",
    )
    result.add("model", [bits, perplexity(losses, tokens), perplexity(losses, words, "word")])
    compressed = 8 * (packed + len(xz.flush())) / sizes.sum()
    result.add_plain("xz", bits.metric, float(compressed), int(sizes.sum()))
    if drawn == "documents":
        columns: dict[str, Sequence[Any]] = {
            name: [row.get(name) for row in rows] for name in rows[0] if name not in ("text", "tokens")
        }
        columns["length"] = by_length([row["tokens"] for row in rows], "tokens")
        result.tables["slices"] = slices(bits, columns)
        each = losses / np.maximum(sizes, 1) / np.log(2)
        result.tables["hardest documents"] = [
            {
                "bits per byte": float(each[place]),
                "tokens": rows[place]["tokens"],
                "text": rows[place]["text"],
            }
            for place in np.argsort(-each)[:HARDEST]
        ]
    return result


def read_documents(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Texts that are not empty, each with the other columns of its row."""
    if format_of(path) == "text":
        text = "\n".join("" if row is TOO_LONG else row["text"] for _, row in read_rows(path))
        if text.strip():
            yield text, {}
        return
    column = None
    for line, row in read_rows(path):
        if row is TOO_LONG:
            continue
        if column is None:
            column = next((name for name in TEXT_NAMES if isinstance(row.get(name), str)), None)
            if column is None:
                found = ", ".join(map(repr, list(row)[:12]))
                raise HeadstartError(
                    f"{path} line {line} has no text; wanted {' or '.join(map(repr, TEXT_NAMES))}, "
                    f"found {found}"
                )
        text = row.get(column)
        if isinstance(text, str) and text.strip():
            yield text, {name: value for name, value in row.items() if name != column}
