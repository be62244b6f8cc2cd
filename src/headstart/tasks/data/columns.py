"""Which columns of a file a task reads, and what it leaves unread.

A choice is made from many rows: the first may lack what others have (doccano's first text without a label).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from headstart.errors import HeadstartError, nearest
from headstart.folder import JSONObject
from headstart.tasks.examples import Reading, is_missing
from headstart.tasks.kinds.kind import PAIR_COLUMNS, TEXT_COLUMNS, Kind
from headstart.tasks.kinds.label_values import is_truth
from headstart.tasks.kinds.registry import ALL, KINDS, WRITING, kind_named

INPUT_NAMES = {
    *TEXT_COLUMNS.split(),
    *" ".join(PAIR_COLUMNS).split(),
    *[
        "context",
        "passage",
        "paragraph",
        "article",
        "premise",
        "hypothesis",
        "claim",
        "evidence",
        "dialogue",
        "input",
        "source",
        "ctx",
    ],
    "description",
    "abstract",
    "headline",
    "statement",
} - {"a", "b"}
"""What columns of inputs are called; one of these that is not read is missed."""
MAY_LACK = {role for kind in ALL.values() for role in (*kind.answers, *kind.optional)}
"""Roles of columns that another file of the same data may lack."""
MOST_NAMED = 8


def typical_row(rows: Sequence[Mapping[str, Any]]) -> JSONObject:
    """Every column of these rows with the first cell of it that holds something.

    A list comes before other things: where some texts have several labels, a single one may stand alone. Yes
    and no come first or last, as most cells have it: a question about a text may begin with them.
    """
    found: JSONObject = {}
    for row in rows:
        for column, cell in row.items():
            better = isinstance(cell, list) > isinstance(found.get(column), list)
            if column not in found or (not _is_empty(cell) and (_is_empty(found[column]) or better)):
                found[column] = cell
    for column, cell in found.items():
        if isinstance(cell, str) and not _is_empty(cell):
            cells = [row[column] for row in rows if not _is_empty(row.get(column))]
            truths = [is_truth(one) for one in cells]
            found[column] = cells[truths.index(2 * sum(truths) > len(cells))]
    return found


def _is_empty(cell: Any) -> bool:
    return is_missing(cell) or cell == [] or cell == {}


def named_task(
    task: str | None, row: Mapping[str, Any], mapped: Mapping[str, str]
) -> tuple[str | None, bool]:
    """The task whose columns a file has, and whether its answers are to be put into words."""
    if task is None or task.partition(":")[0] != "text-to-text":
        return task, False
    plain = WRITING["text-to-text"]
    known = all(column in row for column in mapped.values())
    if task == "text-to-text" and (not known or plain.columns(row, mapped, asked=True) is not None):
        return task, False
    return task.partition(":")[2] or None, True


def choose_columns(
    name: str,
    row: Mapping[str, Any],
    task: str | None,
    mapped: Mapping[str, str],
    group: str | None = None,
    in_words: bool = False,
) -> tuple[Kind, dict[str, str]]:
    """The kind of task and the column of each of its roles, from a typical row; `in_words`: of the kinds that
    can be put into words."""
    for column in [*mapped.values(), *([group] if group else [])]:
        if column not in row:
            raise HeadstartError(f"{name} has no column {column!r}{nearest(column, row)}")
    kinds = [kind_named(task)] if task else list((KINDS if in_words else ALL).values())
    for kind in kinds:
        chosen = kind.columns(row, mapped, asked=task is not None)
        if chosen is not None:
            unknown = set(mapped) - set(kind.roles) - {"text", "label"}
            if unknown and task:
                role = min(unknown)
                raise HeadstartError(f"{kind.name} has no column for {role!r}{nearest(role, kind.roles)}")
            if not unknown:
                return kind, chosen
    wanted = "; or ".join(kind.wanted for kind in kinds if task or kind.name != "embedding")
    found = ", ".join(repr(str(column)[:40]) for column in list(row)[:12])
    raise HeadstartError(
        f"{name}: no columns for {task or 'a task'}; wanted {wanted}; found {found}; the first line of "
        "a table names its columns, and --text-column, --label-column and --column ROLE=NAME choose others"
    )


def remembered(
    name: str, row: Mapping[str, Any], named: Mapping[str, str], like: Reading | None
) -> dict[str, str]:
    """The columns that were named, and of the other roles those that a model has learned from; of answers,
    which a file may lack, those that are there.

    Raises:
        HeadstartError: a column of the input is not there, and no other was named.
    """
    mapped = dict(named)
    for role, column in (like.columns if like else {}).items():
        if role in named or (role in MAY_LACK and column not in row):
            continue
        if column not in row:
            instead = "--text-column NAME" if role == "text" else f"--column {role}=NAME"
            raise HeadstartError(
                f"{name} has no column {column!r}, from which the model has learned{nearest(column, row)}; "
                f"name the "
                f"column to read instead: {instead}"
            )
        mapped[role] = column
    return mapped


def unread(rows: Sequence[Mapping[str, Any]], kind: Kind, chosen: Mapping[str, str]) -> list[str]:
    """The columns of these rows that hold something and are not read."""
    read = set(kind.columns_read(rows[0], chosen)) if rows else set()
    columns = dict.fromkeys(column for row in rows for column in row)
    return [
        column
        for column in columns
        if column not in read and any(not _is_empty(row.get(column)) for row in rows)
    ]


def refuse_half(
    name: str,
    rows: Sequence[Mapping[str, Any]],
    kind: Kind,
    chosen: Mapping[str, str],
    left_out: Sequence[str],
) -> None:
    """Raise a `HeadstartError` where a column that is called an input, and holds no less text than what is
    read, would be left out: then half of the input is."""
    read = [column for role, column in chosen.items() if role not in kind.answers]
    known = [column for column in left_out if str(column).strip().lower() in INPUT_NAMES]
    texts = [_squeezed(row, read) for row in rows]
    for column in known:
        others = [_squeezed(row, [column]) for row in rows]
        longest = [max((_squeezed(row, [one]) for one in read), key=len) for row in rows]
        pairs = [(part, other) for part, other in zip(longest, others, strict=True) if part and other]
        copies = [other in part or part in other for part, other in pairs]
        if sum(copies) > len(copies) / 2:
            continue  # the same text in another form, such as Alpaca's whole prompt
        if sum(map(len, others)) >= sum(map(len, texts)):
            named = " and ".join(map(repr, read))
            roles = [role for role in ("pair", "input", "context") if role in kind.roles]
            role = roles[0] if roles else kind.roles[0]
            raise HeadstartError(
                f"{name}: {kind.name} reads {named} and would leave out {column!r}, which holds as much "
                f"text; read it "
                f"too (--column {role}={column}), or name what to read alone (--text-column {read[0]})"
            )


def _squeezed(row: Mapping[str, Any], columns: Sequence[str]) -> str:
    """The text in these columns without blanks; other cells hold none."""
    cells: list[Any] = [row.get(column) for column in columns]
    parts = [cell if isinstance(cell, str) else "".join(cell) if _is_words(cell) else "" for cell in cells]
    return "".join("".join(parts).split()).lower()


def _is_words(cell: Any) -> bool:
    return isinstance(cell, list) and all(isinstance(one, str) for one in cell)


def listed(columns: Sequence[str]) -> str:
    """Names of columns for a person, the first few of many."""
    more = f" and {len(columns) - MOST_NAMED} more" if len(columns) > MOST_NAMED else ""
    return ", ".join(repr(str(column)[:40]) for column in columns[:MOST_NAMED]) + more
