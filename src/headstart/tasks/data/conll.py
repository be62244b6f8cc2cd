"""Sentences with a word a line: CoNLL-2002, 2003 and 2012 (OntoNotes), CoNLL-U, GermEval, and their kin.

Which column has the word and which the tag is told from the first lines: a column that counts the words of
each sentence stands before the word; tags stand last, or in OntoNotes in the eleventh column, as brackets.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, pairwise

from headstart.errors import HeadstartError
from headstart.tasks.data.lines import MAX_LINE, TOO_LONG, Row
from headstart.tasks.data.tables import first_lines
from headstart.tasks.metrics.entities import SPAN_TAG, marks_entities

_BRACKETS = re.compile(r"(?:\([^()*]+)?\*\)?|\([^()*]+\)")
CONLL_U = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")
EVEN = 0.9
"""Share of lines with the same number of columns, from which on another number is a fault."""
ONTONOTES_NAMES = 10
"""The column of entities in CoNLL-2012."""


@dataclass(frozen=True)
class Layout:
    """Which column of a file says what."""

    split: Callable[[str], list[str]]
    width: int
    word: int = 0
    tag: int = -1
    brackets: bool = False
    """Whether spans are written as `(PER*`, `*` and `*)`."""
    counted: int | None = None
    """The column that counts words."""
    names: tuple[str, ...] = ()
    """What the columns are called, where the format says."""
    tags: frozenset[str] = field(default_factory=frozenset)
    """That occur in the first lines."""
    headed: bool = False
    """Whether the first line names the columns, as in a table."""
    even: bool = False
    """Whether nearly all lines have as many columns: OntoNotes has one more for each predicate."""

    def is_comment(self, line: str, inside: bool) -> bool:
        """Whether a line says something about a sentence; a word may begin with # too."""
        if re.match(r"#(?:begin|end) document", line):
            return True
        if inside or not line.startswith("#"):
            return False
        columns = self.split(line)
        if len(columns) != self.width:
            return True
        tag = columns[self.tag]
        return line.startswith("# ") and tag not in self.tags and not SPAN_TAG.fullmatch(tag)

    def repaired(self, columns: list[str]) -> list[str]:
        """A line with too many columns, whose word has blanks in it: they are no border of columns. Between
        tabs too many columns stand behind the others."""
        more = len(columns) - self.width
        if more < 1 or not self.even or self.split is _by_tabs:
            return columns
        end = self.word + more + 1
        return [*columns[: self.word], " ".join(columns[self.word : end]), *columns[end:]]

    def is_no_word(self, columns: Sequence[str]) -> bool:
        """CoNLL-U's lines for words of several tokens (`1-2`) and for what is left unsaid (`1.1`)."""
        return self.counted is not None and bool(re.fullmatch(r"\d+[-.]\d+", columns[self.counted]))


def read_conll(name: str, lines: Iterator[Row], said: list[str] | None = None) -> Iterator[Row]:
    """A row for each sentence: `tokens`, `tags`, and every other column by its name or number.

    Args:
        said: takes up what there is to say of the format.

    Raises:
        HeadstartError: a line with one column.
    """
    head = first_lines(lines)
    layout = layout_of([line for _, line in head if line is not TOO_LONG])
    words: list[list[str]] = []
    ragged: list[int] = []
    headed, first = layout.headed, 1
    for number, line in chain(head, lines):
        if line is TOO_LONG:
            raise HeadstartError(
                f"{name} line {number} is over {MAX_LINE >> 20} MB long; CoNLL has a word a line"
            )
        if not line.strip() or line.startswith("-DOCSTART") or layout.is_comment(line, bool(words)):
            if words:
                yield first, _sentence(layout, words)
            words = []
            continue
        columns = layout.split(line)
        if len(columns) < 2:
            raise HeadstartError(
                f"{name} line {number} has one column; CoNLL has a word and its tag on a line"
            )
        if headed:
            headed = False
            if said is not None:
                said.append(f"line {number} names the columns: {' '.join(columns)}")
            continue
        if layout.is_no_word(columns):
            continue
        if not words:
            first = number
        if layout.even and len(columns) != layout.width:
            ragged.append(number)
            columns = layout.repaired(columns)
        words.append(columns)
    if words:
        yield first, _sentence(layout, words)
    if ragged and said is not None:
        said.append(
            f"{len(ragged):,} lines have other than {layout.width} columns (the first: line {ragged[0]}); "
            "blanks are taken for parts of their words"
        )


def _sentence(layout: Layout, words: Sequence[Sequence[str]]) -> dict[str, list[str]]:
    """The columns of a sentence, the word's and the tag's first."""

    def column(place: int) -> list[str]:
        # Where a line has too few columns, the tag is still the last.
        return [row[place if place < len(row) else -1] for row in words]

    tags = column(layout.tag)
    found = {"tokens": column(layout.word), "tags": _from_brackets(tags) if layout.brackets else tags}
    tag = layout.tag % layout.width
    for place in range(layout.width):
        if place not in (layout.word, layout.counted) and (place != tag or layout.names):
            called = layout.names[place] if place < len(layout.names) else f"column {place + 1}"
            found[called] = column(place)
    return found


