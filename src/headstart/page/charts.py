"""Charts of a page: inline SVG from plain numbers.

Positions along x are percentages and along y pixels, so that a chart fills whatever width it is given
while its text keeps its size: one drawing serves a telephone and a wide screen. Margins are the
padding of the box around the `<svg>`; tick labels hang over into it. Colours, dashes and sizes are in
`page.css`; a series differs from its neighbours by colour, by dash and by the shape of its marks.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from headstart.page.markup import Markup, element
from headstart.page.numbers import MISSING, amount, significant


def nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About `count` round values, the outer ones at or just beyond `low` and `high`."""
    if high <= low:
        low, high = low - abs(low) * 0.1 - 0.5, high + abs(high) * 0.1 + 0.5
    rough = (high - low) / count
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * unit for factor in (1, 2, 2.5, 5, 10) if factor * unit >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten from `low` to `high`, all or some; with fewer than three also 2 and 5 times them."""
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    powers = [10.0**power for power in range(first, last + 1, max(1, (last - first) // 7 + 1))]
    if len(powers) >= 3:
        return powers
    finer = [digit * 10.0**power for power in range(first - 1, last + 1) for digit in (1, 2, 5)]
    return [value for value in finer if low <= value <= high]


def spread_apart(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Positions `gap` apart and as near to `wanted` as that allows, within low..high if they fit there."""
    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    blocks: list[list[int]] = []  # neighbours that touch stand around their common middle

    def top(block: list[int]) -> float:
        middle = sum(wanted[index] for index in block) / len(block)
        start = middle - gap * (len(block) - 1) / 2
        return max(min(start, high - gap * (len(block) - 1)), low)

    for index in order:
        blocks.append([index])
        while len(blocks) > 1 and top(blocks[-2]) + gap * len(blocks[-2]) > top(blocks[-1]):
            blocks[-2:] = [blocks[-2] + blocks[-1]]
    places = {index: top(block) + gap * rank for block in blocks for rank, index in enumerate(block)}
    return [places[index] for index in range(len(wanted))]


def chart(kind: str, *drawing: Markup) -> Markup:
    """A chart as it stands in a page. Every chart leaves by this function: a component that draws itself
    in the browser would be put around the drawing here.

    Args:
        kind: the name of its looks in `page.css`.
    """
    return element("div", *drawing, class_=kind)


def _svg(name: str, title: str, description: str, height: float, *children: object) -> Markup:
    return element(
        "svg",
        element("title", title, id=f"{name}-title"),
        element("desc", description, id=f"{name}-desc"),
        *children,
        role="img", aria_labelledby=f"{name}-title", aria_describedby=f"{name}-desc",
        width="100%", height=round(height),
    )  # fmt: skip


# --- line chart ---------------------------------------------------------------------------------------

# Shapes of marks, by style: circle, square, triangle, diamond. One hidden drawing per page defines them.
_SHAPES = (
    "M-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0-9 0z",
    "M-4-4h8v8h-8z",
    "M0-5.2L5 4H-5z",
    "M0-5.4L5.4 0L0 5.4L-5.4 0z",
)


def shapes() -> Markup:
    """The definitions that marks refer to: to be put into a page once, before its first chart."""
    marks = [element("path", id=f"mark-{index}", d=path) for index, path in enumerate(_SHAPES)]
    cap = element("path", id="cap", d="M-4 0h8")
    return element("svg", element("defs", *marks, cap), width=0, height=0, aria_hidden="true", class_="defs")


@dataclass(frozen=True)
class Axis:
    """What an axis shows: a title with its unit, linear or logarithmic, and where its ticks are."""

    title: str
    log: bool = False
    ticks: Sequence[float] | None = None
    label: Callable[[float], str] = amount
    limits: tuple[float, float] = (-math.inf, math.inf)
    tight: bool = False  # ends with the data, not with the next tick

    def scaled(self, values: Sequence[float]) -> tuple[list[float], Callable[[float], float]]:
        """The ticks for `values`, and the function from a value to its place in 0..1."""
        low, high = min(values), max(values)
        if self.log:
            ticks = sorted(self.ticks or set(values))
            low, high = math.log(min(low, ticks[0])), math.log(max(high, ticks[-1]))
            if low == high:
                low, high = low - 1, high + 1
            margin = 0.04 * (high - low)
            return ticks, lambda value: (math.log(value) - low + margin) / (high - low + 2 * margin)
        ticks = list(self.ticks or nice_ticks(low, high))
        ticks = [tick for tick in ticks if self.limits[0] <= tick <= self.limits[1]] or ticks
        if self.tight and low < high:
            ticks = [tick for tick in ticks if low <= tick <= high]
        else:
            low, high = min(low, ticks[0]), max(high, ticks[-1])
        return ticks, lambda value: (value - low) / (high - low)

    def fixed(self, low: float, high: float) -> tuple[list[float], Callable[[float], float]]:
        """The ticks of an axis from `low` to `high`, and the function from a value to its place in 0..1."""
        if self.log:
            return log_ticks(low, high), lambda value: math.log(value / low) / math.log(high / low)
        ticks = [tick for tick in nice_ticks(low, high, 6) if low <= tick <= high]
        return ticks, lambda value: (value - low) / (high - low)


