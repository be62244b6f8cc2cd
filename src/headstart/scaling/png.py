"""The figures of a page as PNG files, for slides and papers."""

import re
from pathlib import Path
from typing import Any

from headstart.errors import HeadstartError
from headstart.folder import atomic
from headstart.scaling.picture import STYLE, WIDTH

PIXELS = 1520  # across: twice the size on the page


def write_pngs(page: Path, folder: Path) -> list[Path]:
    """Write every figure of a page that `write_page` made, light, each named after its heading.

    Raises:
        HeadstartError: the package that draws is not installed.
    """
    renderer = _renderer()
    html = page.read_text(encoding="utf-8")
    style = _plain(STYLE)
    written = []
    for heading, drawing in re.findall(r"<h2>(.*?)</h2><figure>(<svg.*?</svg>)", html, re.DOTALL):
        name = re.sub(r"\W+", "-", heading.lower()).strip("-")
        svg = drawing.replace(
            "<svg ", f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" ', 1
        ).replace(">", f"><style>{style}</style>", 1)
        picture = renderer.svg_to_bytes(svg_string=svg, width=PIXELS, background="#ffffff")
        written.append(folder / f"{name}.png")
        with atomic(written[-1]) as temporary:
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


def _plain(style: str) -> str:
    """The style sheet with the light theme's colours in place of its variables."""
    colours = dict(re.findall(r"--(\w+): ([^;]+);", style.split("@media")[0]))
    rules = re.sub(r"@media.*?\} \}", "", style, flags=re.DOTALL)
    return re.sub(r"var\(--(\w+)\)", lambda found: colours[found.group(1)], rules)
