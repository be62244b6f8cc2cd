"""The safe markup that a page is made of: text is escaped on its way in, whatever it holds."""

import re
from collections.abc import Iterable, Sequence
from html import escape

_VOID = frozenset({"br", "hr", "input", "meta", "link"})
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


class Markup(str):
    """Text that is already HTML. Every other string is escaped on its way into the page."""

    __slots__ = ()


def markup(value: object) -> Markup:
    """`value` as HTML: markup stays as it is, nothing for None, anything else is escaped."""
    if isinstance(value, Markup):
        return value
    return Markup("" if value is None else escape(_UNPRINTABLE.sub("\ufffd", str(value))))


def join(parts: Iterable[object], separator: str = "") -> Markup:
    """Several pieces of markup or text, one after the other."""
    return Markup(markup(separator).join(markup(part) for part in parts))


def element(tag: str, *children: object, **attributes: object) -> Markup:
    """One HTML or SVG element. `class_` means class, `stroke_width` stroke-width; None leaves one out."""
    opening = tag
    for name, value in attributes.items():
        if value is None or value is False:
            continue
        opening += f" {name.rstrip('_').replace('_', '-')}"
        opening += "" if value is True else f'="{markup(value)}"'
    return Markup(f"<{opening}>" if tag in _VOID else f"<{opening}>{join(children)}</{tag}>")


def listed(words: Sequence[str]) -> str:
    """Words as a sentence lists them: `a, b and c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""


def table(
    headers: Sequence[object], rows: Iterable[Sequence[object]], label: str, text_columns: int = 1
) -> Markup:
    """A table that scrolls by itself where it is too wide; all but the first columns are right-aligned."""

    def cells(tag: str, values: Sequence[object], scope: str | None) -> Markup:
        return join(
            element("th" if tag == "th" or index == 0 else "td", value,
                    scope=scope if tag == "th" else "row" if index == 0 else None,
                    class_=None if index < text_columns else "number")
            for index, value in enumerate(values)
        )  # fmt: skip

    head = element("thead", element("tr", cells("th", headers, "col")))
    body = element("tbody", *(element("tr", cells("td", row, None)) for row in rows))
    # A scrolling box has to be reachable by keyboard.
    return element(
        "div", element("table", head, body), class_="scroll", tabindex=0, role="region", aria_label=label
    )


def absent(sentence: str) -> Markup:
    """A sentence in the place of what there is nothing of."""
    return element("p", sentence, class_="absent")


def prose(*text: object) -> Markup:
    """A paragraph of running text."""
    return element("p", *text, class_="prose")


def chart_figure(drawing: object, caption: object, data: object, heading: object = None) -> Markup:
    """A drawing with what it shows above, how it was measured below, and its numbers as a table."""
    return element(
        "figure",
        element("h3", heading) if heading else None,
        drawing,
        element("figcaption", caption) if caption else None,
        element("details", element("summary", "Numbers"), data, class_="numbers") if data else None,
    )


def key_facts(*pairs: tuple[str, object]) -> Markup:
    """Names with their values, side by side."""
    groups = (element("div", element("dt", name), element("dd", value)) for name, value in pairs)
    return element("dl", *groups, class_="facts")