@dataclass(frozen=True)
class Series:
    """One line: its points, for each a spread (0: none drawn), and the single observations behind them."""

    name: str
    points: Sequence[tuple[float, float]]
    style: int
    spreads: Sequence[float] = ()
    observations: Sequence[tuple[float, float]] = ()
    marks: bool = True
    thin: bool = False
    notes: Sequence[str] = field(default=())  # what hovering over a mark says


def line_chart(
    name: str, title: str, description: str, lines: Sequence[Series], x: Axis, y: Axis, height: int = 270
) -> Markup:
    """Lines over a common x, each named at its right end (in a key above where the page is narrow)."""
    lines = [line for line in lines if line.points]
    xs = [point[0] for line in lines for point in line.points]
    ys = [value for line in lines for point in (*line.points, *line.observations) for value in point[1:]]
    for line in lines:
        for (_, value), spread in zip(line.points, line.spreads, strict=False):
            ys += [value - spread, value + spread]
    bounded = [min(max(value, y.limits[0]), y.limits[1]) for value in ys]
    x_ticks, x_place = x.scaled(xs)
    y_ticks, y_place = y.scaled(bounded)

    def across(value: float) -> str:
        return f"{100 * x_place(value):.2f}%"

    def down(value: float) -> float:
        return round(height * (1 - min(max(y_place(value), 0.0), 1.0)), 2)

    parts: list[Markup] = []
    for tick in y_ticks:
        parts.append(element("line", x1=0, x2="100%", y1=down(tick), y2=down(tick), class_="grid"))
        parts.append(element("text", y.label(tick), x=-8, y=down(tick), dy="0.35em", class_="tick end"))
    parts.append(element("line", x1=0, x2="100%", y1=height, y2=height, class_="axis"))
    last_labelled = -math.inf
    for tick in x_ticks:
        parts.append(
            element("line", x1=across(tick), x2=across(tick), y1=height, y2=height + 5, class_="axis")
        )
        if x_place(tick) - last_labelled > 0.11:  # closer labels would run into each other
            parts.append(element("text", x.label(tick), x=across(tick), y=height + 19, class_="tick middle"))
            last_labelled = x_place(tick)
    parts.append(element("text", y.title, x=-44, y=-16, class_="axis-title"))
    parts.append(element("text", x.title, x="50%", y=height + 38, class_="axis-title middle"))

    # With spreads to show, the lines stand a few pixels apart, so that no bar hides another.
    dodged = [line for line in lines if line.spreads]
    for line in lines:
        shift = 5.0 * (dodged.index(line) - (len(dodged) - 1) / 2) if line in dodged else 0
        drawn = _drawn_series(line, across, down, x_place, height)
        parts.append(element("g", *drawn, class_=f"series s{line.style}" + (" thin" if line.thin else ""),
                             transform=f"translate({shift:g} 0)" if shift else None))  # fmt: skip
    ends = spread_apart([down(line.points[-1][1]) for line in lines], 17, 2, height - 2)
    for line, end in zip(lines, ends, strict=True):
        text = element("text", line.name, x="100%", dx=12, y=round(end, 1), dy="0.35em")
        parts.append(element("g", text, class_=f"end-label s{line.style}"))
    room = max(len(line.name) for line in lines) * 7.6 + 18
    key = element("div", *(_key(line) for line in lines), class_="key", aria_hidden="true")
    plot = element(
        "div", _svg(name, title, description, height, *parts), class_="plot", style=f"--right:{room:.0f}px"
    )
    return chart("line-chart", key, plot)


