"""Where a command may write: the one rule for every output.

An output may be new, empty, or one that the same command made or began from the same settings. Anything else
is refused before any work, unless `replace` is given, which says what goes. An input is never an output. A
link is followed. While a command works, no other one may write to the same place.
"""

import hashlib
import os
import re
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain, count
from pathlib import Path
from typing import Any, TypedDict, cast

import orjson

from headstart.console import printable
from headstart.errors import HeadstartError, Stopped
from headstart.folder import LOCK, MANIFEST, JSONObject, fingerprint, read_json, remove, write_json
from headstart.lock import locked, refuse_held
from headstart.recipe import read_yaml
from headstart.stopping import undisturbed

MARK = ".output.json"
"""In a finished folder, and in one that is being made: which command made it, from what."""
REPLACED = ".replaced"
"""What `replace` set aside, until the new output is finished."""
MOVING = ".moving"
"""What is on its way there, or back: where it is found, a process was killed between."""
_OURS = (MARK, LOCK, REPLACED, MOVING)
_NOBODYS = ("lost+found", ".DS_Store")
_PASSING = ("created", "seconds", "headstart")
"""What a manifest says of the making, and not of what was made."""
_NAMED = 4
"""So many names of what lies in a folder are said, and so many settings that differ."""
_SHOWN = 40
"""So many characters of a setting's value."""
_HASH = re.compile("[0-9a-f]{16,}")


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
    inputs = list(inputs)
    check_inputs(out, inputs)
    if replace and not _is_own(place, kind, own):
        _refuse_part(out, inputs)
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
            try:
                _claim(place, out, kind, settings, own, replace)
                yield made
            except BaseException as error:
                if is_there():
                    with undisturbed():
                        _put_back(place)
                elif isinstance(error, Exception) and not isinstance(error, Stopped):
                    raise _deleted(out) from error
                raise
            if not is_there():
                raise _deleted(out)
            if identity is not None and made.finished:
                mark = _made(kind, identity) | Mark(finished=made.facts, files=_sizes(place))
                write_json(place / MARK, mark | Mark(made_from=_plain(settings)))
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
    inputs = list(inputs)
    check_inputs(out, inputs)
    if replace:
        _refuse_part(out, inputs)
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
        HeadstartError: it is or does, or its name is no UTF-8.
    """
    place = Path(os.path.realpath(out))
    if _as_text(place) != str(place):
        raise HeadstartError(f"the name of {_as_text(place)} is no UTF-8; choose another output")
    for given in inputs:
        read = Path(os.path.realpath(given))
        if place == read or (place.exists() and read.exists() and place.samefile(read)):
            raise HeadstartError(f"{out} is what is read; choose another output")
        if place in read.parents:
            raise HeadstartError(
                f"{out} holds other files, {given} among them, which is read; choose an empty or a new folder"
            )


def _as_text(path: Path) -> str:
    """A name with the bytes that are no UTF-8 as escapes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _refuse_part(out: Path, inputs: Iterable[Path]) -> None:
    """Refuse to replace what lies in a folder that is read: nobody knows whether it is a part of it.

    Raises:
        HeadstartError: it does.
    """
    place = Path(os.path.realpath(out))
    if not place.exists() or (place.is_dir() and not _held(place)):
        return
    for given in inputs:
        if Path(os.path.realpath(given)) in place.parents:
            raise HeadstartError(
                f"{out} lies in {given}, which is read, and is not replaced; remove it, or choose another "
                "output"
            )


def identity(path: Path, nested: bool = False) -> str:
    """A hash of what a file or a folder holds; of a folder with a manifest, of what that says.

    Args:
        nested: count outputs that commands made in folders of their own there, for who reads these too.
            Without it, what is put there later changes nothing.
    """
    if (path / MANIFEST).is_file():
        manifest = read_json(path / MANIFEST, JSONObject)
        return fingerprint({key: value for key, value in manifest.items() if key not in _PASSING})
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    return fingerprint(
        [[str(file.relative_to(path)), identity(file)] for file in sorted(_files(path, nested))]
    )


