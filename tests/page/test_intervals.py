"""Intervals: in the chart a row says what it is by place, letter and words, not by colour alone."""

import re
from xml.etree import ElementTree

import pytest

from headstart.page.intervals import REACH, Interval, interval_chart


def drawn(*rows: Interval) -> ElementTree.Element:
    return ElementTree.fromstring(interval_chart("all", "All <claims>", "In margins.", rows))


def share(value: str) -> float:
    return float(value.removesuffix("%"))


def test_places_grow_with_values() -> None:
    rows = [
        Interval(f"row {mean}", "supported", "S", 2, mean, mean - 0.5, mean + 0.5)
        for mean in (-2.0, 0.0, 1.5)
    ]
    marks = [share(circle.get("cx")) for circle in drawn(*rows).iter("circle")]
    assert marks == sorted(marks)
    assert marks[1] == pytest.approx(50)
    lines = [line for line in drawn(*rows).iter("line") if line.get("class") == "interval"]
    assert all(
        share(one.get("x1")) < mark < share(one.get("x2")) for one, mark in zip(lines, marks, strict=True)
    )


def test_what_lies_beyond_is_clipped_and_marked() -> None:
    far = drawn(Interval("far", "contradicted", "C", 1, -9 * REACH, -10 * REACH, 99.0, (1.0, None)))
    (mark,) = far.iter("circle")
    assert share(mark.get("cx")) == 2.0
    assert any((text.text or "") == "C‹" for text in far.iter("text"))
    (holds,) = (one for one in far.iter("rect") if one.get("class") == "holds")
    assert share(holds.get("x")) + share(holds.get("width")) == pytest.approx(98.0, abs=0.01)


def test_a_row_without_a_number_says_so() -> None:
    said = interval_chart("all", "t", "d", [Interval("C01 x", "not supported", "–", 3, href="#C01")])
    assert "not measured here" in said
    assert re.search(r'<a href="#C01"><text[^>]*>C01 x', said)
    assert "<claims>" not in interval_chart("all", "All <claims>", "d", [])