def _drawn_series(
    line: Series,
    across: Callable[[float], str],
    down: Callable[[float], float],
    x_place: Callable[[float], float],
    height: int,
) -> Iterable[Markup]:
    """A series' line, bars, observations and marks, in the order in which they cover each other."""
    steps = " L".join(f"{1000 * x_place(a):.1f} {down(b):.1f}" for a, b in line.points)
    # A path knows no percentages: it gets a square of its own that is stretched to the chart's width.
    path = element("path", d=f"M{steps}", class_="line")
    yield element("svg", path, viewBox=f"0 0 1000 {height}", width="100%", height=height,
                  preserveAspectRatio="none", class_="stretch")  # fmt: skip
    for (a, b), spread in zip(line.points, line.spreads, strict=False):
        if spread > 0:
            top, bottom = down(b + spread), down(b - spread)
            yield element("line", x1=across(a), x2=across(a), y1=top, y2=bottom, class_="spread")
            yield element("use", href="#cap", x=across(a), y=top, class_="spread")
            yield element("use", href="#cap", x=across(a), y=bottom, class_="spread")
    for a, b in line.observations:
        yield element("circle", cx=across(a), cy=down(b), r=2.2, class_="observation")
    if line.marks:
        shape = f"#mark-{line.style % len(_SHAPES)}"
        for index, (a, b) in enumerate(line.points):
            note = line.notes[index] if index < len(line.notes) else f"{line.name}: {significant(b)}"
            yield element("use", element("title", note), href=shape, x=across(a), y=down(b), class_="mark")


def _key(line: Series) -> Markup:
    """The line and mark of a series, with its name."""
    stroke = element("path", d="M0 6H26", class_="line")
    mark = element("use", href=f"#mark-{line.style % len(_SHAPES)}", x=13, y=6, class_="mark")
    drawing = element("svg", stroke, mark if line.marks else None, width=26, height=12)
    return element(
        "span", drawing, line.name, class_=f"series s{line.style}" + (" thin" if line.thin else "")
    )


# --- bars ---------------------------------------------------------------------------------------------

_ROW = 40  # pixels from bar to bar
_NAME = 38  # characters of a name that fit beside a value on a telephone


@dataclass(frozen=True)
class Bar:
    """One bar from zero: its name and value above it; `before` is drawn faintly behind it."""

    name: str
    value: float | None
    text: str
    style: int = 0
    before: float | None = None
    note: str = ""


def bar_chart(name: str, title: str, description: str, bars: Sequence[Bar]) -> Markup:
    """Horizontal bars on one scale that starts at zero, each under its name and its value."""
    longest = (
        max((value for bar in bars for value in (bar.value, bar.before) if value is not None), default=0) or 1
    )
    parts: list[Markup] = []
    for index, bar in enumerate(bars):
        top = index * _ROW
        label = bar.name if len(bar.name) <= _NAME else bar.name[: _NAME - 1] + "…"
        crowded = len(label) + len(bar.note) + len(bar.text) > _NAME
        note = (
            element("tspan", f"{bar.note}   ", class_="note crowded" if crowded else "note")
            if bar.note
            else None
        )
        row = [
            element("title", f"{bar.name}: {bar.text} {bar.note}".strip()),
            element("text", label, x=0, y=top + 15, class_="name"),
            element("text", note, bar.text, x="100%", y=top + 15, class_="value end"),
            element("rect", x=0, y=top + 22, width="100%", height=10, class_="track"),
        ]
        for length, kind in ((bar.before, "before"), (bar.value, "bar")):
            if length:
                width = f"{100 * length / longest:.2f}%"
                row.append(element("rect", x=0, y=top + 22, width=width, height=10, class_=kind))
        parts.append(element("g", *row, class_=f"s{bar.style}"))
    return chart("bar-chart", _svg(name, title, description, _ROW * len(bars), *parts))


def funnel_chart(
    name: str,
    title: str,
    description: str,
    stages: Sequence[tuple[str, float | None]],
    label: Callable[[float | None], str],
) -> Markup:
    """What is left after each stage; the faint part of a bar is what that stage took away."""
    bars = []
    before: float | None = None
    for stage, value in stages:
        share = (value - before) / before if before and value is not None else None
        note = "" if share is None else _change(share)
        bars.append(Bar(stage, value, MISSING if value is None else label(value), 0, before, note))
        before = value if value is not None else before
    return bar_chart(name, title, description, bars)


def _change(share: float) -> str:
    """`−12.3 %`, `±0 %`, `+4 %`."""
    if share == 0:
        return "±0 %"
    return f"{'−' if share < 0 else '+'}{significant(abs(100 * share), 2)} %"
