"""Rows that others nest: pandas' tables as JSON, lists within a description of them, spaCy's pairs, AI2's
questions with their choices; and lists and objects within the cells of a table."""

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any

import orjson

from headstart.folder import JSONObject
from headstart.tasks.data.lines import HEAD_ROWS, TOO_LONG, Row
from headstart.tasks.examples import MAX_TEXT, is_missing

WRAPPERS = ("data", "examples", "common_examples", "rows", "records", "items", "instances", "samples")
"""What documents call the list of their rows, beside a version or the names of classes."""
WRITTEN = "text content input prompt instruction source output completion response target"
"""Columns whose objects are text that a model reads or writes."""
WORDS, TALKS = (
    ("text", "content"),
    ("input", "prompt", "instruction", "source", "output", "completion", "response"),
)
"""Of these the columns whose lists are text too, unless they are lists of words, or of messages."""
OBJECTS = ({"role", "content"}, {"from", "value"}, {"start", "end"})
"""What the parts of messages and of spans are called."""
_VALUE = r"""(?:'[^']*'|"[^"]*"|[-+]?[\d.]+(?:e[-+]?\d+)?)"""
_PRINTED = re.compile(rf"\[\s*{_VALUE}(?:\s+{_VALUE})+\s*\]")
"""An array as numpy prints it, without commas: as pandas writes it to a table."""
_NUMPY = re.compile(
    r"""array\((\[(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^'"()])*\])(?:, dtype=\w+)?\)""", re.DOTALL
)
"""An array as Python shows it. No bracket may stand within but in quotes, so that a text is read once."""


def rows_of(document: Any) -> list[Any]:
    """The rows of a JSON document: its list, its table, or the list in it; else the document is one row."""
    if not isinstance(document, dict):
        return document if isinstance(document, list) else [document]
    found = pandas_rows(document) or _listed(document)
    if found is None and len(document) == 1:  # Rasa's {"rasa_nlu_data": {"common_examples": [...]}}
        (inner,) = document.values()
        found = _listed(inner) if isinstance(inner, dict) else None
    return [document] if found is None else found


def _listed(document: JSONObject) -> list[Any] | None:
    """The list of rows in an object that says other things too; None for an object that is a row."""
    for name in WRAPPERS:
        if _are(dict, document.get(name)):
            return document[name]
    pairs = document.get("annotations")  # spaCy's pairs, as annotation tools for it write them
    if isinstance(pairs, list) and any(map(_is_pair, pairs)):
        return pairs
    return None


def pandas_rows(document: Mapping[str, Any]) -> list[Any] | None:
    """The rows of a table as `DataFrame.to_json` writes it, by columns (its default), by rows or split, or a
    list for each column; None where a document is none."""
    if {"columns", "data"} <= set(document) and _are(list, document["data"]):
        names = document["columns"]
        return [dict(zip(names, cells, strict=False)) for cells in document["data"]]
    values = list(document.values())
    if _are(list, values) and _are_columns(values):
        return [dict(zip(document, cells, strict=True)) for cells in zip(*values, strict=True)]
    if not document or not _are(dict, values):
        return None
    if all(key.isdecimal() for key in document):
        return values
    keys = list(values[0])
    if keys and all(key.isdecimal() for key in keys) and all(list(one) == keys for one in values):
        return [{name: cells[key] for name, cells in document.items()} for key in keys]
    return None


def _are_columns(lists: Sequence[list[Any]]) -> bool:
    """Whether lists are the columns of a table, and not the words of one sentence with their tags: some text
    has several words."""
    sizes = {len(one) for one in lists}
    cells = [cell for one in lists for cell in one]
    several = any(isinstance(cell, str) and len(cell.split()) > 1 for cell in cells)
    return (
        len(lists) > 1 and len(sizes) == 1 and several and not any(isinstance(c, list | dict) for c in cells)
    )


