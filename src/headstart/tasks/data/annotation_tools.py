"""What annotation tools add to examples: Label Studio's nesting, Prodigy's decisions, answers as columns of 0
and 1."""

from collections.abc import Mapping, Sequence
from typing import Any

from headstart.folder import JSONObject

CANCELLED = "was_cancelled"
"""Label Studio's word for an annotation that does not count; of a row, that it has no other."""
DECISIONS = {"accept", "reject", "ignore"}
"""What Prodigy's annotators say of a row, in the column `answer`."""
YES, NO, UNKNOWN = ("1", "1.0", "true"), ("0", "0.0", "false"), ("-1", "-1.0")


def label_studio_row(row: JSONObject) -> JSONObject:
    """A task of Label Studio as one flat row: the columns of `data` beside `entities`, `labels` or `score`.

    The first annotation that was not cancelled counts. In the short form (JSON-MIN) a cell `{"choices":
    [...]}` becomes the list. Any other row stays as it is.
    """
    annotations: Any = row.get("annotations", row.get("completions"))
    if isinstance(row.get("data"), Mapping) and isinstance(annotations, list):
        flat = dict(row["data"])
        for annotation in annotations:
            if isinstance(annotation, Mapping) and not annotation.get(CANCELLED):
                return flat | _results(annotation.get("result") or [])
        return flat | {CANCELLED: True}
    return {
        column: cell["choices"] if isinstance(cell, Mapping) and set(cell) == {"choices"} else cell
        for column, cell in row.items()
    }


def _results(results: Sequence[Any]) -> JSONObject:
    """What an annotator marked: spans, choices, a rating, or a text."""
    found: JSONObject = {}
    for result in results:
        value = result.get("value") if isinstance(result, Mapping) else None
        if not isinstance(value, Mapping):
            continue
        if {"start", "end"} <= set(value) and ("labels" in value or "hypertextlabels" in value):
            labels = value.get("labels") or value.get("hypertextlabels")
            span = {"start": value["start"], "end": value["end"], "label": labels[0] if labels else None}
            found.setdefault("entities", []).append(
                span | ({"text": value["text"]} if "text" in value else {})
            )
        elif "choices" in value:
            found.setdefault("labels", []).extend(value["choices"])
        elif "rating" in value:
            found["score"] = value["rating"]
        elif "text" in value:
            found["target"] = (
                value["text"][0] if isinstance(value["text"], list) and value["text"] else value["text"]
            )
    if not found:
        found["entities"] = []
    return found


def has_decisions(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the column `answer` of these rows says which of them count."""
    said = {row.get("answer") for row in rows if isinstance(row.get("answer", ""), str)}
    return bool(said) and said <= DECISIONS and any("answer" in row for row in rows) and len(rows[0]) > 2


def prodigy_choice(row: Mapping[str, Any]) -> JSONObject | None:
    """The labels that were chosen in Prodigy's choice interface, as a row; None for another row."""
    if not isinstance(row.get("accept"), list) or not isinstance(row.get("options"), list):
        return None
    rest = {column: cell for column, cell in row.items() if column not in ("accept", "options")}
    chosen: Any = [str(one) for one in row["accept"]]
    if row.get("config", {}).get("choice_style", "single") == "single" and len(chosen) == 1:
        chosen = chosen[0]
    return rest | {"label": chosen}


def indicator_columns(rows: Sequence[Mapping[str, Any]], taken: set[str]) -> list[str]:
    """The columns that say of each label whether a text has it, two at least: 0 or 1 in every row."""
    found = []
    for column in rows[0] if rows else ():
        cells = {str(row.get(column)).strip().lower() for row in rows}
        known = cells <= {*YES, *NO, *UNKNOWN} and cells & {*YES, *NO}
        if column not in taken and known and not column.lower().endswith(("id", "idx", "index")):
            found.append(column)
    return found if len(found) > 1 else []


def indicated(row: Mapping[str, Any], columns: Sequence[str]) -> list[str] | None:
    """The labels of a row whose columns say so; None where it is not known of some."""
    said = {column: str(row.get(column)).strip().lower() for column in columns}
    if any(value not in (*YES, *NO) for value in said.values()):
        return None
    return [column for column in columns if said[column] in YES]
