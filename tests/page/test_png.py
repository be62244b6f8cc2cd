"""Charts become pictures."""

import struct

from headstart.page.charts import Axis
from headstart.page.plot import Plot, stacked_bars
from headstart.page.png import PIXELS, write_pngs


def test_every_chart_becomes_a_picture(tmp_path) -> None:
    plot = Plot("Loss & size", Axis("parameters", log=True), Axis("loss"), (1e6, 1e9), (2.0, 4.0))
    plot.line([(1e6, 4.0), (1e9, 2.0)], 0)
    bars = stacked_bars("Memory", [("one", {"weights": 2.0, "rest": 1.0})], str)
    written = write_pngs([("Loss, by size", plot.drawn()), ("B", bars)], tmp_path / "pictures")
    assert [file.name for file in written] == ["loss-by-size.png", "b.png"]
    for file in written:
        content = file.read_bytes()
        assert content.startswith(b"\x89PNG")
        assert struct.unpack(">I", content[16:20])[0] == PIXELS
        assert len(set(content)) > 50, "not an empty picture"


def test_a_picture_has_the_colours_of_the_page(tmp_path) -> None:
    """A curve in style 1 is drawn in that style's colour: taking the curve away changes the picture."""
    pictures = []
    for style in (0, 1):
        plot = Plot("x", Axis("a"), Axis("b"), (0.0, 1.0), (0.0, 1.0))
        plot.line([(0.0, 0.0), (1.0, 1.0)], style)
        pictures.append(write_pngs([(f"style {style}", plot.drawn())], tmp_path)[0].read_bytes())
    assert pictures[0] != pictures[1]


def test_a_picture_has_text(tmp_path) -> None:
    sizes = []
    for title in ("", "parameters of the model"):
        plot = Plot(
            "x", Axis(title, label=lambda value: ""), Axis("", label=lambda value: ""), (0.0, 1.0), (0.0, 1.0)
        )
        sizes.append(write_pngs([(f"title {title}", plot.drawn())], tmp_path)[0].stat().st_size)
    assert sizes[1] > sizes[0] + 500
