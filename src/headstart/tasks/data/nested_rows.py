"""Rows that others nest: pandas' tables as JSON, spaCy's pairs, AI2's questions with their choices."""

from collections.abc import Mapping, Sequence
from typing import Any

from headstart.folder import JSONObject


def pandas_rows(document: Mapping[str, Any]) -> list[Any] | None:
    """The rows of a table as `DataFrame.to_json` writes it, by columns (its default), by rows or split; None
    where a document is none."""
    if {"columns", "data"} <= set(document) and _are(list, document["data"]):
        names = document["columns"]
        return [dict(zip(names, cells, strict=False)) for cells in document["data"]]
    values = list(document.values())
    if not document or not _are(dict, values):
        return None
    if all(key.isdecimal() for key in document):
        return values
    keys = list(values[0])
    if keys and all(key.isdecimal() for key in keys) and all(list(one) == keys for one in values):
        return [{name: cells[key] for name, cells in document.items()} for key in keys]
    return None


def flat_row(row: Any) -> Any:
    """spaCy's `[text, {"entities": [...]}]` and AI2's `{"question": {"stem": ..., "choices": [...]}}` with
    a column for each part; anything else as it is."""
    if isinstance(row, list) and len(row) == 2 and isinstance(row[0], str) and isinstance(row[1], dict):
        return {"text": row[0], **row[1]}
    if isinstance(row, dict) and isinstance(row.get("question"), dict):
        asked: JSONObject = row["question"]
        if {"stem", "choices"} <= set(asked):
            return row | {"question": asked["stem"], "choices": asked["choices"]}
    return row


def _are(kind: type, values: Any) -> bool:
    return isinstance(values, Sequence) and all(isinstance(one, kind) for one in values)