def flat_row(row: Any) -> Any:
    """A row with a column for each part: spaCy's `[text, {"entities": [...]}]`, AI2's `{"question": {"stem":
    ..., "choices": [...]}}`, `{"translation": {"en": ..., "de": ...}}`, and `{"row_idx": 0, "row": {...}}` of
    the Hub's viewer; anything else as it is."""
    if _is_pair(row):
        return {"text": row[0], **row[1]}
    if isinstance(row, dict) and any(map(_is_transposed, row.values())):
        row = {column: _objects(cell) if _is_transposed(cell) else cell for column, cell in row.items()}
    if isinstance(row, dict) and "row_idx" in row and isinstance(row.get("row"), dict):
        return row["row"]
    if isinstance(row, dict) and isinstance(row.get("translation"), dict):
        return {column: cell for column, cell in row.items() if column != "translation"} | row["translation"]
    if isinstance(row, dict) and isinstance(row.get("question"), dict):
        asked: JSONObject = row["question"]
        if {"stem", "choices"} <= set(asked):
            return row | {"question": asked["stem"], "choices": asked["choices"]}
    return row


def _is_transposed(cell: Any) -> bool:
    """Whether a cell is an object of lists that stands for a list of objects, messages or spans: so Hugging
    Face's datasets keep a sequence of structures."""
    if not isinstance(cell, dict) or not all(isinstance(one, list) for one in cell.values()):
        return False
    return any(names <= set(cell) for names in OBJECTS) and len(set(map(len, cell.values()))) == 1


def _objects(cell: JSONObject) -> list[JSONObject]:
    return [dict(zip(cell, values, strict=True)) for values in zip(*cell.values(), strict=True)]


def _is_pair(row: Any) -> bool:
    return isinstance(row, list) and len(row) == 2 and isinstance(row[0], str) and isinstance(row[1], dict)


def _are(kind: type, values: Any) -> bool:
    return isinstance(values, list) and bool(values) and all(isinstance(one, kind) for one in values)


def with_parsed_cells(rows: Iterator[Row]) -> Iterator[Row]:
    """The same rows with lists and objects in the place of those that are written as text, by JSON or by
    Python; which columns have such is told from the first rows."""
    head = list(islice(rows, HEAD_ROWS))
    nested = nested_columns([row for _, row in head if isinstance(row, dict)])
    for number, row in chain(head, rows):
        if nested and row is not TOO_LONG:
            cells = {column: row[column] for column in nested if column in row}
            row = row | {column: _unwrapped(parsed(cell)) for column, cell in cells.items()}
        yield number, row


def nested_columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The columns whose cells are lists or objects written as text, or Label Studio's `{"choices": [...]}`,
    which stands for several choices beside single ones in plain text. What a model reads or writes as text
    stays text."""
    found = []
    for column in dict.fromkeys(column for row in rows for column in row):
        cells = [row[column] for row in rows if not is_missing(row.get(column))]
        inside = [parsed(cell) for cell in cells]
        if _is_text(str(column).strip().lower(), inside):
            continue
        written = all(isinstance(cell, str) for cell in cells)
        if (written and cells and all(isinstance(one, list | dict) for one in inside)) or any(
            _unwrapped(one) is not one for one in inside
        ):
            found.append(column)
    return found


def _is_text(name: str, cells: Sequence[Any]) -> bool:
    """Whether a column is text by its name, though objects or lists are written in it: "[1, 2, 3]"."""
    if name not in WRITTEN.split():
        return False
    parts = [part for cell in cells if isinstance(cell, list) for part in cell]
    words = all(isinstance(part, str) for part in parts)
    talk = all(isinstance(part, dict) and any(names <= set(part) for names in OBJECTS) for part in parts)
    return (
        any(isinstance(cell, dict) for cell in cells)
        or (name in WORDS and not words)
        or (name in TALKS and not talk)
    )


def _unwrapped(cell: Any) -> Any:
    """The list in Label Studio's `{"choices": [...]}`; any other cell as it is."""
    return cell["choices"] if isinstance(cell, Mapping) and set(cell) == {"choices"} else cell


def parsed(cell: Any) -> Any:
    """The list or object in a cell of a table, None in an empty one; any other cell as it is.

    Python's way of writing is read up to `MAX_TEXT` characters: its parser takes some hundred times as much
    memory.
    """
    if not isinstance(cell, str) or cell.strip()[:1] not in ("[", "{"):
        return None if is_missing(cell) else cell
    try:
        return orjson.loads(cell)
    except orjson.JSONDecodeError:
        pass
    if len(cell) > MAX_TEXT:
        return cell
    written = _NUMPY.sub(r"\1", cell.strip())
    if _PRINTED.fullmatch(written):
        written = f"[{', '.join(re.findall(_VALUE, written))}]"
    try:
        found = ast.literal_eval(written)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return cell  # TypeError: "{{1}}", a set of sets
    return sorted(found, key=str) if isinstance(found, set) else found
