"""How well a decoder foresees own text: perplexity and bits per byte."""

import lzma
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from headstart.errors import HeadstartError
from headstart.evaluation.likelihood import likelihoods, windows
from headstart.evaluation.pseudo_likelihood import pieces, pseudo_loss
from headstart.evaluation.report import Evaluation, by_length, excerpt, slices
from headstart.interchange.model_folder import LoadedModel
from headstart.tasks.data.lines import MAX_LINE, TOO_LONG
from headstart.tasks.data.rows import TableRow, format_of, read_rows
from headstart.tasks.metrics.language import bits_per_byte, perplexity

CHUNK_DOCUMENTS = 64
FEW_DOCUMENTS = 30
"""With fewer, the resamples draw windows: that many documents are too few to draw from."""
TEXT_NAMES = ("text", "content", "document", "body")
HARDEST = 10


def evaluate_text(
    loaded: LoadedModel, path: Path, stride: int | None = None, limit: int | None = None
) -> Evaluation:
    """Perplexity per token and per word, and bits per byte, of the documents in a file.

    An encoder, which hides each token in turn, has pseudo-perplexity instead; see `pseudo_likelihood`.

    Args:
        path: a text file, which is one document, or rows with a text each (JSONL, CSV, TSV, Parquet).
        stride: how far a decoder's window moves, in tokens; None: half of the model's context.
        limit: so many documents from the beginning; None: all.

    Raises:
        HeadstartError: the model foresees no text, or there is none.
    """
    masked = loaded.head in ("masked", "pretraining")
    if loaded.head != "causal" and not masked:
        raise HeadstartError(
            f"perplexity is what a decoder has, which foresees a text; this model is {loaded.head}"
        )
    context = loaded.model.config.context
    stride = max(1, context // 2) if stride is None else stride
    units: list[tuple[int, float, float, float, float]] = []  # document, loss, tokens, words, bytes
    rows: list[TableRow] = []
    xz = lzma.LZMACompressor(preset=6)
    packed = 0
    documents = islice(corpus_documents(path), limit)
    while chunk := list(islice(documents, CHUNK_DOCUMENTS)):
        texts = [text for text, _ in chunk]
        encoded = loaded.tokenizer.encode_batch(texts)
        lengths = [(len(text.split()), len(_bytes(text))) for text in texts]
        found = _hidden_in_turn(loaded, encoded) if masked else _from_the_left(loaded, encoded, stride)
        for place, loss, size in found:
            share, (words, length) = size / len(encoded[place]), lengths[place]
            units.append((len(rows) + place, loss, size, words * share, length * share))
        packed += sum(len(xz.compress(_bytes(text))) for text in texts)
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
    pseudo = "pseudo-" if masked else ""
    bits = bits_per_byte(losses, sizes, f"{pseudo}bits per byte")
    count = len(rows) if drawn == "documents" else len(set(owner))
    rule = (
        f"Pieces of at most {context} tokens with the special ones, in which each token is hidden in turn; "
        "to be compared between encoders alone."
        if masked
        else f"Windows of {context} tokens that move by {stride}; each token is foreseen once, from at least "
        f"{context - stride} tokens before it (or the document's beginning); the end of a document does not "
        "count."
    )
    rule += f" {count:,} document{'s' if count > 1 else ''}, resamples draw {drawn}."
    result = Evaluation(path.name, "text", rule)
    by_token = perplexity(losses, tokens, f"token {pseudo}perplexity")
    result.add("model", [bits, by_token, perplexity(losses, words, f"word {pseudo}perplexity")])
    compressed = 8 * (packed + len(xz.flush())) / sizes.sum()
    result.add_plain("xz", "bits per byte", float(compressed), int(sizes.sum()))
    if drawn == "documents":
        columns: dict[str, Sequence[Any]] = {
            name: [row.get(name) for row in rows] for name in rows[0] if name not in ("text", "tokens")
        }
        columns["length"] = by_length([row["tokens"] for row in rows], "tokens")
        result.tables["slices"] = slices(bits, columns)
        each = losses / np.maximum(sizes, 1) / np.log(2)
        result.tables["hardest documents"] = [
            {
                bits.metric: float(each[place]),
                "tokens": rows[place]["tokens"],
                "text": rows[place]["text"],
            }
            for place in np.argsort(-each)[:HARDEST]
        ]
    return result


def _from_the_left(
    loaded: LoadedModel, encoded: Sequence[list[int]], stride: int
) -> Iterator[tuple[int, float, int]]:
    """Of every window which document it is in, its loss in nats, and how many tokens it foresees."""
    asked = [
        (place, window)
        for place, ids in enumerate(encoded)
        for window in windows(loaded.tokenizer, ids, loaded.model.config.context, stride)
    ]
    found = likelihoods(loaded, [window for _, window in asked])
    for (place, window), likelihood in zip(asked, found, strict=True):
        yield place, -likelihood.logprob, len(window.target)


def _hidden_in_turn(loaded: LoadedModel, encoded: Sequence[list[int]]) -> Iterator[tuple[int, float, int]]:
    """The same of every piece that an encoder reads."""
    for place, ids in enumerate(encoded):
        for piece in pieces(loaded, ids):
            yield place, pseudo_loss(loaded, piece), len(piece)


def corpus_documents(path: Path) -> Iterator[tuple[str, TableRow]]:
    """Texts that are not empty, each with the other columns of its row."""
    if format_of(path) == "text":
        text = "\n".join(_short(path, line, row)["text"] for line, row in read_rows(path))
        if text.strip():
            yield text, {}
        return
    column = None
    for line, row in read_rows(path):
        _short(path, line, row)
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


def _short(path: Path, line: int, row: Any) -> TableRow:
    """The row, unless its line was too long to be read."""
    if row is TOO_LONG:
        raise HeadstartError(
            f"{path} line {line} is over {MAX_LINE >> 20} MB long; cut the document into parts"
        )
    return row


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", errors="replace")
