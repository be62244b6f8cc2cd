"""Figures of results as a page draws them: the data of `claim.Figure`, by the charts of all pages."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from headstart.page.charts import Axis, Bar, Series, bar_chart, line_chart, log_ticks
from headstart.page.markup import Markup, chart_figure, element, table
from headstart.page.numbers import amount, exact, significant

STYLES = 8


def figure(name: str, drawn: Mapping[str, Any]) -> Markup:
    """A figure under its title, with its numbers as a table."""
    if drawn["kind"] == "table":
        heading = element("h4", drawn["title"])
        return element(
            "figure", heading, table(drawn["columns"], drawn["rows"], drawn["title"], len(drawn["columns"]))
        )
    draw = _lines if drawn["kind"] == "lines" else _bars
    chart, numbers = draw(name, drawn)
    return chart_figure(chart, drawn["caption"], numbers, drawn["title"])


def _bars(name: str, drawn: Mapping[str, Any]) -> tuple[Markup, Markup]:
    bars = [Bar(label, value, f"{_shown(value)} {drawn['y']}".strip()) for label, value in drawn["bars"]]
    rows = [(bar.name, bar.text) for bar in bars]
    return bar_chart(name, drawn["title"], drawn["title"], bars), table(
        ["", drawn["y"]], rows, drawn["title"]
    )


def _shown(value: float) -> str:
    """A count in full, anything else with three digits."""
    return exact(int(value)) if value == int(value) else significant(value)


def _lines(name: str, drawn: Mapping[str, Any]) -> tuple[Markup, Markup]:
    series = [
        Series(one["name"] or "mean", [(x, y) for x, y in one["points"]], index % STYLES, one["spreads"])
        for index, one in enumerate(drawn["series"])
    ]
    xs = [x for one in series for x, _ in one.points]
    ys = [y for one in series for _, y in one.points]
    chart = line_chart(
        name, drawn["title"], drawn["caption"] or drawn["title"], series,
        _axis(drawn["x"], drawn["log_x"], xs), _axis(drawn["y"], drawn["log_y"], ys),
    )  # fmt: skip
    rows = [(one.name, amount(x), significant(y)) for one in series for x, y in one.points]
    return chart, table(["", drawn["x"], drawn["y"]], rows, drawn["title"])


def _axis(title: str, log: bool, values: Sequence[float]) -> Axis:
    if not log or min(values) <= 0:
        return Axis(title)
    low, high = min(values), max(values)
    ticks = log_ticks(low, high)
    return Axis(title, True, ticks if len(ticks) > 1 else [low, math.sqrt(low * high), high])
