"""Labels as files write them: 0, 0.0, "0" and False, -1 and - for none, several in a cell.

What a label is written as can only be told from all labels of a file, so that these functions read them
together.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from headstart.tasks.examples import Reading, is_missing

_WHOLE = re.compile(r"-?(?:0|[1-9]\d*)(?:\.0+)?")
_TRUTH = {"true": 1, "false": 0}
SEPARATORS = ("|", ";", ",", "#")
"""Of several labels in a cell, the surest first; doccano's `#` only where its parts are labels elsewhere."""
INDICATORS = "0 or 1 for each label"


def is_truth(cell: Any) -> bool:
    """Whether an answer is yes or no, so that it is a label."""
    return isinstance(cell, bool) or str(cell).strip().lower() in ("true", "false", "yes", "no")


def number_of(cell: Any) -> int | None:
    """The whole number that a label is, however it is written: 1, 1.0, "1.0", True."""
    if isinstance(cell, int | float):
        return int(cell) if cell == cell and float(cell).is_integer() else None
    written = str(cell).strip()
    if _WHOLE.fullmatch(written):
        return int(float(written))
    return _TRUTH.get(written.lower())


def spelled(cells: Sequence[Any], like: Reading | None, column: str, notes: list[str]) -> list[str | None]:
    """One spelling for each label, as among those of training, which `like` tells; None for none.

    Whole numbers that are written in several ways are one label. -1 is none where the others count from 0 or
    training has no such label, `-` where there is no `+`.
    """
    known = like.labels if like else ()
    cells = named_by_place(cells, like, column, notes)
    ways: dict[int, Counter[str]] = defaultdict(Counter)
    for cell in cells:
        if not is_missing(cell) and (number := number_of(cell)) is not None:
            ways[number][str(cell).strip()] += 1
    names = {number: str(number) for number in ways}
    for number, spellings in ways.items():
        if len(spellings) == 1 and not _WHOLE.fullmatch(next(iter(spellings))):
            names[number] = next(iter(spellings))  # True and False, where nothing else says the same
    names |= {number: name for name in known if (number := number_of(name)) is not None}
    texts = {str(cell).strip() for cell in cells if not is_missing(cell)}
    none: set[str] = set()
    if "-" in texts and "+" not in texts and "-" not in known:
        none.add("-")
    if -1 in ways and _is_none(cells, known):
        names[-1] = "-1"
        none.add("-1")
    joined = [f"{names[n]} ({', '.join(w)})" for n, w in sorted(ways.items()) if len(w) > 1]
    if joined:
        notes.append(f"labels in {column!r} that are one number are one label: {'; '.join(joined)}")
    if none:
        notes.append(
            f"{' and '.join(sorted(none & {*texts, *map(str, ways)}))} in {column!r} says that there is no "
            f"label"
        )
    found: list[str | None] = []
    for cell in cells:
        if is_missing(cell):
            found.append(None)
            continue
        number = number_of(cell)
        name = str(cell).strip() if number is None else names[number]
        found.append(None if name in none else name)
    return found


def named_by_place(
    cells: Sequence[Any], like: Reading | None, column: str, notes: list[str]
) -> Sequence[Any]:
    """Names in the place of numbers, where the training data named their classes (Hugging Face's ClassLabel)
    and these cells hold nothing but numbers of those; any other cells as they are."""
    if like is None or not like.declared:
        return cells
    numbers = [None if is_missing(cell) else number_of(cell) for cell in cells]
    given = [number for number, cell in zip(numbers, cells, strict=True) if not is_missing(cell)]
    if not given or any(number is None or not -1 <= number < len(like.labels) for number in given):
        return cells
    if any(number_of(name) is not None for name in like.labels):
        return cells
    notes.append(f"numbers in {column!r} are read as the classes' names, which the training data give")
    return [None if number in (None, -1) else like.labels[number] for number in numbers]


def _is_none(cells: Sequence[Any], known: Sequence[str]) -> bool:
    """Whether -1 says that there is no label (GLUE's test parts, SNLI): the others count from 0, two of them
    and it is the rarer, or three; or there are no others, and training had no such label."""
    if known:
        return all(number_of(name) != -1 for name in known)
    numbers = Counter(number_of(cell) for cell in cells if not is_missing(cell))
    if None in numbers:
        return False
    minus = numbers.pop(-1)
    if set(numbers) != set(range(len(numbers))):
        return False
    return len(numbers) != 2 or 2 * minus <= min(numbers.values())


def several(
    cells: Sequence[Any], manner: str, column: str, notes: list[str]
) -> tuple[list[list[Any] | None], str]:
    """The labels in each cell, None where it is not known, and the manner in which they are written.

    A list of names; a list of 0 and 1 that is as long in every row; or a text with one of `SEPARATORS`.
    """
    texts = [cell for cell in cells if isinstance(cell, str)]
    if any(isinstance(cell, list) for cell in cells):
        texts = []  # where several labels are a list, a text is one
    separator = manner if manner in SEPARATORS else ""
    if not separator:
        seen = next((sign for sign in SEPARATORS[:-1] if any(sign in text for text in texts)), None)
        separator = seen or separator_seen(texts) or ""
        if separator:
            notes.append(f"labels in {column!r} are told apart by {separator!r}")
    found: list[list[Any] | None] = []
    for cell in cells:
        if isinstance(cell, str):
            found.append(cell.split(separator) if separator and texts else [cell])
        elif is_missing(cell):
            found.append(None)
        else:
            found.append(cell if isinstance(cell, list) else [cell])
    lists = [cell for cell in found if cell is not None]
    if manner == INDICATORS or (not manner and _are_indicators(lists)):
        notes.append(f"{column!r} has {INDICATORS}, {len(lists[0])} of them, named by their places from 0")
        return [cell and _indicated(cell) for cell in found], INDICATORS
    return [cell and [part for part in cell if not is_missing(part)] for cell in found], separator


def _are_indicators(lists: Sequence[list[Any]]) -> bool:
    width = len(lists[0]) if lists else 0
    return (
        width > 1
        and len(lists) > 1
        and all(len(one) == width for one in lists)
        and all(number_of(value) in (0, 1) for one in lists for value in one)
    )


def _indicated(cell: Sequence[Any]) -> list[str]:
    return [str(place) for place, value in enumerate(cell) if number_of(value) == 1]


def separator_seen(cells: Iterable[Any]) -> str | None:
    """The sign that seems to part several labels in cells that are read as one label each: its parts are
    labels too."""
    names = {str(cell).strip() for cell in cells if isinstance(cell, str)}
    for sign in (*SEPARATORS, " "):
        joined = [name for name in names if sign in name]
        parts = {part.strip() for name in joined for part in name.split(sign)}
        if joined and (parts <= names if sign == " " else parts & names):
            return sign
    return None
