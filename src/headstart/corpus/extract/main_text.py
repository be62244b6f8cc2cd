"""The main text of a page by headstart's own extractor: the lines that the classifier keeps, made readable.

Paragraphs stand between blank lines, items of a list begin with `- `, the cells of a row are joined by ` | `,
preformatted text keeps its spaces and line ends.
"""

from headstart.corpus.extract.blocks import PRE, TAG, Page, read_page
from headstart.corpus.extract.line_classifier import LineClassifier, shipped

_CELLS = frozenset({TAG["td"], TAG["th"]})
_ITEMS = frozenset(TAG[name] for name in ("li", "tr", "dt", "dd"))


def main_text(html: str, classifier: LineClassifier | None = None) -> str:
    """The main text of a decoded page, by the shipped classifier or another; "" if there is no text."""
    page = read_page(html)
    return render(page, (classifier or shipped()).main_lines(page).tolist())


def render(page: Page, lines: list[int]) -> str:
    """The lines of a page with these numbers, in order."""
    parent, tag = page.parent.tolist(), page.tag.tolist()
    first, last = page.first.tolist(), page.last.tolist()
    pieces: list[str] = []
    row_before = group_before = -1
    for at in lines:
        element = int(page.element[at])
        # A cell that holds this line alone makes it part of a row.
        cell = element
        while (
            tag[cell] not in _CELLS and parent[cell] != cell and last[parent[cell]] - first[parent[cell]] == 1
        ):
            cell = parent[cell]
        alone = tag[cell] in _CELLS and last[cell] - first[cell] == 1
        row = parent[cell] if alone else -1
        item = _innermost(_ITEMS, element, parent, tag)
        group = parent[item]
        if pieces:
            if alone and row == row_before:
                pieces.append(" | ")
            else:
                pieces.append("\n" if group >= 0 and group == group_before else "\n\n")
        row_before, group_before = row, group if item else -1
        if tag[item] == TAG["li"] and first[item] == at and not page.flags[element] & PRE:
            pieces.append("- ")
        pieces.append(page.lines[at])
    return "".join(pieces)


def _innermost(kinds: frozenset[int], element: int, parent: list[int], tag: list[int]) -> int:
    """The innermost element of some kinds that holds an element; 0, the page: there is none."""
    while element and tag[element] not in kinds:
        element = parent[element]
    return element
