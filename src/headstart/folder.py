"""Folders that describe themselves: atomic writes and versioned manifests.

Every stage writes one folder. `manifest.json` is written last, so a folder without it is
unfinished and is never taken for whole.
"""

import glob
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, overload

import orjson
from pydantic import TypeAdapter, ValidationError

from headstart import __version__
from headstart.errors import HeadstartError, named_after

Read = TypeVar("Read")

JSONObject: TypeAlias = dict[str, Any]
"""An object of a JSON or YAML file in which others may write what they like: whoever takes a value out of it
checks it. What headstart itself writes and reads has a type of its own."""

MANIFEST = "manifest.json"
WHOLE = (MANIFEST, "config.json")
"""What says that a folder is whole: it is written last, and deleted first."""
LOCK = ".lock"
"""In a folder that a command has claimed, see `headstart.output`."""
MOST_JSON = 1 << 30
"""Bytes of a JSON file that is still read."""


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path; move it onto `path` when the block ends without an error. Links are followed.

    Works for a file and for a folder. After an error or a kill `path` is what it was before. Only an
    old folder is missing for an instant while the new one takes its place: no half one is ever there.
    A folder that a command has claimed (`headstart.output`) stays where it is and is filled, what marks it as
    whole last. What is no file, as a pipe or /dev/null, is written to as it is.
    """
    path = Path(os.path.realpath(path))
    if path.exists() and not path.is_dir() and not path.is_file():
        yield path
        return
    claimed = (path / LOCK).exists()
    beside = path if claimed else path.parent
    beside.mkdir(parents=True, exist_ok=True)
    _sweep(beside, path.name)
    temporary = beside / f".{path.name}.{os.getpid()}.tmp"
    replaced = beside / f".{path.name}.{os.getpid()}.old"
    try:
        with named_after(path):
            yield temporary
            if temporary.is_dir():
                for file in temporary.rglob("*"):
                    _flush(file)
                if claimed:
                    _fill(path, temporary)
                    return
                if path.is_dir():
                    path.rename(replaced)  # a folder cannot be renamed over a full one
            _flush(temporary)
            temporary.replace(path)
            with suppress(
                FileNotFoundError
            ):  # whoever waited for `path` may have moved its folder on already
                _flush(path.parent)
    finally:
        if replaced.exists() and not path.exists():
            replaced.rename(path)
        remove(temporary)
        remove(replaced)


def _fill(path: Path, made: Path) -> None:
    """Move what was made into a claimed folder, in the place of what an earlier call left there; what
    somebody put beside it stays."""
    for name in WHOLE:
        remove(path / name)
    for new in sorted(made.iterdir(), key=lambda file: file.name in WHOLE):
        remove(path / new.name)
        new.rename(path / new.name)
    _flush(path)


def _sweep(folder: Path, name: str) -> None:
    """Delete what a killed process, or an earlier attempt of this one, left of `name` in `folder`; what it
    had only moved out of the way comes back."""
    for rest in folder.glob(f".{glob.escape(name)}.*"):
        pid, _, kind = rest.name.removeprefix(f".{name}.").partition(".")
        if pid.isdecimal() and kind in ("tmp", "old") and (int(pid) == os.getpid() or not _alive(int(pid))):
            if kind == "old" and not os.path.lexists(folder / name):
                rest.rename(folder / name)
            else:
                remove(rest)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        pass
    return True


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    """Delete a file or a folder if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically."""
    options = orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
    with atomic(path) as temporary:
        temporary.write_bytes(orjson.dumps(value, option=options) + b"\n")


@overload
def read_json(path: Path) -> Any: ...
@overload
def read_json(path: Path, of: type[Read]) -> Read: ...
def read_json(path: Path, of: Any = Any) -> Any:
    """Read one JSON file: the one way in which headstart opens them.

    Args:
        of: what it has to hold, as a type that pydantic knows: `dict`, `dict[str, str]`, a `TypedDict`.

    Raises:
        HeadstartError: the file is missing, damaged, too large, or holds something else.
    """
    try:
        if path.stat().st_size > MOST_JSON:
            raise HeadstartError(f"{path} is larger than {MOST_JSON:,} bytes, which no file of its kind is")
        value = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        raise HeadstartError(f"there is no {path}; check the path") from None
    except IsADirectoryError:
        raise HeadstartError(f"{path} is a folder, and not the file that belongs there") from None
    except orjson.JSONDecodeError as error:
        raise HeadstartError(f"{path} is not valid JSON ({error}); it may have been damaged") from None
    return checked(value, of, path)


def read_json_lines(path: Path, of: type[Read]) -> list[Read]:
    """Read a file with a JSON value a line.

    Args:
        of: what each line has to hold, see `read_json`.

    Raises:
        HeadstartError: the file is missing, or a line is damaged or holds something else.
    """
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        raise HeadstartError(f"there is no {path}; check the path") from None
    try:
        return [checked(orjson.loads(line), of, path) for line in lines]
    except orjson.JSONDecodeError as error:
        raise HeadstartError(f"{path} is not valid JSON ({error}); it may have been damaged") from None


def checked(value: Any, of: Any, where: Path) -> Any:
    """`value`, which was read from `where`, if it is of the type `of`; numbers are not made from words.

    Raises:
        HeadstartError: it is of another type; the sentence names the key.
    """
    if of is Any:
        return value
    try:
        return _adapter(of).validate_python(value, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        found = repr(first["input"])
        shown = found if len(found) <= 60 else f"{found[:57]}..."
        why = first["msg"][:1].lower() + first["msg"][1:]
        raise HeadstartError(
            f"{where}: {f'{key} = {shown}' if key else f'what it holds, {shown},'} is wrong ({why}); "
            "it may have been damaged, or made by something else"
        ) from None


@lru_cache(maxsize=64)
def _adapter(of: Any) -> TypeAdapter[Any]:
    return TypeAdapter(of)


def write_manifest(folder: Path, kind: str, version: int, fields: Mapping[str, Any]) -> None:
    """Mark `folder` as whole: what it is, which version of that format, and its own facts."""
    head = {
        "format": f"headstart.{kind}",
        "version": version,
        "headstart": __version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    write_json(folder / MANIFEST, {**head, **fields})


def read_manifest(folder: Path, kind: str, version: int) -> JSONObject:
    """The manifest of a finished folder of this kind; anything else is a `HeadstartError`, and so is to ask
    for what it does not say."""
    if not folder.is_dir():
        raise HeadstartError(f"there is no {kind} folder {folder}; check the path")
    if not (folder / MANIFEST).exists():
        raise HeadstartError(f"{folder} has no {MANIFEST}: it is not a finished {kind} folder; make it again")
    manifest = read_json(folder / MANIFEST, JSONObject)
    found = manifest.get("format")
    if found != f"headstart.{kind}":
        raise HeadstartError(f"{folder} is {found or 'no headstart folder'}, not a {kind} folder")
    if manifest.get("version") != version:
        raise HeadstartError(
            f"{folder} has {kind} format {manifest.get('version')}; "
            f"this headstart reads {version}: make it again"
        )
    return _Manifest(manifest, folder)


class _Manifest(JSONObject):
    """What a manifest says; others may have written it, and left things out."""

    def __init__(self, said: JSONObject, folder: Path) -> None:
        super().__init__(said)
        self.folder = folder

    def __missing__(self, key: str) -> Any:
        raise HeadstartError(
            f"{self.folder / MANIFEST} has no {key!r}; it may have been damaged, or made by something else"
        )


def fingerprint(value: Any) -> str:
    """A short hash of a JSON-like value: equal settings have equal fingerprints."""
    payload = orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS, default=str)
    return hashlib.sha256(payload).hexdigest()[:16]
