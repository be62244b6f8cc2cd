"""Rows that are less or more than an example: a word of a sentence, and an answer apart from its rivals.

Kaggle's NER data, simpletransformers and spreadsheets have a word a row, with the number of its sentence
beside it; SciQ and GPQA keep the right answer and the wrong ones in columns of their own.
"""

from collections.abc import Iterator, Mapping
from itertools import chain, islice
from typing import Any

from headstart.folder import JSONObject
from headstart.tasks.data.lines import TOO_LONG, Row
from headstart.tasks.examples import is_missing

SENTENCES = ("sentence #", "sentence_id", "sentence_idx", "sentence id", "sent_id", "sentence")
WORDS = ("word", "words", "token", "tokens")
HEAD_ROWS = 200
"""From which it is told whether a row is a word."""
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
