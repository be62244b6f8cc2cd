"""Labels that a person has corrected in the browser: kept beside the data file, which is never touched."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypedDict

from headstart.errors import HeadstartError
from headstart.folder import JSONObject, atomic, read_json, write_json
from headstart.lock import waited_for

FORMAT, VERSION = "headstart.corrections", 1
SUFFIX = ".corrections"
MOST = 100_000


class Correction(TypedDict):
    """One example with another label."""

    line: int
    """Of the data file."""
    input: str
    """Tells the example from another one that may stand there later."""
    was: str
    becomes: str
    """Both for people."""
    value: Any
    """The label, as the kind of task takes it."""


def place_of(data: Path) -> Path:
    """Where the corrections of a data file are kept."""
    return data.with_name(data.name + SUFFIX)


def read(data: Path) -> list[Correction]:
    """The corrections of a data file, in the order of its lines.

    Raises:
        HeadstartError: the file with them is damaged, or of a newer version.
    """
    place = place_of(data)
    if not place.exists():
        return []
    found = read_json(place, JSONObject)
    if found.get("format") != FORMAT or found.get("version") != VERSION:
        raise HeadstartError(
            f"{place} holds no corrections that this headstart reads; move it away, or get a newer headstart"
        )
    kept: list[Correction] = found["corrections"]
    return sorted(kept, key=lambda one: one["line"])


def keep(data: Path, line: int, correction: Correction | None) -> list[Correction]:
    """Put one correction in the place of the one of its line; None: take that back.

    Raises:
        HeadstartError: see `read`; also a folder that may not be written.
    """
    with _held(data):
        kept = [one for one in read(data) if one["line"] != line]
        if correction is not None:
            kept.append(correction)
        if len(kept) > MOST:
            raise HeadstartError(
                f"there are {MOST:,} corrections already; export them, and go on in the new file"
            )
        kept.sort(key=lambda one: one["line"])
        place = place_of(data)
        if kept:
            with atomic(place) as made:
                write_json(
                    made, {"format": FORMAT, "version": VERSION, "data": data.name, "corrections": kept}
                )
        else:
            place.unlink(missing_ok=True)
        return kept


@contextmanager
def _held(data: Path) -> Iterator[None]:
    place = place_of(data)
    try:
        with waited_for(place.with_name(f".{place.name}.lock"), place):
            yield
    except OSError as error:
        raise HeadstartError(
            f"{place} cannot be written ({error.strerror}); corrections stand beside the data"
        ) from None
