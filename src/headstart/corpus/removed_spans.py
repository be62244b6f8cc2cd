"""What is cut out of documents that stay.

Each step that cuts sees the texts as the steps before it left them. It writes, for each task, the new texts
of the documents that change and the pieces that went, so that one can ask later what stood there.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headstart.corpus.recipe import CorpusRecipe
from headstart.corpus.text.word_tokens import count_words
from headstart.corpus.work import Work
from headstart.folder import atomic

LINES, SUBSTRINGS = "repeated lines", "repeated substrings"
STEPS = {LINES: "cut_lines", SUBSTRINGS: "cut_substrings"}  # in their order

CHANGED = pa.schema(
    [("place", pa.int64()), ("bytes", pa.int64()), ("words", pa.int64()), ("rule", pa.string()),
     ("text", pa.string())]
)  # fmt: skip
PIECE = pa.schema(
    [("id", pa.string()), ("stage", pa.string()), ("rule", pa.string()), ("start", pa.int64()),
     ("text", pa.string()), ("kept_in", pa.string())]
)  # fmt: skip


@dataclass(frozen=True)
class RemovedSpan:
    """A piece of a text that goes.

    Attributes:
        start: its first character, in the text as the step found it.
        kept_in: the document in which it stays, where there is one.
    """

    rule: str
    start: int
    text: str
    kept_in: str = ""


def writes(recipe: CorpusRecipe, stage: str) -> bool:
    """Whether the recipe has that step."""
    if stage == LINES:
        return recipe.repeated_lines is not None or recipe.repeated_paragraphs is not None
    return recipe.repeated_substrings is not None


def changed(work: Work, task: int, *columns: str) -> list[tuple[str, dict[str, list]]]:
    """What each step that has run changed in a task: the stage, and columns of `CHANGED`."""
    found = []
    for stage, step in STEPS.items():
        if (path := work.path(step, task, "parquet")).exists():
            found.append((stage, pq.read_table(path, columns=list(columns)).to_pydict()))
    return found


def texts(work: Work, task: int, places: np.ndarray) -> list[str]:
    """Some texts of a task as the steps up to now left them."""
    found = work.columns(task, "text")["text"].take(pa.array(places)).to_pylist()
    row = {place: number for number, place in enumerate(places.tolist())}
    for _, rows in changed(work, task, "place", "text"):
        for place, text in zip(rows["place"], rows["text"], strict=True):
            if place in row:
                found[row[place]] = text
    return found


def write(
    work: Work,
    task: int,
    stage: str,
    places: np.ndarray,
    cut: Callable[[int], tuple[str, list[RemovedSpan]]],
) -> None:
    """Cut texts of a task, and write those that change and the pieces that went.

    Args:
        places: the task's documents that are left, ascending.
        cut: from a row of these to the new text and the pieces, none where it stays as it is.
    """
    rules = [rule for rule in work.recipe.quality_rules()[0].general.values() if rule is not None]
    too_short = [rule for rule in rules if rule.signal == "words" and rule.op.startswith("<")]
    rows, gone = [], []
    columns = work.columns(task, "id", "language").take(pa.array(places)).to_pydict()
    ids, languages = columns["id"], columns["language"]
    for row, place in enumerate(places.tolist()):
        text, pieces = cut(row)
        if not pieces:
            continue
        count = count_words(text, languages[row])
        rule = "" if text else "nothing_left"
        if text and any(one.removes({"words": np.array([count])})[0] for one in too_short):
            rule = "too_little_left"
        rows.append((place, len(text.encode("utf-8", "replace")), count, rule, text))
        gone += [(ids[row], stage, one.rule, one.start, one.text, one.kept_in) for one in pieces]
    if gone:
        _table(work.path("pieces", task, f"{STEPS[stage]}.parquet"), gone, PIECE)
    _table(work.path(STEPS[stage], task, "parquet"), rows, CHANGED)


def _table(path: Path, rows: list[tuple], schema: pa.Schema) -> None:
    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    with atomic(path) as temporary:
        pq.write_table(
            pa.table(dict(zip(schema.names, columns, strict=True)), schema), temporary, compression="zstd"
        )
