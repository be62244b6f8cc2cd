"""Where a command may write: the one rule for every output.

An output may be new, empty, or one that the same command made or began from the same settings. Anything else
is refused before any work, unless `replace` is given, which says what goes. An input is never an output. A
link is followed. While a command works, no other one may write to the same place.
"""

import hashlib
import os
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict, cast

from headstart.console import printable
from headstart.errors import HeadstartError, Stopped
from headstart.folder import LOCK, MANIFEST, JSONObject, fingerprint, read_json, remove, write_json
from headstart.lock import locked

MARK = ".output.json"
"""In a finished folder, and in one that is being made: which command made it, from what."""
REPLACED = ".replaced"
"""What `replace` set aside, until the new output is finished."""
_OURS = (MARK, LOCK, REPLACED)
_NOBODYS = ("lost+found", ".DS_Store")
_PASSING = ("created", "seconds", "headstart")
"""What a manifest says of the making, and not of what was made."""
_NAMED = 4
"""So many names of what lies in a folder are said."""


@dataclass
class Output:
    """A folder that a command may write."""

    place: Path
    """Where links lead."""
    finished: bool = False
    """Whether it holds what the command would make."""
    facts: JSONObject = field(default_factory=dict)
    """The figures of what it holds, of this call or of an earlier one."""

    def finish(self, facts: Mapping[str, Any]) -> None:
        """Keep the figures of a finished output for the next call with the same settings."""
        self.finished, self.facts = True, dict(facts)


@contextmanager
def output(
    out: Path,
    kind: str,
    *,
    settings: Any = None,
    inputs: Iterable[Path] = (),
    own: Iterable[str] = (),
    replace: bool = False,
) -> Iterator[Output]:
    """Claim the folder `out` for a command, while the block runs.

    After an error, a folder in which nothing was made is as it was before: new, or empty, or with what
    `replace` set aside.

    Args:
        kind: what is made, as in "tokens"; of a folder with a manifest, its kind.
        settings: JSON-like; what the output is made from. None: the command compares its settings itself.
        inputs: files and folders that the command reads.
        own: names of files by which a folder of the command's own kind is known, besides the mark.
        replace: delete what `out` holds, and say what that is.

    Raises:
        HeadstartError: the folder holds something else, is an input or holds one, is in use, or was deleted
            while the block ran.
    """
    place = Path(os.path.realpath(out))
    if place.exists() and not place.is_dir():
        raise HeadstartError(f"{out} is a file; name a folder")
    check_inputs(out, inputs)
    identity = None if settings is None else fingerprint(settings)
    before = _mark(place)
    if identity is not None and not replace and _is_finished(place, before, kind, identity):
        yield Output(place, True, before["finished"])
        return
    new = [folder for folder in (place, *place.parents) if not folder.exists()]
    place.mkdir(parents=True, exist_ok=True)
    try:
        with locked(place / LOCK, out) as is_there:
            made = Output(place)
            _claim(place, out, kind, identity, own, replace)
            try:
                yield made
            except BaseException as error:
                if is_there():
                    _put_back(place)
                elif isinstance(error, Exception) and not isinstance(error, Stopped):
                    raise _deleted(out) from error
                raise
            if not is_there():
                raise _deleted(out)
            if identity is not None and made.finished:
                mark = _made(kind, identity) | Mark(finished=made.facts, files=_sizes(place))
                write_json(place / MARK, mark)
            remove(place / REPLACED)
    finally:
        with suppress(OSError):  # something is in it
            for folder in new:
                folder.rmdir()


@contextmanager
def output_file(out: Path, *, inputs: Iterable[Path] = (), replace: bool = False) -> Iterator[Path]:
    """Claim the file `out` for a command, while the block runs; yields where it lies, links followed.

    Args: see `output`.

    Raises:
        HeadstartError: there is such a file, it is an input, or it is in use.
    """
    place = Path(os.path.realpath(out))
    if place.is_dir():
        raise HeadstartError(f"{out} is a folder; name a file")
    if place.exists() and not stat.S_ISREG(place.stat().st_mode):  # a pipe, a terminal, /dev/null
        yield place
        return
    check_inputs(out, inputs)
    place.parent.mkdir(parents=True, exist_ok=True)
    with locked(place.with_name(f".{place.name}.lock"), out):
        size = place.stat().st_size if place.exists() else 0
        if size and not replace:
            raise HeadstartError(
                f"{out} is there already; choose another name, or pass --replace to delete what it holds"
            )
        if size:
            _say(f"--replace deletes {out} ({size:,} bytes)")
        yield place


def check_inputs(out: Path, inputs: Iterable[Path]) -> None:
    """Refuse an output that is an input, or holds one.

    Raises:
        HeadstartError: it is or does.
    """
    place = Path(os.path.realpath(out))
    for given in inputs:
        read = Path(os.path.realpath(given))
        if place == read or (place.exists() and read.exists() and place.samefile(read)):
            raise HeadstartError(f"{out} is what is read; choose another output")
        if place in read.parents:
            raise HeadstartError(
                f"{out} holds other files, {given} among them, which is read; choose an empty or a new folder"
            )


