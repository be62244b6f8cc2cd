"""What annotation tools add to examples: Label Studio's nesting, Prodigy's decisions, spaCy's categories,
answers as columns of 0 and 1."""

from collections.abc import Mapping, Sequence
from typing import Any

from headstart.folder import JSONObject

CANCELLED = "was_cancelled"
"""Label Studio's word for an annotation that does not count; of a row, that it has no other."""
DECISIONS = {"accept", "reject", "ignore"}
"""What Prodigy's annotators say of a row, in the column `answer`."""
YES, NO, UNKNOWN = ("1", "1.0", "true"), ("0", "0.0", "false"), ("-1", "-1.0")


def label_studio_rows(rows: Sequence[Any]) -> list[Any]:
    """Tasks of Label Studio as flat rows: the columns of `data` beside what was marked, `entities`, `labels`,
    `score` or `target`; other rows as they are.

    The first annotation that was not cancelled counts. Choices of several questions stand under the names of
    these. Where a text lacks a mark of a kind that others have, it has no entities, and its labels are not
    known.
    """
    results = [_results(row) if _is_task(row) else None for row in rows]
    asked = {
        name for its in results for name, value in its or () if "choices" in value or "taxonomy" in value
    }
    marked = [None if its is None else _marks(its, len(asked) > 1) for its in results]
    nothing: JSONObject = {column: None for marks in marked for column in marks or ()}
    if "entities" in nothing or not nothing:
        nothing["entities"] = []
    return [
        row if not _is_task(row) else row["data"] | ({CANCELLED: True} if marks is None else nothing | marks)
        for row, marks in zip(rows, marked, strict=True)
    ]


def _is_task(row: Any) -> bool:
    return (
        isinstance(row, Mapping)
        and isinstance(row.get("data"), Mapping)
        and isinstance(row.get("annotations", row.get("completions")), list)
    )


def _results(task: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]] | None:
    """What an annotator marked, each with the name of what was asked; None: no annotation counts."""
    for annotation in task.get("annotations", task.get("completions")):
        if isinstance(annotation, Mapping) and not annotation.get(CANCELLED):
            found = [one for one in _list(annotation.get("result")) if isinstance(one, Mapping)]
            values = [(str(one.get("from_name", "")), one.get("value")) for one in found]
            return [(name, value) for name, value in values if isinstance(value, Mapping)]
    return None


def _marks(results: Sequence[tuple[str, Mapping[str, Any]]], by_name: bool) -> JSONObject:
    """Columns out of marks: spans, choices (by the name of what was asked, or `labels`), numbers, texts."""
    found: JSONObject = {}
    for name, value in results:
        if {"start", "end"} <= set(value):
            labels = value.get("labels", value.get("hypertextlabels"))
            if labels is not None:
                span = {"start": value["start"], "end": value["end"], "label": labels}
                text = {"text": value["text"]} if "text" in value else {}
                found.setdefault("entities", []).append(span | text)
        elif "choices" in value or "taxonomy" in value:
            paths = ["/".join(map(str, _list(path))) for path in _list(value.get("taxonomy"))]
            found.setdefault(name if by_name else "labels", []).extend(_list(value.get("choices")) + paths)
        elif "rating" in value or "number" in value:
            found["score"] = value.get("rating", value.get("number"))
        elif "text" in value:
            text = value["text"]
            found["target"] = text[0] if isinstance(text, list) and text else text
    return found


def _list(cell: Any) -> list[Any]:
    return cell if isinstance(cell, list) else []


def has_decisions(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the column `answer` of these rows says which of them count."""
    said = {row.get("answer") for row in rows if isinstance(row.get("answer", ""), str)}
    return bool(said) and said <= DECISIONS and any("answer" in row for row in rows) and len(rows[0]) > 2


def chooses_several(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether Prodigy's choice interface took several options of one text: it says so, or some rows have."""
    configs = [row.get("config") for row in rows if _is_choice(row)]
    told = any(isinstance(one, Mapping) and one.get("choice_style") == "multiple" for one in configs)
    return told or any(len(row["accept"]) > 1 for row in rows if _is_choice(row))


def prodigy_choice(row: Mapping[str, Any], several: bool) -> JSONObject | None:
    """The labels that were chosen in Prodigy's choice interface, as a row; None for another row. Where one is
    to be chosen and none was, the label is not known."""
    if not _is_choice(row):
        return None
    rest = {column: cell for column, cell in row.items() if column not in ("accept", "options")}
    chosen = [str(one) for one in row["accept"]]
    if not several and len(chosen) < 2:
        return rest | {"label": chosen[0] if chosen else None}
    return rest | {"label": chosen}


def _is_choice(row: Mapping[str, Any]) -> bool:
    return isinstance(row.get("accept"), list) and isinstance(row.get("options"), list)


def with_categories(row: JSONObject) -> JSONObject:
    """A row with a list of names in the place of spaCy's `{"POSITIVE": 1.0, "NEGATIVE": 0.0}`; None where it
    is not known of some."""
    found = row
    for column in ("cats", "labels", "label"):
        cell = row.get(column)
        if isinstance(cell, Mapping) and cell:
            said = {str(name): str(value).strip().lower() for name, value in cell.items()}
            if all(value in (*YES, *NO, *UNKNOWN) for value in said.values()):
                found = found | {column: indicated(cell, list(cell))}
    return found


def indicator_columns(rows: Sequence[Mapping[str, Any]], taken: set[str]) -> list[str]:
    """The columns that say of each label whether a text has it, two at least and all written alike: 0 or 1 in
    every row, or true or false. (Beside GoEmotions' 28 columns of numbers, one says in words that a text is
    unclear.)"""
    found: dict[bool, list[str]] = {False: [], True: []}
    for column in rows[0] if rows else ():
        cells = {str(row.get(column)).strip().lower() for row in rows}
        known = cells <= {*YES, *NO, *UNKNOWN} and cells & {*YES, *NO}
        if column not in taken and known and not column.lower().endswith(("id", "idx", "index")):
            found[bool(cells & {"true", "false"})].append(column)
    most = max(found.values(), key=len)
    return most if len(most) > 1 else []


def indicated(row: Mapping[str, Any], columns: Sequence[str]) -> list[str] | None:
    """The labels of a row whose columns say so; None where it is not known of some."""
    said = {column: str(row.get(column)).strip().lower() for column in columns}
    if any(value not in (*YES, *NO) for value in said.values()):
        return None
    return [column for column in columns if said[column] in YES]
