"""Figures of a page become pictures."""

import struct

from headstart.scaling.picture import Axis, Plot, figure, write_page
from headstart.scaling.png import PIXELS, write_pngs


def test_every_figure_of_a_page_becomes_a_picture(tmp_path) -> None:
    plot = Plot("Loss & size", Axis("parameters", 1e6, 1e9), Axis("loss", 2.0, 4.0))
    plot.line([(1e6, 4.0), (1e9, 2.0)], 0)
    figures = [figure(name, plot.svg(), "What it shows.", ["a"], [["1"]]) for name in ("Loss, by size", "B")]
    write_page(tmp_path / "page.html", "A page", ["Lead."], figures)
    written = write_pngs(tmp_path / "page.html", tmp_path / "pictures")
    assert [file.name for file in written] == ["loss-by-size.png", "b.png"]
    for file in written:
        content = file.read_bytes()
        assert content.startswith(b"\x89PNG")
        assert struct.unpack(">I", content[16:20])[0] == PIXELS
        assert len(set(content)) > 50, "not an empty picture"
