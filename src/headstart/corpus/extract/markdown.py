"""The main text of a page as Markdown (CommonMark with tables): headings, lists, quotations, tables, code,
emphasis and links, from the lines that the classifier keeps."""

import re
from collections.abc import Iterator

from headstart.corpus.extract.blocks import FLAG, PRE, TAG, Page, read_page
from headstart.corpus.extract.inline_marks import marked_lines
from headstart.corpus.extract.line_classifier import LineClassifier
from headstart.corpus.extract.main_text import (
    CELLS,
    cell_of_row,
    columns_of_cells,
    innermost,
    main_lines,
    or_data,
    signs_of_rows,
)

_LEVELS = {TAG[f"h{level}"]: level for level in range(1, 7)}
_ITEM, _QUOTE, _ORDERED, _TABLE = TAG["li"], TAG["blockquote"], TAG["ol"], TAG["table"]
# A listing's language, by its class or that of what it lies in, as Sphinx, GitHub and others write it.
_LANGUAGE = re.compile(r"\b(?:language-|lang-|highlight-source-|highlight-|brush:\s*)([A-Za-z][\w+#]{0,20})")
_START = re.compile(r"\bstart\s*=\s*[\"']?(\d{1,6})")


def main_markdown(html: str, url: str, classifier: LineClassifier | None = None) -> str:
    """The main text of a decoded page as Markdown; "" if there is none.

    Args:
        html: the page.
        url: where it was found, for the addresses of links.
        classifier: that tells main text; the shipped one by default.
    """
    page = read_page(html)
    lines = main_lines(page, classifier)
    return or_data(as_markdown(page, lines, marked_lines(html, page, url)), html)


def as_markdown(page: Page, lines: list[int], written: list[str]) -> str:
    """The lines of a page with these numbers, in order.

    Args:
        page: the page.
        lines: what is kept of it.
        written: every line of it as Markdown, from `inline_marks.marked_lines`.
    """
    return _Writer(page, written).text(lines)


class _Writer:
    def __init__(self, page: Page, written: list[str]) -> None:
        self._page, self._written = page, written
        self._parent, self._tag = page.parent.tolist(), page.tag.tolist()
        self._in_table = (page.flags[page.element] & FLAG["table"] != 0).tolist()
        has_tables = any(self._in_table)
        self._columns = columns_of_cells(page, self._parent, self._tag) if has_tables else {}
        self._cells = innermost(CELLS | {_TABLE}, self._parent, self._tag) if has_tables else []
        self._signs = signs_of_rows(page, self._parent, self._columns)
        self._holders = innermost(frozenset({_ITEM, _QUOTE}), self._parent, self._tag)
        self._headings = innermost(frozenset(_LEVELS), self._parent, self._tag)
        self._begun: set[int] = set()  # items of lists
        self._numbers: dict[int, int] = {}  # of the next item of a numbered list
        self._widths: dict[int, int] = {}  # of the numbers of items

    def text(self, lines: list[int]) -> str:
        """All blocks, with what holds them written before each of their lines."""
        made: list[str] = []
        held_before: list[int] = []
        for element, block in self._blocks(lines):
            held = self._held(element)
            opens = bool(held) and self._tag[held[-1]] == _ITEM and held[-1] not in self._begun
            first, rest = self._prefixes(held)
            if made:
                same = [one for one, other in zip(held, held_before, strict=False) if one == other]
                between = (
                    "" if opens and self._is_tight(held, held_before) else "\n" + self._rest(same).rstrip()
                )
                made.append(between + "\n")
            made.append(first + block.replace("\n", "\n" + rest))
            held_before = held
        return "".join(made)

    def _is_tight(self, held: list[int], before: list[int]) -> bool:
        """Whether an item follows another one of its list, or what it is an item of."""
        depth = len(held) - 1
        if before[:depth] != held[:depth]:
            return False
        if len(before) == depth:  # what it is an item of
            return depth > 0 and self._tag[held[depth - 1]] == _ITEM
        return self._parent[before[depth]] == self._parent[held[-1]]

    def _held(self, element: int) -> list[int]:
        """The items and quotations that hold an element, the outermost first."""
        found = []
        while holder := self._holders[element]:
            found.append(holder)
            element = self._parent[holder]
        return found[::-1]

    def _prefixes(self, held: list[int]) -> tuple[str, str]:
        """What stands before the first line of a block, and before its others."""
        first = ""
        for one in held:
            if self._tag[one] == _QUOTE:
                first += "> "
            elif one in self._begun:
                first += " " * self._width(one)
            else:
                self._begun.add(one)
                first += self._marker(one)
        return first, self._rest(held)

    def _rest(self, held: list[int]) -> str:
        return "".join("> " if self._tag[one] == _QUOTE else " " * self._width(one) for one in held)

    def _marker(self, item: int) -> str:
        the_list = self._parent[item]
        if self._tag[the_list] != _ORDERED:
            return "- "
        if the_list not in self._numbers:
            start = _START.search(self._page.attributes[the_list])
            self._numbers[the_list] = int(start[1]) if start else 1
        number = self._numbers[the_list]
        self._numbers[the_list] += 1
        self._widths[item] = len(f"{number}. ")
        return f"{number}. "

    def _width(self, item: int) -> int:
        return self._widths.get(item, 2)

    def _blocks(self, lines: list[int]) -> Iterator[tuple[int, str]]:
        """Every block: the element that it is in, and its own Markdown."""
        rows: dict[int, dict[int, str]] = {}
        table = 0
        for at in lines:
            element = int(self._page.element[at])
            cell = (
                cell_of_row(self._page, element, self._cells[element], self._tag) if self._in_table[at] else 0
            )
            of_table = self._cells[self._parent[self._parent[cell]]] if cell else 0
            if rows and of_table != table:
                yield table, _table(list(rows.values()))
                rows = {}
            table = of_table
            if cell:
                row = rows.setdefault(self._parent[cell], dict(self._signs[self._parent[cell]]))
                column = self._columns[cell]
                text = self._written[at].replace("\n", " ").replace("|", "\\|")
                row[column] = f"{row[column]} {text}" if column in row else text
            else:
                yield element, self._block(at, element)
        if rows:
            yield table, _table(list(rows.values()))

    def _block(self, at: int, element: int) -> str:
        page = self._page
        if page.flags[element] & PRE:
            text = page.lines[at]
            fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
            around = (element, self._parent[element], self._parent[self._parent[element]])
            language = _LANGUAGE.search(" ".join(page.attributes[one] for one in around))
            return f"{fence}{language[1].lower() if language else ''}\n{text}\n{fence}"
        if heading := self._headings[element]:
            return f"{'#' * _LEVELS[self._tag[heading]]} {' '.join(self._written[at].split())}"
        return self._written[at]


def _table(rows: list[dict[int, str]]) -> str:
    width = 1 + max(max(row) for row in rows)
    lines = ["| " + " | ".join(row.get(column, "") for column in range(width)) + " |" for row in rows]
    return "\n".join([lines[0], "| " + " | ".join(["---"] * width) + " |", *lines[1:]])