def identity(path: Path) -> str:
    """A hash of what a file or a folder holds; of a folder with a manifest, of what that says."""
    if (path / MANIFEST).is_file():
        manifest = read_json(path / MANIFEST, JSONObject)
        return fingerprint({key: value for key, value in manifest.items() if key not in _PASSING})
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    files = (file for file in sorted(path.rglob("*")) if file.is_file() and file.name not in _OURS)
    return fingerprint([[str(file.relative_to(path)), identity(file)] for file in files])


class Mark(TypedDict, total=False):
    """What the mark of a folder says: from the beginning what is made, at the end what came of it."""

    format: str
    version: int
    kind: str
    settings: str | None
    finished: JSONObject
    files: dict[str, int]


def _made(kind: str, settings: str | None) -> Mark:
    return {"format": "headstart.output", "version": 1, "kind": kind, "settings": settings}


def _is_finished(place: Path, mark: Mark, kind: str, settings: str) -> bool:
    """Whether a folder is what the command would make, with no file gone or cut short since."""
    made = {name: mark.get(name) for name in _made(kind, settings)} == _made(kind, settings)
    return made and isinstance(mark.get("finished"), dict) and mark.get("files") == _sizes(place)


def _sizes(place: Path) -> dict[str, int]:
    """The bytes of every file in a folder, but for those of this module."""
    files = (path for name in _held(place) for path in (place / name, *(place / name).rglob("*")))
    return {str(path.relative_to(place)): path.stat().st_size for path in files if path.is_file()}


def _mark(place: Path) -> Mark:
    """The mark of a folder; empty where it has none that can be read."""
    if not (place / MARK).is_file():
        return {}
    try:
        return cast(Mark, read_json(place / MARK, dict))
    except HeadstartError:
        return {}


def _held(place: Path) -> list[str]:
    """The names of what lies in a folder, but for what is there for this module, or for nobody."""
    return sorted(path.name for path in place.iterdir() if path.name not in (*_OURS, *_NOBODYS))


def _claim(
    place: Path, out: Path, kind: str, settings: str | None, own: Iterable[str], replace: bool
) -> None:
    """Make sure that the folder may be written, and mark it."""
    mark = _mark(place)
    if (place / REPLACED).exists() and mark.get("finished") is None:
        _put_back(place)
    held = _held(place)
    if held and replace:
        _set_aside(place, out, held)
    elif held:
        if not _is_own(place, kind, own):
            raise HeadstartError(
                f"{out} holds other files ({_names(held)}); choose an empty or a new folder, or pass "
                "--replace to delete them"
            )
        if settings is not None and mark.get("settings") != settings:
            raise HeadstartError(
                f"{out} holds a {kind} folder made from other inputs or settings; choose another folder, or "
                "pass --replace to delete it"
            )
    if settings is not None:
        write_json(place / MARK, _made(kind, settings))


def _is_own(place: Path, kind: str, own: Iterable[str]) -> bool:
    """Whether a folder was made, or begun, by the command that makes this kind."""
    if _mark(place).get("kind") == kind or any((place / name).exists() for name in own):
        return True
    try:
        return read_json(place / MANIFEST, dict).get("format") == f"headstart.{kind}"
    except HeadstartError:
        return False


def _set_aside(place: Path, out: Path, held: list[str]) -> None:
    if place in (Path.home(), *Path.home().parents):
        raise HeadstartError(f"--replace would delete all of {out}; choose a folder below it")
    files = [path for name in held for path in (place / name, *(place / name).rglob("*")) if path.is_file()]
    size = sum(path.lstat().st_size for path in files)
    _say(f"--replace deletes what {out} holds: {_names(held)} ({len(files):,} files, {size:,} bytes)")
    remove(place / REPLACED)
    (place / REPLACED).mkdir()
    for name in (*held, MARK):
        if (place / name).exists():
            (place / name).rename(place / REPLACED / name)


def _deleted(out: Path) -> HeadstartError:
    return HeadstartError(
        f"{out} was deleted while it was made, and what may lie there now is not whole; delete that too, and "
        "start the same command again"
    )


def _put_back(place: Path) -> None:
    """Where nothing new has been made, bring back what was set aside, and remove the mark."""
    if _held(place):
        return
    remove(place / MARK)
    if (place / REPLACED).is_dir():
        for path in (place / REPLACED).iterdir():
            path.rename(place / path.name)
        (place / REPLACED).rmdir()


def _names(held: list[str]) -> str:
    more = f" and {len(held) - _NAMED:,} more" if len(held) > _NAMED else ""
    return ", ".join(held[:_NAMED]) + more


def _say(sentence: str) -> None:
    print(f"headstart: {printable(sentence)}", file=sys.stderr)