def layout_of(head: Sequence[str]) -> Layout:
    """The layout of a file from its first lines."""
    lines = [line for line in head if line.strip() and not line.startswith("-DOCSTART")]
    tabbed = sum("\t" in line for line in lines) > len(lines) / 2
    split: Callable[[str], list[str]] = _by_tabs if tabbed else _by_blanks
    named = next((line for line in lines if line.startswith("# global.columns")), "")
    rows = [split(line) for line in lines if not line.startswith("#")]
    widths = Counter(map(len, rows))
    width = widths.most_common(1)[0][0] if widths else 2
    rows = [row for row in rows if len(row) == width]
    if width < 2:
        return Layout(split, 2)
    if not SPAN_TAG.fullmatch(rows[0][-1]) and _marks_spans([row[-1] for row in rows[1:]]):
        first = next(place for place, line in enumerate(head) if split(line) == rows[0])
        return replace(layout_of([*head[:first], *head[first + 1 :]]), headed=True)
    counted = _counting_column(head, split, width)
    word = 0 if counted is None else counted + 1
    names: tuple[str, ...] = ()
    if named:  # CoNLL-U Plus
        names = tuple(part.lower() for part in named.partition("=")[2].split())
        word = names.index("form") if "form" in names else word
    elif counted == 0 and width == len(CONLL_U):
        names = CONLL_U
    columns = list(zip(*rows, strict=True))
    tag, brackets = _tag_column(columns, word, counted, names)
    even = widths[width] > EVEN * widths.total()
    if tag is None:  # the tag comes first, as in the MIT restaurant corpus
        return Layout(split, width, width - 1, 0, tags=frozenset(columns[0]), even=even)
    return Layout(split, width, word, tag, brackets, counted, names, frozenset(columns[tag]), even=even)


def _tag_column(
    columns: Sequence[Sequence[str]], word: int, counted: int | None, names: Sequence[str]
) -> tuple[int | None, bool]:
    """Where the tags stand, None for before the word, and whether they are brackets."""
    last = len(columns) - 1
    if _marks_spans(columns[last]):
        before = last - 1
        # Entities within entities stand in a column of their own behind the outer ones (GermEval 2014).
        inner = _kinds(columns[last])
        if before > word and inner and _marks_spans(columns[before]) and inner <= _kinds(columns[before]):
            return before, False
        return last, False
    if counted == 2 and last > ONTONOTES_NAMES and all(map(_BRACKETS.fullmatch, columns[ONTONOTES_NAMES])):
        return ONTONOTES_NAMES, True
    if names:
        for name in ("ner", "parseme:ne", "upos", "xpos"):
            if name in names and set(columns[names.index(name)]) != {"_"}:
                return names.index(name), False
        return last, False
    if counted is None and _marks_spans(columns[0]):
        return None, False
    return last, False


def _marks_spans(tags: Sequence[str]) -> bool:
    return "O" in tags and all(map(SPAN_TAG.fullmatch, tags))


def _kinds(tags: Sequence[str]) -> set[str]:
    return {tag[2:] for tag in tags if tag != "O"}


def _counting_column(head: Sequence[str], split: Callable[[str], list[str]], width: int) -> int | None:
    """The column that numbers the words of every sentence, from 0 or 1."""
    sentences: list[list[list[str]]] = [[]]
    for line in head:
        if not line.strip():
            sentences.append([])
        elif not line.startswith(("#", "-DOCSTART")) and len(columns := split(line)) == width:
            sentences[-1].append(columns)
    whole = [sentence for sentence in sentences if sentence]
    for place in range(min(3, width - 1)):
        numbers = [[row[place] for row in sentence if row[place].isdecimal()] for sentence in whole]
        if (
            sum(map(len, numbers)) > 2
            and all(numbers)
            and all(own[0] in "01" for own in numbers)
            and all(int(b) == int(a) + 1 for own in numbers for a, b in pairwise(own))
            and all(
                row[place].isdecimal() or re.fullmatch(r"\d+[-.]\d+", row[place])
                for sentence in whole for row in sentence
            )
        ):  # fmt: skip
            return place if any(len(own) > 1 for own in numbers) else None
    return None


def _from_brackets(cells: Sequence[str]) -> list[str]:
    """`(PER*`, `*)` and `(LOC)` as B-PER, I-PER and B-LOC."""
    tags, kind = [], ""
    for cell in cells:
        opened = re.match(r"\(([^()*]+)", cell)
        kind = opened[1] if opened else kind
        tags.append("O" if not kind else f"{'B' if opened else 'I'}-{kind}")
        kind = "" if ")" in cell else kind
    return tags


def _by_tabs(line: str) -> list[str]:
    return [column.strip(" ") for column in line.split("\t")]


def _by_blanks(line: str) -> list[str]:
    """Other signs of white space, such as the no-break space of French numbers, are part of a word."""
    return [column for column in line.replace("\t", " ").split(" ") if column]


def looks_like_conll(head: Sequence[str]) -> bool:
    """Whether a file that is named a table, or text, has a word a line and a tag that marks spans."""
    if not any(not line.strip() for line in head[:-1]):
        return False
    layout = layout_of(head)
    rows = [layout.split(line) for line in head if line.strip() and not line.startswith(("#", "-DOCSTART"))]
    rows = rows[1:] if layout.headed else rows
    alike = [row for row in rows if len(row) == layout.width]
    return (
        len(alike) > 2
        and len(alike) > 0.95 * len(rows)
        and layout.width > 1
        and marks_entities([[row[layout.tag] for row in alike]])
    )
