"""Predictions for a file of any size, in constant memory."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice
from pathlib import Path
from typing import Any

from headstart.errors import HeadstartError, nearest
from headstart.tasks.data.columns import remembered, typical_row
from headstart.tasks.data.lines import HEAD_ROWS, TOO_LONG, Row
from headstart.tasks.data.rows import names_columns, read_rows
from headstart.tasks.examples import MAX_TEXT, Choices, Conversation
from headstart.tasks.kinds.kind import TEXT_COLUMNS, AnswerRow, Unusable, choose
from headstart.tasks.predictor import Predictor

CHUNK_ROWS, CHUNK_CHARACTERS = 512, 2 * MAX_TEXT
"""What is held at once, whichever is reached first."""


def predict_file(
    predictor: Predictor,
    path: Path,
    text_column: str | None = None,
    columns: Mapping[str, str] | None = None,
) -> Iterator[AnswerRow]:
    """One answer for every row, in order; see `Predictor.answers`.

    A row's `id` is kept. A row without a usable text gets an `error` instead of an answer, so that
    answers and rows stay side by side.

    Args:
        path: text (an input a line), JSONL, JSON, CSV, TSV, Parquet or CoNLL; `-` for standard input.
        text_column: the column with the text, or words; None for the one that was learned from, or to guess
        by its
            name.
        columns: role to column, for tasks that read more than a text.

    Raises:
        HeadstartError: see `read_rows`; also no such column.
    """
    mapped = dict(columns or {}) | ({"text": text_column} if text_column else {})
    for chunk in _chunks(read_rows(path, strict=False), path, predictor, mapped):
        answers = iter(predictor.answers([found for _, found, error in chunk if found is not None]))
        for identity, found, error in chunk:
            yield identity | (AnswerRow(error=error) if found is None else next(answers))


Asked = tuple[AnswerRow, Any, str]
"""What names a row, its input, and why it has none."""


def _chunks(
    rows: Iterable[Row], path: Path, predictor: Predictor, mapped: dict[str, str]
) -> Iterator[list[Asked]]:
    kind = predictor.kind
    rows = iter(rows)
    head = list(islice(rows, HEAD_ROWS))
    usual = [(line, row) for line, row in head if row is not TOO_LONG]
    columns: dict[str, str] = {}
    if usual:
        columns = _input_columns(path, usual[0][0], typical_row([row for _, row in usual]), predictor, mapped)
    needed = [column for role, column in columns.items() if role not in kind.optional]
    chunk: list[Asked] = []
    size = 0
    for line, row in chain(head, rows):
        if row is TOO_LONG:
            asked: Asked = ({"line": line}, None, "the line is too long")
        else:
            missing = [column for column in needed if column not in row]
            if missing:
                raise HeadstartError(
                    f"{path} line {line} has no column {missing[0]!r}{nearest(missing[0], row)}"
                )
            identity: AnswerRow = {"id": row["id"]} if "id" in row else {}
            try:
                asked = (identity, kind.read_input(f"{path} line {line}", row, columns), "")
            except (Unusable, HeadstartError) as error:
                asked = (identity, None, str(error))
        chunk.append(asked)
        size += _characters(asked[1])
        if len(chunk) >= CHUNK_ROWS or size >= CHUNK_CHARACTERS:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _input_columns(
    path: Path, line: int, row: Mapping[str, Any], predictor: Predictor, mapped: dict[str, str]
) -> dict[str, str]:
    """The columns that the task reads, of a row that need not hold its answer: those that it has learned
    from."""
    kind = predictor.kind
    own_names = names_columns(path) or (str(path) == "-" and set(row) != {"text"})
    mapped = remembered(f"{path} line {line}", row, mapped, predictor.facts.reading if own_names else None)
    mapped = {role: column for role, column in mapped.items() if role not in kind.answers}
    for column in mapped.values():
        if column not in row:
            raise HeadstartError(f"{path} line {line} has no column {column!r}{nearest(column, row)}")
    pairs = bool(predictor.facts.pairs)
    stand_in = dict(row) | {"answer of no column": ""}
    roles = mapped | dict.fromkeys(kind.answers, "answer of no column")
    found = kind.columns(stand_in, roles, asked=True)
    if found is None and predictor.task == "embedding":
        text = choose(row, TEXT_COLUMNS)
        found = {"text": text} if text is not None else None
    if found is not None:
        found = {role: column for role, column in found.items() if role not in kind.answers}
        if predictor.task in ("classification", "multi-label", "regression") and not pairs:
            found.pop("pair", None)
    if found is None or (pairs and "pair" not in found):
        names = ", ".join(map(repr, row))
        wanted = "two columns with the texts of a pair" if pairs else f"{kind.wanted} (without the answer)"
        raise HeadstartError(
            f"{path} line {line} has no column known to hold the input; wanted {wanted}, found {names}"
        )
    return found


def _characters(given: Any) -> int:
    """About how long an input is."""
    if isinstance(given, Choices):
        return len(given.text) * len(given.options) + sum(map(len, given.options))
    if isinstance(given, Conversation):
        return len(given.text)
    return sum(map(len, given)) if isinstance(given, tuple | list) else len(given or "")
