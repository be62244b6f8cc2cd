"""Addresses of web pages, and block lists of them.

Lists may have millions of entries: hosts and whole addresses are kept as sorted arrays of 64-bit hashes, and
all workers map them from the disk. A word is what stands between the signs of an address.
"""

import gzip
import hashlib
import io
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import zstandard

from headstart.corpus.work import Work, load, save
from headstart.errors import HeadstartError

BLOCKED = "blocked addresses"
BLOCKS = ("blocked_domain", "blocked_address", "blocked_word", "blocked_soft_words", "blocked_part")
SOFT_WORDS = 2
_SCHEME = re.compile(r"^[a-z][a-z0-9+.-]*://")
_SIGNS = re.compile(r"[^a-z0-9]+")


def bare(url: str) -> str:
    """An address in lower case without scheme, `www.`, fragment and a slash at the end."""
    text = _SCHEME.sub("", url.strip().lower()).partition("#")[0].removeprefix("www.")
    return text.rstrip("/")


def host(url: str) -> str:
    """The host of an address, without `www.` and port; empty where there is none."""
    try:
        name = urlsplit(url if "://" in url else f"//{url}").hostname or ""
    except ValueError:
        return ""
    return name.lower().removeprefix("www.").rstrip(".")


def _above(name: str) -> Iterator[str]:
    """`a.b.org`, `b.org`, `org`."""
    while name:
        yield name
        name = name.partition(".")[2]


def hashes(texts: Iterable[str]) -> np.ndarray:
    """64 bits for each text."""
    digests = (hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest() for text in texts)
    return np.frombuffer(b"".join(digests), np.uint64)


# Block lists


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


def index(work: Work) -> None:
    """Keep the hosts and addresses of the block lists as sorted hashes."""
    for kind, paths, form in (
        ("domains", work.recipe.urls.domains, host),
        ("addresses", work.recipe.urls.addresses, bare),
    ):
        lists = [hashes(form(entry) for entry in read_list(path)) for path in paths]
        save(work.folder / "blocked" / f"{kind}.npy", np.unique(np.concatenate([hashes([]), *lists])))


def blocked(work: Work, urls: list[str]) -> np.ndarray:
    """For each address which block list it is on: a place in `BLOCKS` counted from 1, or 0."""
    wanted = work.recipe.urls
    if not wanted.lists():
        return np.zeros(len(urls), np.int16)
    places = {url: place for place, url in enumerate(dict.fromkeys(urls))}
    known = list(places)
    found = np.zeros(len(known), np.int16)

    def mark(rule: str, hit: np.ndarray) -> None:
        found[hit & (found == 0)] = BLOCKS.index(rule) + 1

    if wanted.domains:
        above = [list(_above(host(url))) for url in known]
        listed = np.isin(hashes(name for names in above for name in names), _blocked(work, "domains"))
        of = np.repeat(np.arange(len(known)), [len(names) for names in above])
        mark("blocked_domain", np.bincount(of[listed], minlength=len(known)) > 0)
    if wanted.addresses:
        mark("blocked_address", np.isin(hashes(map(bare, known)), _blocked(work, "addresses")))
    words, soft_words = _words(tuple(wanted.words)), _words(tuple(wanted.soft_words))
    if words or soft_words:
        split = [set(_SIGNS.split(bare(url))) for url in known]
        mark("blocked_word", np.array([not words.isdisjoint(parts) for parts in split], bool))
        mark("blocked_soft_words", np.array([len(soft_words & parts) >= SOFT_WORDS for parts in split], bool))
    if wanted.parts:
        anywhere = re.compile("|".join(map(re.escape, sorted(_words(tuple(wanted.parts))))) or "(?!)")
        mark("blocked_part", np.array([bool(anywhere.search(bare(url))) for url in known], bool))
    if "" in places:
        found[places[""]] = 0
    return found[[places[url] for url in urls]]


def _blocked(work: Work, kind: str) -> np.ndarray:
    return load(work.folder / "blocked" / f"{kind}.npy")


@lru_cache(maxsize=8)
def _words(paths: tuple[Path, ...]) -> frozenset[str]:
    return frozenset(entry for path in paths for entry in read_list(path))


def pages(table: pa.Table) -> np.ndarray:
    """From the columns `url` and `source` a number for each document, the same for the pieces of one page."""
    new = np.zeros(len(table), bool)
    for name in ("url", "source"):
        values = table[name].to_numpy(zero_copy_only=False)
        new[1:] |= values[1:] != values[:-1]
    return np.cumsum(new)
