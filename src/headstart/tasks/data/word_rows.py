"""Rows that are less than an example, or cut otherwise: a word of a sentence, a text with a tag for each of
its words, and an answer apart from its rivals.

Kaggle's NER data, simpletransformers and spreadsheets have a word a row, with the number of its sentence
beside it, or a sentence a row with its tags in one cell. SciQ and GPQA keep the right answer and the wrong
ones in columns of their own.
"""

import re
from collections.abc import Iterator, Mapping
from itertools import chain, islice
from typing import Any, NamedTuple

from headstart.folder import JSONObject
from headstart.tasks.data.lines import HEAD_ROWS, TOO_LONG, Row
from headstart.tasks.examples import TagsOfWords, is_missing
from headstart.tasks.metrics.entities import SPAN_TAG, entities

SENTENCES = ("sentence #", "sentence_id", "sentence_idx", "sentence id", "sent_id", "sentence")
WORDS = ("word", "words", "token", "tokens")
FEW_ROWS = 5
"""Fewer have as many labels as words by chance."""
RIGHT = ("correct_answer", "correct answer", "right_answer")
WRONG = ("distractor", "incorrect answer ", "incorrect_answer", "wrong_answer")
"""Beginnings of the names of columns with wrong answers; a number ends them, or they hold a list."""


def whole_rows(rows: Iterator[Row], said: list[str]) -> Iterator[Row]:
    """The rows of a table as examples: words put together to sentences, answers to lists of options.

    Args:
        said: takes up what there is to say.
    """
    head = list(islice(rows, HEAD_ROWS))
    plain = [row for _, row in head if isinstance(row, dict)]
    columns = word_columns(plain)
    if columns is not None:
        sentence, word = columns
        said.append(f"a word a row: those with one {sentence!r} are a sentence, its words from {word!r}")
        return _sentences(chain(head, rows), sentence, word, said)
    tagged = tagged_columns(plain)
    if tagged is not None:
        parts = "characters" if tagged.by_character else "words, told apart by blanks,"
        said.append(f"{tagged.text!r} has as many {parts} as there are tags in {tagged.tags!r}")
        return ((number, tagged.read(row)) for number, row in chain(head, rows))
    if plain and with_options(plain[0]) is not None:
        return ((number, with_options(row) or row) for number, row in chain(head, rows))
    return chain(head, rows)


def word_columns(rows: list[JSONObject]) -> tuple[str, str] | None:
    """The columns with a sentence's number and a single word, where rows are words; None: they are not."""
    if len(rows) < 2:
        return None
    names = {str(column).strip().lower(): column for column in rows[0]}
    sentence = next((names[name] for name in SENTENCES if name in names), None)
    word = next((names[name] for name in WORDS if name in names), None)
    if sentence is None or word is None:
        return None
    cells = [row.get(word) for row in rows]
    numbers = [row.get(sentence) for row in rows if not is_missing(row.get(sentence))]
    single = all(isinstance(cell, str) and len(cell.split()) < 2 for cell in cells if not is_missing(cell))
    shared = len(numbers) < len(rows) or len(set(map(str, numbers))) < len(numbers)
    counted = all(len(str(number)) < 24 and any(map(str.isdigit, str(number))) for number in numbers)
    return (sentence, word) if single and numbers and shared and counted else None


def _sentences(rows: Iterator[Row], sentence: str, word: str, said: list[str]) -> Iterator[Row]:
    """A row for each run of words of one number, its other cells lists as well; a row without a number
    belongs to the sentence before it."""
    current: Any = None
    start, cells = 0, JSONObject()
    seen: set[str] = set()
    empty = again = 0
    for number, row in rows:
        if row is TOO_LONG:
            yield number, TOO_LONG
            continue
        named = row.get(sentence)
        if not is_missing(named) and str(named) != current:
            if cells:
                yield start, cells
            again += str(named) in seen
            current, start, cells = str(named), number, {}
            seen.add(current)
        if is_missing(row.get(word)):
            empty += 1
            continue
        for column, cell in row.items():
            if column != sentence:
                cells.setdefault(column, []).append(cell)
    if cells:
        yield start, cells
    if empty:
        said.append(f"{empty:,} rows without a word left out")
    if again:
        said.append(f"{again:,} numbers of sentences come again further down, as those of other sentences")


class TaggedText(NamedTuple):
    """The columns with a text in one piece and with a tag for each of its words, or characters."""

    text: str
    tags: str
    by_character: bool

    def read(self, row: Any) -> Any:
        """The row with tags that know their words; with spans, where each character has a tag."""
        found = None if row is TOO_LONG else _tags_in(row.get(self.tags))
        if found is None:
            return row
        if not self.by_character:
            return row | {self.tags: TagsOfWords(found, self.text)}
        spans = [{"start": a, "end": b + 1, "label": kind} for kind, a, b in entities(found)]
        return row | {self.tags: spans}


def tagged_columns(rows: list[JSONObject]) -> TaggedText | None:
    """Which columns have texts and tags, told by their numbers, which agree in every row; None: there are
    none.

    Tags have to mark spans. Lists of others count too where rows differ in length, and are not few.
    """
    if len(rows) < 2:
        return None
    texts = [column for column in rows[0] if all(isinstance(row.get(column), str) for row in rows)]
    for tags in rows[0]:
        cells = [row.get(tags) for row in rows]
        parts = [_tags_in(cell) for cell in cells]
        sizes = [len(part) for part in parts if part is not None]
        if len(sizes) < len(rows) or max(sizes) < 2:
            continue
        marked = all(SPAN_TAG.fullmatch(tag) for part in parts for tag in part or ())
        listed = not any(isinstance(cell, str) for cell in cells)
        if not marked and (not listed or len(set(sizes)) < 2 or len(rows) < FEW_ROWS):
            continue
        for text in texts:
            if all(row[text].split() == part for row, part in zip(rows, parts, strict=True)):
                continue  # the words themselves
            if text != tags and [len(row[text].split()) for row in rows] == sizes:
                return TaggedText(str(text), str(tags), False)
            if text != tags and marked and [len(row[text]) for row in rows] == sizes:
                return TaggedText(str(text), str(tags), True)
    return None


def _tags_in(cell: Any) -> list[str] | None:
    """The tags in a cell: a list of names, or a text in which blanks or commas stand between them."""
    if isinstance(cell, list) and all(isinstance(one, str) for one in cell):
        return cell
    return re.split(r"[,\s]+", cell.strip()) if isinstance(cell, str) else None


def with_options(row: Any) -> JSONObject | None:
    """A row whose right and wrong answers are apart with a list of `options`, and the right one as `answer`;
    None for another row.

    Options are in the order of their letters, so that the place of the right one says nothing.
    """
    if not isinstance(row, Mapping) or "options" in row:
        return None
    names = {str(column).strip().lower(): column for column in row}
    right = next((names[name] for name in RIGHT if name in names), None)
    wrong = [
        column
        for name, column in names.items()
        if name.startswith(WRONG) and (name[-1].isdigit() or isinstance(row[column], list))
    ]
    if right is None or not wrong:
        return None
    cells = [row[column] for column in wrong]
    texts = [one for cell in cells for one in (cell if isinstance(cell, list) else [cell])]
    rest = {column: cell for column, cell in row.items() if column != right and column not in wrong}
    options = sorted({str(text).strip() for text in (*texts, row[right]) if not is_missing(text)})
    answer = None if is_missing(row[right]) else str(row[right]).strip()
    return rest | {"options": options, "answer": answer}
