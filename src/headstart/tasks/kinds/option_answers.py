"""Options and which of them is right, as data sets write them.

The options are a list, an object (`{"text": [...], "label": ["A", ...]}`, `{"A": ..., "B": ...}`), or columns
that count on: `ending0`, `ending1`; `answerA`, `answerB`; `opa`, `opb`. The right one is a place from 0 or
from 1, a letter, a name, or the option itself. Which of these it is is told by the file as a whole: options
may be numbers themselves.
"""

import re
import string
from collections.abc import Mapping, Sequence
from typing import Any

from headstart.errors import HeadstartError

LETTERS = string.ascii_uppercase
MOST_OPTIONS = len(LETTERS)
FIRST_OPTIONS = (
    "option0 ending0 choice0 answer0 sol0 option1 ending1 choice1 answer1 sol1 mc_answer1 hypothesis1 "
    "hypothesis_1 "
    "option_0 option_1 choice_0 choice_1 answera answer_a optiona option_a choice_a choicea opa a"
)
"""Names of the first of several columns, each with an option."""
MANNERS = {
    "name": "names of options",
    "text": "options in full",
    "letter": "letters",
    "place from 0": "places counted from 0",
    "place from 1": "places counted from 1",
}
"""How an answer may be written; earlier ones are taken where texts fit several."""


def option_columns(row: Mapping[str, Any], first: str) -> list[str]:
    """The columns that count on from `first`: `ending0`, `ending1`, ... or `A`, `B`, ..."""
    if not first or not first[-1].isalnum():
        return []
    stem, names, sign = first[:-1], [], first[-1]
    while stem + sign in row:
        names.append(stem + sign)
        sign = chr(ord(sign) + 1)
    return names if len(names) > 1 else []


def named_options(cell: Any) -> tuple[list[Any], list[str]] | None:
    """The options in a list or an object, or in a text with bars or line breaks between them, and their names
    where they have some; None for something else."""
    if isinstance(cell, str):
        parts = [part.strip() for part in re.split(r"\||\n", cell.strip())]
        return (parts, []) if len(parts) > 1 and all(parts) else None
    if isinstance(cell, list):
        if cell and all(
            isinstance(one, Mapping) and "text" in one for one in cell
        ):  # [{"label": "A", "text": ...}]
            return [one["text"] for one in cell], [str(one.get("label", one.get("id", ""))) for one in cell]
        return cell, []
    if isinstance(cell, Mapping):
        if isinstance(cell.get("text"), list):
            return cell["text"], [str(name) for name in cell.get("label") or []]
        given = {str(name): text for name, text in cell.items() if text is not None}
        return list(given.values()), list(given)
    return None


def manner_of(problems: Sequence[tuple[Sequence[str], Sequence[str], Any]], notes: list[str]) -> str:
    """How the answers of a file are written, a key of `MANNERS`: the way that fits all of them, or most; ""
    where none fits any.

    Args:
        problems: of each row the options, their names, and the answer.
        notes: takes up what there is to say.
    """
    order = list(MANNERS)
    if all(_is_number(answer) for _, _, answer in problems):  # a number is a place before it is a text
        order.sort(key=lambda manner: not manner.startswith("place"))
    right = {manner: sum(place_of(*problem, manner) is not None for problem in problems) for manner in order}
    best = max(order, key=lambda manner: (right[manner], -order.index(manner)))
    others = [manner for manner in order if manner != best and problems and right[manner] == len(problems)]
    if not right[best]:
        return ""
    if right[best] == len(problems) and others:
        notes.append(f"answers are read as {MANNERS[best]}; as {MANNERS[others[0]]} they would fit too")
    elif problems:
        notes.append(f"answers are {MANNERS[best]}")
    return best


def place_of(options: Sequence[str], names: Sequence[str], answer: Any, manner: str) -> int | None:
    """The place of the right option, from 0; None where the answer is not written in that manner."""
    if not manner:
        return None
    written = str(answer).strip()
    if manner == "name":
        return list(names).index(written) if written in names else None
    if manner == "text":
        return list(options).index(written) if written in options else None
    if manner == "letter":
        letter = re.fullmatch(r"\(?([A-Za-z])[.:)]?", written)
        place = LETTERS.find(letter[1].upper()) if letter else -1
        return place if 0 <= place < len(options) else None
    number = _number(answer)
    place = -1 if number is None else number - (manner == "place from 1")
    return place if 0 <= place < len(options) else None


def otherwise_placed(options: Sequence[str], names: Sequence[str], answer: Any, manner: str) -> int | None:
    """The place of the right option where an answer is not written as most of its file; None where it is
    none, or would be another one counted from 1 than from 0."""
    places = manner.startswith("place")
    others = [other for other in MANNERS if not (places and other.startswith("place"))]
    found = {place_of(options, names, answer, other) for other in others} - {None}
    if len(found) == 2 and not places:
        found.discard(place_of(options, names, answer, "place from 1"))
    return found.pop() if len(found) == 1 else None


def _is_number(answer: Any) -> bool:
    return isinstance(answer, int | float) and not isinstance(answer, bool)


def _number(answer: Any) -> int | None:
    try:
        number = float(answer)
    except (TypeError, ValueError):
        return None
    return int(number) if number.is_integer() else None


def misfit(where: str, options: Sequence[str], answer: Any, manner: str) -> HeadstartError:
    """What to say of an answer that is none of the options."""
    fits = f" (the answers of this file are {MANNERS[manner]})" if manner else ""
    return HeadstartError(
        f"{where}: the answer {str(answer)[:40]!r} is none of the {len(options)} options{fits}; write the "
        f"option, "
        f"its place from 0 to {len(options) - 1}, or its letter, in all rows alike"
    )
