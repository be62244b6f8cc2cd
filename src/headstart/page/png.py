"""Charts of `page.plot` as PNG files, for slides and papers."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from headstart.errors import HeadstartError
from headstart.folder import atomic
from headstart.output import output_file
from headstart.page.document import page_style
from headstart.page.markup import Markup, element
from headstart.page.plot import PLOT_STYLE, WIDTH

PIXELS = 1520  # across: twice the size on the page
FONTS = "Arial, Helvetica, 'Liberation Sans', 'DejaVu Sans', 'Noto Sans', sans-serif"
"""By name: the renderer takes `sans-serif` for Arial, and draws no text where that is not installed."""


def write_pngs(charts: Iterable[tuple[str, Markup]], folder: Path, replace: bool = False) -> list[Path]:
    """Write charts of `page.plot`, light, each named after its heading.

    Args:
        replace: take the place of pictures that are there.

    Raises:
        HeadstartError: the package that draws is not installed, or a picture is there already.
    """
    renderer = _renderer()
    style = element("style", Markup(_light_style()))
    written = []
    for heading, chart in charts:
        drawing = chart[chart.index("<svg") : chart.rindex("</svg>") + len("</svg>")]
        opening, inside = drawing.split(">", 1)
        size = f' xmlns="http://www.w3.org/2000/svg" width="{WIDTH}"'
        svg = f"{opening}{size}><g class='plot-chart'>{style}{inside.removesuffix('</svg>')}</g></svg>"
        picture = renderer.svg_to_bytes(svg_string=svg, width=PIXELS, background="#ffffff")
        name = re.sub(r"\W+", "-", heading.lower()).strip("-")
        written.append(folder / f"{name}.png")
        with output_file(written[-1], replace=replace) as place, atomic(place) as temporary:
            temporary.write_bytes(bytes(picture))
    return written


def _renderer() -> Any:
    try:
        import resvg_py
    except ImportError:
        raise HeadstartError(
            "PNG files need the resvg-py package; install it with: pip install 'headstart[png]'"
        ) from None
    return resvg_py


def _light_style() -> str:
    """The rules of plots, with the light theme's colours in place of variables, which it ignores."""
    page, plots = page_style(), PLOT_STYLE.read_text("utf-8")
    light = page.split("@media")[0]
    colours = dict(re.findall(r"--([\w-]+): (#\w+)", light))
    styles = {name: colours[of] for name, of in re.findall(r"\.(s\d) { --c: var\(--(\w+)\) }", page)}
    rules = f"svg text {{ font-family: {FONTS}; fill: var(--muted) }} .grid {{ stroke: var(--grid) }}\n"
    rules += ".end { text-anchor: end } .middle { text-anchor: middle }\n"
    rules += re.sub(r"/\*.*?\*/", "", plots)
    plain = ""
    for selector, body in re.findall(r"([^{}]+){([^}]*)}", rules.replace(".plot-chart svg", "svg")):
        body = re.sub(r"var\(--(\w+)\)", lambda found: colours.get(found[1], found[0]), body)
        if "var(--c)" not in body:
            plain += f"{selector.strip()} {{{body}}}\n"
            continue
        for name, colour in styles.items():
            plain += f"{selector.strip()}.{name} {{{body.replace('var(--c)', colour)}}}\n"
    return plain
