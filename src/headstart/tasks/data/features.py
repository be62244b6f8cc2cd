"""What Hugging Face data say of their columns: the names of classes that are stored as numbers.

They stand in the schema of Parquet and Arrow files, in `dataset_info.json` beside the data (`save_to_disk`),
or in the card of a repository (README.md). -1 stands there for a label that is missing.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from headstart.tasks.data.lines import HEAD_ROWS, TOO_LONG, Row

INFO_FILES = ("dataset_info.json", "dataset_infos.json")
MOST_ABOVE = 3
"""Folders above a file in which its description is looked for."""

Names = dict[str, list[str]]
"""Column to the names of its classes, in the order of their numbers."""


def class_names(path: Path) -> Names:
    """The names of the classes in a data file, as the file or what lies beside it says; of other files
    none."""
    if path.suffix in (".parquet", ".arrow"):
        found = _from_schema(path)
        if found:
            return found
    for folder in list(path.absolute().parents)[:MOST_ABOVE]:
        for file in INFO_FILES:
            if (folder / file).is_file() and (found := _from_info(folder / file)):
                return found
        if (folder / "README.md").is_file() and (found := _from_card(folder / "README.md")):
            return found
    return {}


def with_names(rows: Iterable[Row], names: Names) -> Iterator[Row]:
    """The same rows with names in the place of the numbers of classes.

    A number in a table of text may be a name itself; in a column in which some are not, none is.
    """
    rows = iter(rows)
    head = list(islice(rows, HEAD_ROWS)) if names else []
    cells = [(column, row.get(column)) for _, row in head if isinstance(row, dict) for column in names]
    places = {column for column, cell in cells if _is_number(cell) and cell not in names[column]}
    for number, row in chain(head, rows):
        if row is not TOO_LONG and names:
            row = {
                column: _named(cell, names[column], column in places) if column in names else cell
                for column, cell in row.items()
            }
        yield number, row


def _is_number(cell: Any) -> bool:
    """Whether a text is a number."""
    return isinstance(cell, str) and cell.removeprefix("-").isdecimal()


def _named(cell: Any, names: list[str], are_places: bool) -> Any:
    """A class's name for its number; None for -1, which says that there is none."""
    if isinstance(cell, list):
        return [_named(one, names, are_places) for one in cell]
    if _is_number(cell) and (are_places or cell not in names):
        cell = int(cell)
    if isinstance(cell, bool) or not isinstance(cell, int | float) or cell != int(cell or 0):
        return cell
    if cell == -1:
        return None
    return names[int(cell)] if 0 <= cell < len(names) else cell


def _from_schema(path: Path) -> Names:
    try:
        if path.suffix == ".parquet":
            metadata = pq.read_schema(path).metadata
        else:
            with pa.memory_map(str(path)) as source:
                metadata = _arrow_schema(source).metadata
        info = orjson.loads((metadata or {}).get(b"huggingface", b"{}"))
    except (pa.ArrowInvalid, OSError, orjson.JSONDecodeError):
        return {}  # whoever reads the rows says what is wrong
    return _of_features(info.get("info", {}).get("features"))


def _arrow_schema(source: pa.NativeFile) -> pa.Schema:
    try:
        return pa.ipc.open_stream(source).schema
    except pa.ArrowInvalid:
        return pa.ipc.open_file(source).schema


def _from_info(path: Path) -> Names:
    try:
        info = orjson.loads(path.read_bytes())
    except (orjson.JSONDecodeError, OSError):
        return {}
    if not isinstance(info, dict):
        return {}
    if "features" in info:
        return _of_features(info["features"])
    return _only(_of_features(one.get("features")) for one in info.values() if isinstance(one, dict))


def _from_card(path: Path) -> Names:
    """The features in a card's front matter, `dataset_info`; of several configurations where they agree."""
    text = path.read_text(encoding="utf-8", errors="replace")
    if not text.startswith("---"):
        return {}
    try:
        card = yaml.safe_load(text.split("---", 2)[1])
    except (yaml.YAMLError, IndexError):
        return {}
    info = card.get("dataset_info") if isinstance(card, dict) else None
    configurations = info if isinstance(info, list) else [info]
    return _only(_of_card(one.get("features")) for one in configurations if isinstance(one, dict))


def _only(found: Iterable[Names]) -> Names:
    """What all configurations say alike."""
    every = [names for names in found if names]
    return {
        column: names
        for column, names in (every[0] if every else {}).items()
        if all(other.get(column, names) == names for other in every)
    }


def _of_features(features: Any) -> Names:
    found = {}
    for column, feature in features.items() if isinstance(features, Mapping) else ():
        while isinstance(feature, list) and feature:
            feature = feature[0]
        while isinstance(feature, Mapping) and isinstance(feature.get("feature"), Mapping):
            feature = feature["feature"]
        names = feature.get("names") if isinstance(feature, Mapping) else None
        if isinstance(names, list) and names:
            found[column] = [str(name) for name in names]
    return found


def _of_card(features: Any) -> Names:
    """The same as a card writes it: `dtype: {class_label: {names: {'0': neg, '1': pos}}}`."""
    found = {}
    for feature in features if isinstance(features, list) else ():
        kind = feature.get("sequence", feature.get("list", feature.get("dtype")))
        if isinstance(kind, Mapping):
            kind = kind.get("dtype", kind)
        label = kind.get("class_label") if isinstance(kind, Mapping) else None
        names = label.get("names") if isinstance(label, Mapping) else None
        if isinstance(names, Mapping):
            names = [names[key] for key in sorted(names, key=int)]
        if isinstance(names, list) and names:
            found[str(feature.get("name"))] = [str(name) for name in names]
    return found
