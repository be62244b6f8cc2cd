"""Lists that a recipe names: text files with one entry a line, also packed (.gz, .zst)."""

import gzip
import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import zstandard

from headstart.errors import HeadstartError


def read_list(path: Path) -> Iterator[str]:
    """The entries of a list, one a line, in lower case; lines that begin with # are remarks.

    Raises:
        HeadstartError: the file cannot be read.
    """
    try:
        with path.open("rb") as raw:
            file: Any = raw
            if path.suffix == ".gz":
                file = gzip.GzipFile(fileobj=raw)
            elif path.suffix == ".zst":
                file = zstandard.ZstdDecompressor().stream_reader(raw)
            for line in io.TextIOWrapper(file, encoding="utf-8"):
                entry = line.strip().lower()
                if entry and not entry.startswith("#"):
                    yield entry
    except FileNotFoundError:
        raise HeadstartError(f"there is no list {path}; check the path in the recipe") from None
    except (UnicodeDecodeError, gzip.BadGzipFile, EOFError, zstandard.ZstdError) as error:
        raise HeadstartError(
            f"the list {path} cannot be read ({error}); it must be UTF-8 text, one entry a line"
        ) from None


def digests(paths: list[Path]) -> list[str]:
    """What the files of lists hold, so that a changed one is noticed."""
    return [hashlib.sha256("\n".join(read_list(path)).encode()).hexdigest()[:16] for path in paths]
