"""Folders that describe themselves: atomic writes and versioned manifests.

Every stage writes one folder. `manifest.json` is written last, so a folder without it is
unfinished and is never taken for whole.
"""

import glob
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from headstart import __version__
from headstart.errors import HeadstartError

MANIFEST = "manifest.json"


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; move it onto `path` when the block ends without an error.

    Works for a file and for a folder. After an error or a kill `path` is what it was before. Only an
    old folder is missing for an instant while the new one takes its place: no half one is ever there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    replaced = path.with_name(f".{path.name}.{os.getpid()}.old")
    try:
        yield temporary
        if temporary.is_dir():
            for file in temporary.rglob("*"):
                _flush(file)
            if path.is_dir():
                path.rename(replaced)  # a folder cannot be renamed over a full one
        _flush(temporary)
        temporary.replace(path)
        with suppress(FileNotFoundError):  # whoever waited for `path` may have moved its folder on already
            _flush(path.parent)
    finally:
        if replaced.exists() and not path.exists():
            replaced.rename(path)
        remove(temporary)
        remove(replaced)


def _sweep(path: Path) -> None:
    """Delete what a killed process, or an earlier attempt of this one, left beside `path`."""
    for rest in path.parent.glob(f".{glob.escape(path.name)}.*"):
        pid, _, kind = rest.name.removeprefix(f".{path.name}.").partition(".")
        if pid.isdecimal() and kind in ("tmp", "old") and (int(pid) == os.getpid() or not _alive(int(pid))):
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


def read_json(path: Path) -> Any:
    """Read one JSON file; a missing or broken file is a `HeadstartError`."""
    try:
        return orjson.loads(path.read_bytes())
    except FileNotFoundError:
        raise HeadstartError(f"there is no {path}; check the path") from None
    except orjson.JSONDecodeError as error:
        raise HeadstartError(f"{path} is not valid JSON ({error}); it may have been damaged") from None


def write_manifest(folder: Path, kind: str, version: int, fields: dict[str, Any]) -> None:
    """Mark `folder` as whole: what it is, which version of that format, and its own facts."""
    head = {
        "format": f"headstart.{kind}",
        "version": version,
        "headstart": __version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    write_json(folder / MANIFEST, head | fields)


def read_manifest(folder: Path, kind: str, version: int) -> dict[str, Any]:
    """The manifest of a finished folder of this kind; anything else is a `HeadstartError`."""
    if not folder.is_dir():
        raise HeadstartError(f"there is no {kind} folder {folder}; check the path")
    if not (folder / MANIFEST).exists():
        raise HeadstartError(f"{folder} has no {MANIFEST}: it is not a finished {kind} folder; make it again")
    manifest = read_json(folder / MANIFEST)
    found = manifest.get("format") if isinstance(manifest, dict) else None
    if found != f"headstart.{kind}":
        raise HeadstartError(f"{folder} is {found or 'no headstart folder'}, not a {kind} folder")
    if manifest.get("version") != version:
        raise HeadstartError(
            f"{folder} has {kind} format {manifest.get('version')}; "
            f"this headstart reads {version}: make it again"
        )
    return manifest


def fingerprint(value: Any) -> str:
    """A short hash of a JSON-like value: equal settings have equal fingerprints."""
    payload = orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS, default=str)
    return hashlib.sha256(payload).hexdigest()[:16]
