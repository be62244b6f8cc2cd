"""Intervals of many effects under each other, each in units of its own margin, with the range that it is
judged by."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from headstart.page.charts import chart
from headstart.page.markup import Markup, element

INTERVALS_STYLE = Path(__file__).with_name("intervals.css")
REACH = 3.0
"""Margins to either side that are drawn; what lies beyond ends in an arrow."""
ROW, TOP = 44, 26


@dataclass(frozen=True)
class Interval:
    """One row: an effect, its interval and the range that is asked for, all in units of its margin."""

    name: str
    text: str
    """At the right end of the row."""
    letter: str
    """In the mark, so that colour alone says nothing."""
    style: int
    mean: float | None = None
    low: float | None = None
    high: float | None = None
    holds: tuple[float | None, float | None] = (None, None)
    """The range in which the claim holds; None: no end."""
    note: str = ""
    href: str = ""


def interval_chart(name: str, title: str, description: str, rows: Sequence[Interval]) -> Markup:
    """The rows on one scale, from `REACH` margins below to as many above."""
    height = TOP + ROW * len(rows)
    parts: list[Markup] = []
    for tick in range(-int(REACH), int(REACH) + 1):
        at = _across(tick)
        parts.append(
            element("line", x1=at, x2=at, y1=TOP - 6, y2=height, class_="axis" if tick == 0 else "grid")
        )
        label = f"{tick:+d}".replace("-", "−") if tick else "0"
        parts.append(element("text", label, x=at, y=12, class_="tick middle"))
    for number, row in enumerate(rows):
        parts.append(_row(row, TOP + number * ROW))
    svg = element(
        "svg",
        element("title", title, id=f"{name}-title"),
        element("desc", description, id=f"{name}-desc"),
        *parts,
        role="img", aria_labelledby=f"{name}-title", aria_describedby=f"{name}-desc",
        width="100%", height=height,
    )  # fmt: skip
    return chart("interval-chart", svg)


def _across(value: float) -> str:
    clipped = min(max(value, -REACH), REACH)
    return f"{2 + 96 * (clipped + REACH) / (2 * REACH):.2f}%"


def _row(row: Interval, top: float) -> Markup:
    line = top + 30
    label = element("text", row.name, x=0, y=top + 14, class_="name")
    drawn = [
        element("title", row.note or f"{row.name}: {row.text}"),
        element("a", label, href=row.href) if row.href else label,
        element("text", row.text, x="100%", y=top + 14, class_="value end"),
    ]
    if row.mean is None:
        drawn.append(element("text", "not measured here", x="50%", y=line + 4, class_="tick middle"))
        return element("g", *drawn, class_=f"s{row.style}")
    low, high = (
        (-REACH if row.holds[0] is None else row.holds[0]),
        (REACH if row.holds[1] is None else row.holds[1]),
    )
    left, right = (float(_across(value)[:-1]) for value in (low, high))
    width = f"{max(right - left, 0.4):.2f}%"
    drawn.append(element("rect", x=_across(low), y=line - 7, width=width, height=14, class_="holds"))
    if row.low is not None and row.high is not None:
        drawn.append(
            element("line", x1=_across(row.low), x2=_across(row.high), y1=line, y2=line, class_="interval")
        )
    drawn.append(element("circle", cx=_across(row.mean), cy=line, r=9, class_="mark"))
    beyond = "›" if row.mean > REACH else "‹" if row.mean < -REACH else ""
    drawn.append(
        element("text", row.letter + beyond, x=_across(row.mean), y=line + 4, class_="letter middle")
    )
    return element("g", *drawn, class_=f"s{row.style}")