def _files(folder: Path, nested: bool) -> Iterator[Path]:
    """The files in a folder; those of outputs in folders of their own only where `nested` says so."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            if nested or not (path / MARK).exists():
                yield from _files(path, nested)
        elif path.is_file() and path.name not in _OURS:
            yield path


class Mark(TypedDict, total=False):
    """What the mark of a folder says: from the beginning what is made, at the end what came of it."""

    format: str
    version: int
    kind: str
    settings: str | None
    made_from: Any
    finished: JSONObject
    files: dict[str, int]


def _made(kind: str, settings: str | None) -> Mark:
    return {"format": "headstart.output", "version": 1, "kind": kind, "settings": settings}


def _is_finished(place: Path, mark: Mark, kind: str, settings: str) -> bool:
    """Whether a folder is what the command would make, with no file gone or cut short since; others may have
    come."""
    made = {name: mark.get(name) for name in _made(kind, settings)} == _made(kind, settings)
    files = mark.get("files")
    if not made or not isinstance(mark.get("finished"), dict) or not isinstance(files, dict):
        return False
    return files.items() <= _sizes(place).items()


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
    """The names of what lies in a folder, but for what is there for this module, or for nobody: a kill may
    have left a half-written mark, too."""
    names = (path.name for path in place.iterdir() if not path.name.startswith(f".{MARK}."))
    return sorted(name for name in names if name not in (*_OURS, *_NOBODYS))


def _claim(place: Path, out: Path, kind: str, settings: Any, own: Iterable[str], replace: bool) -> None:
    """Make sure that the folder may be written, and mark it."""
    _move_back(place)
    mark = _mark(place)
    identity = None if settings is None else fingerprint(settings)
    if (place / REPLACED).exists() and mark.get("finished") is None:
        _put_back(place)
        mark = _mark(place)
    held = _held(place)
    if held and replace:
        _set_aside(place, out, held)
    elif held:
        if not _is_own(place, kind, own):
            raise HeadstartError(
                f"{out} holds other files ({_names(held)}); choose an empty or a new folder, or pass "
                "--replace to delete them"
            )
        if identity is not None and mark.get("settings") != identity:
            article = "an" if kind[0] in "aeiou" else "a"
            changed = _difference(mark.get("made_from"), _plain(settings))
            raise HeadstartError(
                f"{out} holds {article} {kind} folder made from other inputs or settings"
                f"{f' ({changed})' if changed else ''}; choose another folder, or pass --replace to delete it"
            )
    if identity is not None:
        write_json(place / MARK, _made(kind, identity) | Mark(made_from=_plain(settings)))


def changed_from(saved: Path, settings: JSONObject) -> str:
    """The settings that the recipe in a folder has otherwise; empty where it cannot be read.

    A setting that only one of the two knows is left out: another version wrote that recipe, or the result
    does not depend on it.
    """
    try:
        before, _ = read_yaml(saved)
    except HeadstartError:
        return ""
    both = before.keys() & settings.keys()
    was, is_now = ({name: one[name] for name in settings if name in both} for one in (before, settings))
    return _difference(was, is_now)


def _difference(before: Any, now: Any) -> str:
    """What a folder was made from otherwise; empty where its mark does not say."""
    if not isinstance(before, dict) or not isinstance(now, dict):
        return ""
    was, is_now = dict(_leaves(before)), dict(_leaves(now))
    changed = [name for name in is_now | was if was.get(name) != is_now.get(name)]
    said = [
        f"{name.removeprefix('recipe.')} was {_shown(was.get(name))} and is {_shown(is_now.get(name))}"
        if not any(_HASH.fullmatch(str(one.get(name))) for one in (was, is_now))
        else f"another {name}"
        for name in changed
    ]
    return _names(said)


def _plain(settings: Any) -> Any:
    """Settings as they come back from a file: paths are text, and tuples lists."""
    return orjson.loads(orjson.dumps(settings, option=orjson.OPT_NON_STR_KEYS, default=str))


def _leaves(values: Mapping[str, Any], within: str = "") -> Iterator[tuple[str, Any]]:
    """The settings by their dotted names."""
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{within}{name}.")
        else:
            yield f"{within}{name}", value


def _shown(value: Any) -> str:
    text = "not set" if value is None else str(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _is_own(place: Path, kind: str, own: Iterable[str]) -> bool:
    """Whether a folder was made, or begun, by the command that makes this kind."""
    if _mark(place).get("kind") == kind or any((place / name).exists() for name in own):
        return True
    try:
        return read_json(place / MANIFEST, dict).get("format") == f"headstart.{kind}"
    except HeadstartError:
        return False


def _set_aside(place: Path, out: Path, held: list[str]) -> None:
    """Make room for what `replace` will make; with it goes what an earlier call that was killed set aside."""
    home = Path(os.path.realpath(os.path.expanduser("~")))  # noqa: PTH111 - which raises where there is none
    if place in (home, *home.parents):
        raise HeadstartError(f"--replace would delete all of {out}; choose a folder below it")
    for lock in place.rglob(".*lock"):  # `.lock` in a folder, `.NAME.lock` beside a file
        if lock != place / LOCK:
            refuse_held(lock, lock.parent)
    earlier = _held(place / REPLACED) if (place / REPLACED).is_dir() else []
    roots = [*(place / name for name in held), *(place / REPLACED / name for name in earlier)]
    files = [path for root in roots for path in (root, *root.rglob("*")) if path.is_file()]
    size = sum(path.lstat().st_size for path in files)
    named = _names(sorted({*held, *earlier}))
    _say(f"--replace deletes what {out} holds: {named} ({len(files):,} files, {size:,} bytes)")
    (place / MOVING).mkdir()
    for name in (*held, MARK, REPLACED):
        if os.path.lexists(place / name):
            (place / name).rename(place / MOVING / name)
    (place / MOVING).rename(place / REPLACED)


def _deleted(out: Path) -> HeadstartError:
    return HeadstartError(
        f"{out} was deleted while it was made, and what may lie there now is not whole; delete that too, and "
        "start the same command again"
    )


def _put_back(place: Path) -> None:
    """Where nothing new has been made, bring back what was set aside, and remove the mark."""
    _move_back(place)
    if _held(place):
        return
    remove(place / MARK)
    if (place / REPLACED).is_dir():
        (place / REPLACED).rename(place / MOVING)
        _move_back(place)


def _move_back(place: Path) -> None:
    """Bring back what was on its way; what a kill interrupts, the next call goes on with. Where somebody made
    another of that name meanwhile, both stay."""
    if not (place / MOVING).is_dir():
        return
    for path in sorted((place / MOVING).iterdir()):
        name = _free(place, path.name)
        if name != path.name:
            _say(f"{path.name} comes back to {place} as {name}, for another {path.name} is there by now")
        path.rename(place / name)
    (place / MOVING).rmdir()


def _free(place: Path, name: str) -> str:
    """The name itself where nothing in a folder has it, else with the first number that is free."""
    numbered = chain([name], (f"{name}.{number}" for number in count(1)))
    return next(one for one in numbered if not os.path.lexists(place / one))


def _names(held: list[str]) -> str:
    more = f" and {len(held) - _NAMED:,} more" if len(held) > _NAMED else ""
    return ", ".join(held[:_NAMED]) + more


def _say(sentence: str) -> None:
    print(f"headstart: {printable(sentence)}", file=sys.stderr)
