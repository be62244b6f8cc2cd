"""Labelled spans as data sets and tools write them, before anybody asks how their borders are counted.

{"start": 0, "end": 4, "label": "PER"}                        also start_offset, start_idx, BeginOffset
{"offset": 0, "length": 4, "category": "PER"}                 Azure
{"start": 0, "end": 4, "labels": ["PER"]}                     Label Studio
{"label": ["PER"], "points": [{"start": 0, "end": 3, ...}]}   Dataturks
[0, 4, "PER"]                                                 spaCy, doccano; an id may follow
{"PER": {"Anna": [[0, 3]]}}                                   CLUENER, in the place of a list
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from headstart.errors import HeadstartError

STARTS = ("start", "start_offset", "start_idx", "start_char", "startoffset", "begin", "beginoffset", "offset")
ENDS = ("end", "end_offset", "end_idx", "end_char", "endoffset", "stop")
LABELS = ("label", "labels", "type", "category", "entity_group", "entity", "tag")
"""Names of what a span says, in any case; earlier ones are taken where a span has several."""


class RawSpan(NamedTuple):
    """A labelled span as a file has it."""

    start: int
    end: int
    label: Any
    text: str | None = None
    """Its words, where the file repeats them."""


def are_spans(cell: Any) -> bool:
    """Whether a cell is labelled spans, or could be: an empty list is a text without any."""
    if isinstance(cell, Mapping):
        return _by_label(cell)
    return isinstance(cell, list) and all(map(_is_span, cell))


def raw_spans(where: str, cell: Any) -> list[RawSpan]:
    """The spans in a cell.

    Raises:
        HeadstartError: something else, or a span without a label.
    """
    if not are_spans(cell):
        raise HeadstartError(
            f'{where}: spans are written {{"start": 0, "end": 5, "label": "PER"}} or [0, 5, "PER"]'
        )
    if isinstance(cell, Mapping):
        return [
            _span(where, start, end, label, text)
            for label, places in cell.items()
            for text, borders in places.items()
            for start, end in borders
        ]
    return [span for one in cell for span in _spans_of(where, one)]


def _is_span(one: Any) -> bool:
    if isinstance(one, Mapping):
        names = {str(name).lower() for name in one}
        ends = names.intersection(ENDS) or "length" in names
        points = one.get("points")
        listed = isinstance(points, list) and all(isinstance(point, Mapping) for point in points)
        return bool(names.intersection(STARTS) and ends) or listed
    if not isinstance(one, list | tuple) or _whole(one[0] if one else None) is None:
        return False
    return len(one) == 3 or (len(one) == 4 and isinstance(one[2], str))


def _by_label(cell: Mapping[str, Any]) -> bool:
    """Whether an object has under each label the words that have it, and under these their borders."""
    borders = [
        pair
        for places in cell.values()
        for pairs in (places.values() if isinstance(places, Mapping) else [None])
        for pair in (pairs if isinstance(pairs, list) else [None])
    ]
    return bool(cell) and all(isinstance(pair, list) and len(pair) == 2 for pair in borders)


def _spans_of(where: str, one: Any) -> Iterator[RawSpan]:
    """The spans that one entry of a list stands for: one, but for Dataturks' `points`."""
    if not isinstance(one, Mapping):
        yield _span(where, one[0], one[1], one[2], None)
        return
    said = {str(name).lower(): value for name, value in one.items()}
    named = next((name for name in LABELS if name in said), "")
    words = said.get("entity") if named != "entity" else None  # CMeEE's word for them
    for point in [said] if any(name in said for name in STARTS) else said["points"]:
        start = next((point[name] for name in STARTS if name in point), None)
        end = next((point[name] for name in ENDS if name in point), None)
        first, length = _whole(start), _whole(point.get("length"))
        if end is None and first is not None and length is not None:
            end = first + length
        yield _span(where, start, end, said.get(named), point.get("text", words))


def _span(where: str, start: Any, end: Any, label: Any, text: Any) -> RawSpan:
    if isinstance(label, list):
        label = label[0] if label else None
    first, last = _whole(start), _whole(end)
    if first is None or last is None:
        raise HeadstartError(f"{where}: the span {start} to {end} is not counted in whole numbers")
    if label is None or not str(label).strip():
        raise HeadstartError(f"{where}: the span {start} to {end} has no label")
    return RawSpan(first, last, str(label).strip(), text if isinstance(text, str) else None)


def _whole(cell: Any) -> int | None:
    """A whole number, also where a table wrote it as 4.0 or "4"."""
    if isinstance(cell, str):
        return int(cell) if cell.strip().isdecimal() else None
    if isinstance(cell, float):
        return int(cell) if cell.is_integer() else None
    return cell if isinstance(cell, int) and not isinstance(cell, bool) else None
