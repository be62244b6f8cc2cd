"""What is cut out of documents that stay.

Each step that cuts sees the texts as the steps before it left them. It writes, for each task, the new texts
of the documents that change and the pieces that went, so that one can ask later what stood there.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import takewhile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headstart.corpus.filters.rules import Rules
from headstart.corpus.removals import Removal, removals, removed_by
from headstart.corpus.text.word_tokens import count_words
from headstart.corpus.work import Work, save_table

LINES, SUBSTRINGS = "repeated lines", "repeated substrings"
PIECES = {LINES: "cut_lines", SUBSTRINGS: "cut_substrings"}  # the ends of the names of files in `pieces/`
RULES = ("nothing_left", "too_little_left")
CHANGED = pa.schema(
    [("place", pa.int64()), ("bytes", pa.int64()), ("words", pa.int64()), ("text", pa.string())]
)
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


def cut_by(stage: str) -> str:
    """The step that writes the documents out of which a stage cuts something, as they are then."""
    return f"cut by {stage}"


def changed(
    work: Work, task: int, *columns: str, before: str | None = None
) -> list[tuple[str, dict[str, list]]]:
    """What the stages, or those before one, cut out of a task's documents: name, and columns of `CHANGED`."""
    found = []
    for stage in takewhile(lambda name: name != before, work.stages):
        if (path := work.path(cut_by(stage), task, "parquet")).exists():
            found.append((stage, pq.read_table(path, columns=list(columns)).to_pydict()))
    return found


def texts(work: Work, task: int, places: np.ndarray, before: str) -> list[str]:
    """Some texts of a task as they come to a stage."""
    found = work.columns(task, "text")["text"].take(pa.array(places)).to_pylist()
    row = {place: number for number, place in enumerate(places.tolist())}
    for _, rows in changed(work, task, "place", "text", before=before):
        for place, text in zip(rows["place"], rows["text"], strict=True):
            if place in row:
                found[row[place]] = text
    return found


def write_spans(
    work: Work,
    task: int,
    stage: str,
    places: np.ndarray,
    cut: Callable[[int], tuple[str, list[RemovedSpan]]],
) -> pa.Table:
    """Cut texts of a task, and write the pieces that went and the documents of which too little is left.

    Args:
        places: the task's documents that are left, ascending.
        cut: from a row of these to the new text and the pieces, none where it stays as it is.

    Returns:
        The documents that change and stay, as `CHANGED`.
    """
    rules = work.recipe.quality_rules()[0]
    rows, pieces, gone = [], [], []
    columns = work.columns(task, "id", "language").take(pa.array(places)).to_pydict()
    ids, languages = columns["id"], columns["language"]
    for row, place in enumerate(places.tolist()):
        text, spans = cut(row)
        if not spans:
            continue
        pieces += [(ids[row], stage, one.rule, one.start, one.text, one.kept_in) for one in spans]
        count = count_words(text, languages[row], work.recipe.segmenter)
        if not text:
            gone.append(Removal(place, "nothing_left", "all of it is repeated over the corpus"))
        elif _too_short(rules, languages[row], count):
            gone.append(Removal(place, "too_little_left", f"{count} words are left of it"))
        else:
            rows.append((place, len(text.encode("utf-8", "replace")), count, text))
    if pieces:
        save_table(work.path("pieces", task, f"{PIECES[stage]}.parquet"), _table(pieces, PIECE), None)
    save_table(work.path(removed_by(stage), task, "parquet"), removals(gone))
    return _table(rows, CHANGED)


def _too_short(rules: Rules, language: str, words: int) -> bool:
    """Whether a rule on the number of words removes what is left of a document in that language."""
    own = (rules.of(name, language) for name in rules.names())
    return any(
        bool(rule.removes({"words": np.array([words])})[0])
        for rule in own
        if rule is not None and rule.signal == "words" and rule.op.startswith("<")
    )


def _table(rows: list[tuple], schema: pa.Schema) -> pa.Table:
    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    return pa.table(dict(zip(schema.names, columns, strict=True)), schema)
