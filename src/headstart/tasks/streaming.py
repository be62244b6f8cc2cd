"""Predictions for a file of any size, in constant memory."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from headstart.errors import HeadstartError, nearest
from headstart.tasks.data import COLUMNS, MAX_TEXT, Input, TaskKind, choose
from headstart.tasks.predictor import Predictor
from headstart.tasks.rows import TOO_LONG, Row, read_rows

CHUNK_ROWS, CHUNK_CHARACTERS = 512, 2 * MAX_TEXT
"""What is held at once, whichever is reached first."""


def predict_file(
    predictor: Predictor, path: Path, text_column: str | None = None
) -> Iterator[dict[str, Any]]:
    """One answer for every row, in order; see `Predictor.answers`.

    A row's `id` is kept. A row without a usable text gets an `error` instead of an answer, so that
    answers and rows stay side by side.

    Args:
        path: text (an input a line), JSONL, CSV, TSV, Parquet or CoNLL; `-` for standard input.
        text_column: the column with the text, or words; None to guess by its name.

    Raises:
        HeadstartError: see `read_rows`; also no such column.
    """
    for chunk in _chunks(read_rows(path, strict=False), path, predictor.task, text_column):
        answers = iter(predictor.answers([found for _, found, error in chunk if found is not None]))
        for identity, found, error in chunk:
            yield identity | ({"error": error} if found is None else next(answers))


Asked = tuple[dict[str, Any], Input | None, str]
"""What names a row, its input, and why it has none."""


def _chunks(rows: Iterable[Row], path: Path, task: TaskKind, column: str | None) -> Iterator[list[Asked]]:
    chunk: list[Asked] = []
    size = 0
    for line, row in rows:
        if row is TOO_LONG:
            asked: Asked = ({"line": line}, None, "the line is too long")
        else:
            column = column or choose(row, COLUMNS[task][0]) or choose(row, COLUMNS["classification"][0])
            if column is None or column not in row:
                found = ", ".join(map(repr, row))
                hint = nearest(column, row) if column else f" that is known to hold texts; found {found}"
                raise HeadstartError(
                    f"{path} line {line} has no column{f' {column!r}' if column else ''}{hint}"
                )
            identity = {"id": row["id"]} if "id" in row else {}
            asked = (identity, *_usable(row[column], task))
        chunk.append(asked)
        size += len(asked[1] or "")
        if len(chunk) >= CHUNK_ROWS or size >= CHUNK_CHARACTERS:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _usable(value: Any, task: TaskKind) -> tuple[Input | None, str]:
    """The input in a cell, or the reason why there is none."""
    if isinstance(value, list) and task == "tagging":
        return ([str(word) for word in value], "") if value else (None, "no words")
    if isinstance(value, (list, dict)):
        return None, f"the text is a {type(value).__name__}"
    if value is None or not str(value).strip():
        return None, "empty text"
    if len(str(value)) > MAX_TEXT:
        return None, "text over 1 MB"
    return str(value), ""
