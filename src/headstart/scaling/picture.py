"""Figures of the planner: inline SVG over logarithmic axes, and the one-file page around them.

Nothing is loaded and nothing runs: a page is HTML, CSS and SVG, with the numbers of every figure below it.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from headstart.folder import atomic
from headstart.scaling.units import amount

WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 66, 24, 16, 52
LABEL_HEIGHT = 13
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
LETTER = 6.7
"""Width of a letter of the smallest text, about."""

STYLE = """
:root { color-scheme: light dark; --ink: #1c2230; --soft: #5d6678; --line: #d9dee7; --page: #fcfcfd;
  --c0: #2456a6; --c1: #c2571a; --c2: #2b7d4f; --c3: #8a3b8f; --c4: #8a6d00; --c5: #4a6a7c; }
@media (prefers-color-scheme: dark) { :root {
  --ink: #e8ebf2; --soft: #9aa4b8; --line: #333b4a; --page: #14181f;
  --c0: #7fb0ff; --c1: #ff9d66; --c2: #6fd09a; --c3: #dd8fe0; --c4: #e0c04d; --c5: #9fbccb; } }
body { margin: 0 auto; max-width: 50rem; padding: 2rem 1.2rem 4rem; background: var(--page);
  color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .3rem; }
h2 { font-size: 1.1rem; margin: 2.4rem 0 .2rem; }
p { margin: .4rem 0; } figcaption, summary { color: var(--soft); font-size: .9rem; }
figure { margin: .6rem 0 0; }
svg { width: 100%; height: auto; display: block; font: 11.5px system-ui, sans-serif; }
svg text { fill: var(--soft); } svg .axis { fill: var(--ink); font-size: 12.5px; }
svg .name { fill: var(--ink); } .grid { stroke: var(--line); stroke-width: 1; }
.cell { shape-rendering: crispEdges; } .path { fill: none; stroke-width: 2; }
.band { opacity: .16; stroke: none; }
.dash { stroke-dasharray: 6 4; } .dot { stroke: var(--page); stroke-width: 1; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: .85rem; margin: .5rem 0; }
td, th { padding: .2rem .7rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
td:first-child, th:first-child { text-align: left; } th { color: var(--soft); font-weight: 500; }
"""
for _index in range(6):
    STYLE += f".s{_index} {{ stroke: var(--c{_index}); }}\n"
    STYLE += f".f{_index}, svg text.f{_index} {{ fill: var(--c{_index}); }}\n"


@dataclass(frozen=True)
class Axis:
    """From `low` to `high`, usually on a logarithmic scale."""

    title: str
    low: float
    high: float
    log: bool = True
    label: Callable[[float], str] = amount

    def place(self, value: float) -> float:
        """0 at `low`, 1 at `high`."""
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        """Powers of ten where there are enough of them, else round steps."""
        if not self.log:
            return _round_steps(self.low, self.high)
        first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
        step = max(1, (last - first) // 7 + 1)
        powers = [10.0**power for power in range(first, last + 1, step)]
        if len(powers) >= 3:
            return powers
        finer = [digit * 10.0**power for power in range(first - 1, last + 1) for digit in (1, 2, 5)]
        return [value for value in finer if self.low <= value <= self.high]


def power(value: float) -> str:
    """`10²⁴`, `3.2 × 10²¹`."""
    mantissa, exponent = f"{value:.1e}".split("e")
    raised = "10" + str(int(exponent)).translate(SUPERSCRIPTS)
    return raised if mantissa == "1.0" else f"{mantissa} × {raised}"


def _round_steps(low: float, high: float) -> list[float]:
    rough = (high - low) / 6
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in (1, 2, 2.5, 5, 10) if unit * factor >= rough)
    first = math.ceil(low / step)
    return [step * n for n in range(first, math.floor(high / step) + 1)]


@dataclass
class Plot:
    """Draws into one SVG; later parts cover earlier ones."""

    title: str
    x: Axis
    y: Axis
    parts: list[str] = field(default_factory=list)
    _taken: list[tuple[float, float, float, float]] = field(default_factory=list)

    def at(self, x: float, y: float) -> tuple[float, float]:
        across = LEFT + self.x.place(x) * (WIDTH - LEFT - RIGHT)
        down = HEIGHT - BOTTOM - self.y.place(y) * (HEIGHT - TOP - BOTTOM)
        return round(across, 1), round(down, 1)

    def line(self, points: Sequence[tuple[float, float]], style: int, dashed: bool = False) -> None:
        path = "L".join(f"{x} {y}" for x, y in (self.at(*point) for point in points))
        self.parts.append(f'<path class="path s{style}{" dash" if dashed else ""}" d="M{path}"/>')

    def band(
        self, low: Sequence[tuple[float, float]], high: Sequence[tuple[float, float]], style: int
    ) -> None:
        outline = [self.at(*point) for point in (*low, *reversed(high))]
        path = "L".join(f"{x} {y}" for x, y in outline)
        self.parts.append(f'<path class="band f{style}" d="M{path}Z"/>')

    def dot(self, x: float, y: float, style: int, note: str, size: float = 4) -> None:
        across, down = self.at(x, y)
        self._taken.append((across - size, down - size, across + size, down + size))
        self.parts.append(
            f'<circle class="dot f{style}" cx="{across}" cy="{down}" r="{size}">'
            f"<title>{escape(note)}</title></circle>"
        )

    def cell(self, low: tuple[float, float], high: tuple[float, float], share: float) -> None:
        """A filled field of the plane; `share` from 0 (faint) to 1."""
        (left, bottom), (right, top) = self.at(*low), self.at(*high)
        self.parts.append(
            f'<rect class="cell f0" x="{left}" y="{top}" width="{right - left:.1f}" '
            f'height="{bottom - top:.1f}" opacity="{share:.3f}"/>'
        )

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
            kind = "name" if style is None else f"f{style}"
            self.parts.append(f'<text class="{kind}" x="{left:.1f}" y="{base:.1f}">{escape(text)}</text>')
            return

    def svg(self) -> str:
        frame = []
        for tick in self.x.ticks():
            across, _ = self.at(tick, self.y.low)
            frame.append(f'<path class="grid" d="M{across} {TOP}V{HEIGHT - BOTTOM}"/>')
            frame.append(
                f'<text x="{across}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">'
                f"{self.x.label(tick)}</text>"
            )
        for tick in self.y.ticks():
            _, down = self.at(self.x.low, tick)
            frame.append(f'<path class="grid" d="M{LEFT} {down}H{WIDTH - RIGHT}"/>')
            frame.append(f'<text x="{LEFT - 8}" y="{down + 4}" text-anchor="end">{self.y.label(tick)}</text>')
        frame.append(
            f'<text class="axis" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 10}" text-anchor="middle">'
            f"{escape(self.x.title)}</text>"
        )
        frame.append(
            f'<text class="axis" transform="translate(14 {(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)" '
            f'text-anchor="middle">{escape(self.y.title)}</text>'
        )
        clip = f'<rect x="{LEFT}" y="{TOP}" width="{WIDTH - LEFT - RIGHT}" height="{HEIGHT - TOP - BOTTOM}"/>'
        return (
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img"><title>{escape(self.title)}</title>'
            f'<defs><clipPath id="inside">{clip}</clipPath></defs>{"".join(frame)}'
            f'<g clip-path="url(#inside)">{"".join(self.parts)}</g></svg>'
        )


def stacked_bars(
    title: str, bars: Sequence[tuple[str, dict[str, float]]], label: Callable[[float], str]
) -> str:
    """Horizontal bars of named parts on one scale from zero, with a key above."""
    parts = list(dict.fromkeys(part for _, values in bars for part in values))
    longest = max(sum(values.values()) for _, values in bars) or 1.0
    row, top = 46, 30
    drawn, across = [], 0.0
    for index, part in enumerate(parts):
        drawn.append(f'<rect class="f{index % 6}" x="{across}" y="2" width="11" height="11"/>')
        drawn.append(f'<text x="{across + 16}" y="12">{escape(part)}</text>')
        across += 34 + len(part) * LETTER
    for number, (name, values) in enumerate(bars):
        base, left = top + number * row, 0.0
        total = sum(values.values())
        drawn.append(f'<text class="name" x="0" y="{base + 14}">{escape(name)}</text>')
        drawn.append(f'<text x="{WIDTH}" y="{base + 14}" text-anchor="end">{label(total)}</text>')
        for index, part in enumerate(parts):
            width = values.get(part, 0.0) / longest * WIDTH
            if width:
                note = f"{part}: {label(values[part])}"
                drawn.append(
                    f'<rect class="f{index % 6}" x="{left:.1f}" y="{base + 20}" width="{width:.1f}" '
                    f'height="14">'
                    f"<title>{escape(note)}</title></rect>"
                )
                left += width
    height = top + len(bars) * row
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img"><title>{escape(title)}</title>{"".join(drawn)}</svg>'
    )


def figure(
    heading: str, drawing: str, caption: str, headers: Sequence[str], rows: Sequence[Sequence[str]]
) -> str:
    """A drawing under its heading, with what it shows and its numbers below."""
    head = "".join(f"<th>{escape(text)}</th>" for text in headers)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    numbers = f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div>'
    return (
        f"<h2>{escape(heading)}</h2><figure>{drawing}<figcaption>{escape(caption)}</figcaption>"
        f"<details><summary>Numbers</summary>{numbers}</details></figure>"
    )


def write_page(path: Path, title: str, lead: Sequence[str], figures: Sequence[str]) -> None:
    """One HTML file that needs nothing else."""
    policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    page = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{escape(title)}</title>'
        f"<style>{STYLE}</style></head><body><h1>{escape(title)}</h1>"
        + "".join(f"<p>{escape(line)}</p>" for line in lead)
        + "".join(figures)
        + "</body></html>\n"
    )
    with atomic(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
