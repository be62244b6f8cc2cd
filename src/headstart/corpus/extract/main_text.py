"""The main text of a page by headstart's own extractor: the lines that the classifier keeps, made readable.

Paragraphs stand between blank lines, items of a list begin with `- `, the cells of a row are joined by ` | `,
preformatted text keeps its spaces and line ends.
"""

import re
from collections import defaultdict

from headstart.corpus.extract.blocks import FLAG, HEADING, PRE, TAG, Page, read_page
from headstart.corpus.extract.json_ld import article_body
from headstart.corpus.extract.line_classifier import LineClassifier, shipped

CELLS, _TABLE = frozenset({TAG["td"], TAG["th"]}), TAG["table"]
_CELL_LINES, _CELL_CHARACTERS = 6, 400  # of a cell with several lines that is one of a row
_SPAN = re.compile(r"\b(colspan|rowspan)\s*=\s*[\"']?(\d{1,5})", re.IGNORECASE)
_MOST_COLUMNS, _MOST_ROWS = 100, 1_000
LITTLE = 200  # characters: of a page with less text, what it says as data is looked at
_ITEMS = frozenset(TAG[name] for name in ("li", "tr", "dt", "dd"))


def main_text(html: str, classifier: LineClassifier | None = None) -> str:
    """The main text of a decoded page, by the shipped classifier or another; "" if there is none.

    A page that scripts build may have it as data: then that is taken.
    """
    page = read_page(html)
    return or_data(render(page, main_lines(page, classifier)), html)


def main_lines(page: Page, classifier: LineClassifier | None = None) -> list[int]:
    """The numbers of the lines that are main text."""
    found: list[int] = (classifier or shipped()).main_lines(page).tolist()
    return found


def or_data(text: str, html: str) -> str:
    """A page's text, or the article that it has as data where there is much more of that."""
    if len(text) < LITTLE and len(body := article_body(html)) > 2 * len(text):
        return body
    return text


def render(page: Page, lines: list[int]) -> str:
    """The lines of a page with these numbers, in order."""
    parent, tag = page.parent.tolist(), page.tag.tolist()
    in_table = (page.flags[page.element] & FLAG["table"] != 0).tolist()
    columns = columns_of_cells(page, parent, tag) if any(in_table) else {}
    items = innermost(_ITEMS, parent, tag)
    cells = innermost(CELLS | {_TABLE}, parent, tag) if any(in_table) else []
    signs = signs_of_rows(page, parent, columns)
    pieces: list[str] = []
    row_before = cell_before = group_before = -1
    for at in lines:
        element = int(page.element[at])
        cell = cell_of_row(page, element, cells[element], tag) if in_table[at] else 0
        row = parent[cell] if cell else -1
        item = items[element]
        group = parent[item]
        if cell and row == row_before:
            # An empty cell keeps its column.
            if cell == cell_before:
                pieces.append(" ")
            else:
                between = range(columns[cell_before] + 1, columns[cell])
                pieces += [" | ", *(signs[row].get(column, "") + " | " for column in between)]
        else:
            if row_before in signs:
                pieces.append(_last_cells(signs[row_before], columns[cell_before]))
            if pieces:
                pieces.append("\n" if group >= 0 and group == group_before else "\n\n")
            if cell:
                before = (signs[row].get(column, "") for column in range(columns[cell]))
                pieces += [f"{sign} | " if sign else "| " for sign in before]
        row_before, cell_before, group_before = row, cell, group if item else -1
        if tag[item] == TAG["li"] and not cell and page.first[item] == at and not page.flags[element] & PRE:
            pieces.append("- ")
        pieces.append(page.lines[at].replace("\n", " ") if cell else page.lines[at])
    if row_before in signs:
        pieces.append(_last_cells(signs[row_before], columns[cell_before]))
    return "".join(pieces)


def signs_of_rows(page: Page, parent: list[int], columns: dict[int, int]) -> defaultdict[int, dict[int, str]]:
    """By row, the signs of its cells that hold no word, by their columns."""
    found: defaultdict[int, dict[int, str]] = defaultdict(dict)
    for cell, sign in page.signs.items():
        if cell in columns:
            found[parent[cell]][columns[cell]] = sign
    return found


def _last_cells(signs: dict[int, str], column: int) -> str:
    """What stands in a row behind its last word."""
    last = max(signs, default=column)
    return "".join(f" | {signs.get(at, '')}" for at in range(column + 1, last + 1))


def columns_of_cells(page: Page, parent: list[int], tag: list[int]) -> dict[int, int]:
    """The column in which each cell begins, beside wide cells and below those that reach down."""
    found: dict[int, int] = {}
    free: dict[int, int] = {}  # by row, the first column behind its last cell
    covered: dict[int, set[int]] = {}  # by row, the columns that cells above reach into
    reaching: dict[int, dict[int, int]] = {}  # by table, columns and how many rows more they reach into
    for element, kind in enumerate(tag):
        if kind not in CELLS:
            continue
        row = parent[element]
        down = reaching.setdefault(parent[row], {})
        if row not in free:
            free[row], covered[row] = 0, {column for column, rows in down.items() if rows}
            down.update({column: down[column] - 1 for column in covered[row]})
        column = free[row]
        while column in covered[row]:
            column += 1
        found[element] = column
        across, below = _spans(page.attributes[element])
        free[row] = column + across
        if below > 1:
            down.update(dict.fromkeys(range(column, column + across), below - 1))
    return found


def _spans(attributes: str) -> tuple[int, int]:
    """How many columns and rows a cell spans."""
    if "span" not in attributes.lower():
        return 1, 1
    given = {name.lower(): int(number) for name, number in _SPAN.findall(attributes)}
    return min(given.get("colspan", 1), _MOST_COLUMNS) or 1, min(
        given.get("rowspan", 1), _MOST_ROWS
    ) or _MOST_ROWS


def cell_of_row(page: Page, element: int, cell: int, tag: list[int]) -> int:
    """The cell that makes a line of an element part of a row; 0: there is none.

    A cell is one of a row of data if it holds a line, or a few short ones and no table. Others lay out a
    page, and a listing is no cell.

    Args:
        cell: the innermost cell or table that holds the element.
    """
    if page.flags[element] & PRE or tag[cell] not in CELLS:
        return 0
    first, last = int(page.first[cell]), int(page.last[cell])
    if last - first == 1:
        return cell
    few = last - first <= _CELL_LINES and sum(map(len, page.lines[first:last])) <= _CELL_CHARACTERS
    plain = not (page.flags[page.element[first:last]] & (PRE | HEADING)).any()
    return cell if few and plain else 0


def innermost(kinds: frozenset[int], parent: list[int], tag: list[int]) -> list[int]:
    """Of every element the innermost one of some kinds that holds it or is it; 0: there is none."""
    found = [0] * len(parent)
    for element in range(1, len(parent)):  # an element opens behind the one that holds it
        found[element] = element if tag[element] in kinds else found[parent[element]]
    return found
