"""Charts in a plane: curves, bands, points with names and shaded cells, over two axes of fixed range.

Unlike `charts`, a plot has a size of its own and grows and shrinks as a picture, so that names keep their
places beside their points and a picture file shows what the page shows. Its looks are in `plot.css`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from headstart.page.charts import Axis, chart
from headstart.page.markup import Markup, element

PLOT_STYLE = Path(__file__).with_name("plot.css")
WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 66, 24, 16, 52
LABEL_HEIGHT = 13
LETTER = 6.7
"""Width of a letter of the smallest text, about."""
STYLES = 6
"""Styles of `page.css` that parts of a bar take in turn."""
Point = tuple[float, float]


@dataclass
class Plot:
    """Draws into one SVG; later parts cover earlier ones. A style is one of `page.css`: its colour."""

    title: str
    x: Axis
    y: Axis
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    parts: list[Markup] = field(default_factory=list)
    _taken: list[tuple[float, float, float, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._x_ticks, self._across = self.x.fixed(*self.x_range)
        self._y_ticks, self._up = self.y.fixed(*self.y_range)

    def at(self, x: float, y: float) -> Point:
        """Where a point is drawn, in pixels from the upper left corner."""
        across = LEFT + self._across(x) * (WIDTH - LEFT - RIGHT)
        down = HEIGHT - BOTTOM - self._up(y) * (HEIGHT - TOP - BOTTOM)
        return round(across, 1), round(down, 1)

    def line(self, points: Sequence[Point], style: int, dashed: bool = False) -> None:
        """A curve through points."""
        self.parts.append(
            element(
                "path", class_=f"curve s{style}" + (" dashed" if dashed else ""), d=f"M{self._path(points)}"
            )
        )

    def band(self, low: Sequence[Point], high: Sequence[Point], style: int) -> None:
        """The area between two curves."""
        self.parts.append(
            element("path", class_=f"band s{style}", d=f"M{self._path([*low, *reversed(high)])}Z")
        )

    def dot(self, x: float, y: float, style: int, note: str, size: float = 4) -> None:
        """A point, with what hovering over it says."""
        across, down = self.at(x, y)
        self._taken.append((across - size, down - size, across + size, down + size))
        title = element("title", note)
        self.parts.append(element("circle", title, class_=f"dot s{style}", cx=across, cy=down, r=size))

    def cell(self, low: Point, high: Point, share: float) -> None:
        """A filled field of the plane; `share` from 0 (faint) to 1."""
        (left, bottom), (right, top) = self.at(*low), self.at(*high)
        size = {"width": round(right - left, 1), "height": round(bottom - top, 1)}
        self.parts.append(element("rect", class_="cell s0", x=left, y=top, **size, opacity=f"{share:.3f}"))

    def name(self, x: float, y: float, text: str, style: int | None = None) -> None:
        """A label beside a point, at the first free place around it; left out where there is none."""
        across, down = self.at(x, y)
        long = len(text) * LETTER
        spots = [(8, 4), (8, -8), (8, 16), (-8 - long, 4), (-8 - long, -8), (-long / 2, -10), (-long / 2, 20)]
        for right, below in spots:
            left, base = across + right, down + below
            box = (left, base - LABEL_HEIGHT + 3, left + long, base + 3)
            if box[0] < LEFT or box[2] > WIDTH - RIGHT or box[1] < 2 or box[3] > HEIGHT - BOTTOM:
                continue
            if any(box[0] < b[2] and b[0] < box[2] and box[1] < b[3] and b[1] < box[3] for b in self._taken):
                continue
            self._taken.append(box)
            kind = "point-name" if style is None else f"point-name coloured s{style}"
            self.parts.append(element("text", text, class_=kind, x=round(left, 1), y=round(base, 1)))
            return

    def _path(self, points: Sequence[Point]) -> str:
        return "L".join(f"{x} {y}" for x, y in (self.at(*point) for point in points))

    def drawn(self) -> Markup:
        """The whole chart: grid and axes below, what was drawn clipped to them."""
        frame: list[Markup] = []
        low_x, low_y = self.x_range[0], self.y_range[0]
        for tick in self._x_ticks:
            across, _ = self.at(tick, low_y)
            frame.append(element("path", class_="grid", d=f"M{across} {TOP}V{HEIGHT - BOTTOM}"))
            frame.append(
                element("text", self.x.label(tick), class_="tick middle", x=across, y=HEIGHT - BOTTOM + 18)
            )
        for tick in self._y_ticks:
            _, down = self.at(low_x, tick)
            frame.append(element("path", class_="grid", d=f"M{LEFT} {down}H{WIDTH - RIGHT}"))
            frame.append(element("text", self.y.label(tick), class_="tick end", x=LEFT - 8, y=down + 4))
        middle, centre = (LEFT + WIDTH - RIGHT) / 2, (TOP + HEIGHT - BOTTOM) / 2
        turned = f"translate(14 {centre}) rotate(-90)"
        frame.append(element("text", self.x.title, class_="axis-title middle", x=middle, y=HEIGHT - 10))
        frame.append(element("text", self.y.title, class_="axis-title middle", transform=turned))
        clip = element("rect", x=LEFT, y=TOP, width=WIDTH - LEFT - RIGHT, height=HEIGHT - TOP - BOTTOM)
        inside = element("defs", element("clipPath", clip, id="inside"))
        inner = element("g", *self.parts, clip_path="url(#inside)")
        return _picture(self.title, HEIGHT, inside, *frame, inner)


def stacked_bars(
    title: str, bars: Sequence[tuple[str, dict[str, float]]], label: Callable[[float], str]
) -> Markup:
    """Horizontal bars of named parts on one scale from zero, with a key above."""
    parts = list(dict.fromkeys(part for _, values in bars for part in values))
    longest = max(sum(values.values()) for _, values in bars) or 1.0
    row, top = 46, 30
    drawn: list[Markup] = []
    across = 0.0
    for index, part in enumerate(parts):
        style = f"part s{index % STYLES}"
        drawn.append(element("rect", class_=style, x=across, y=2, width=11, height=11))
        drawn.append(element("text", part, class_="tick", x=across + 16, y=12))
        across += 34 + len(part) * LETTER
    for number, (name, values) in enumerate(bars):
        base, left = top + number * row, 0.0
        drawn.append(element("text", name, class_="point-name", x=0, y=base + 14))
        drawn.append(element("text", label(sum(values.values())), class_="tick end", x=WIDTH, y=base + 14))
        for index, part in enumerate(parts):
            width = values.get(part, 0.0) / longest * WIDTH
            if width:
                note = element("title", f"{part}: {label(values[part])}")
                place = {"x": round(left, 1), "y": base + 20, "width": round(width, 1), "height": 14}
                drawn.append(element("rect", note, class_=f"part s{index % STYLES}", **place))
                left += width
    return _picture(title, top + len(bars) * row, *drawn)


def _picture(title: str, height: int, *children: Markup) -> Markup:
    box = f"0 0 {WIDTH} {height}"
    return chart("plot-chart", element("svg", element("title", title), *children, viewBox=box, role="img"))
