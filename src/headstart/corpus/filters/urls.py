"""Addresses of web pages, and block lists of them.

Lists may have millions of entries: hosts and whole addresses are kept as sorted arrays of 64-bit hashes, and
all workers map them from the disk. A word is what stands between the signs of an address.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa

from headstart.corpus.filters.entry_lists import read_list
from headstart.corpus.text.hashing import hashes

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


@dataclass(frozen=True)
class BlockLists:
    """What is kept out.

    Attributes:
        hosts, addresses: ascending hashes.
        words, soft_words, parts: the files of lists.
    """

    hosts: np.ndarray
    addresses: np.ndarray
    words: tuple[Path, ...]
    soft_words: tuple[Path, ...]
    parts: tuple[Path, ...]

    def find(self, urls: list[str]) -> np.ndarray:
        """For each address which list it is on: a place in `BLOCKS` counted from 1, or 0."""
        places = {url: place for place, url in enumerate(dict.fromkeys(urls))}
        known = list(places)
        found = np.zeros(len(known), np.int16)

        def mark(rule: str, hit: np.ndarray) -> None:
            found[hit & (found == 0)] = BLOCKS.index(rule) + 1

        if len(self.hosts):
            above = [list(_above(host(url))) for url in known]
            listed = np.isin(hashes(name for names in above for name in names), self.hosts)
            of = np.repeat(np.arange(len(known)), [len(names) for names in above])
            mark("blocked_domain", np.bincount(of[listed], minlength=len(known)) > 0)
        if len(self.addresses):
            mark("blocked_address", np.isin(hashes(map(bare, known)), self.addresses))
        words, soft_words = _words(self.words), _words(self.soft_words)
        if words or soft_words:
            split = [set(_SIGNS.split(bare(url))) for url in known]
            mark("blocked_word", np.array([not words.isdisjoint(parts) for parts in split], bool))
            soft = np.array([len(soft_words & parts) >= SOFT_WORDS for parts in split], bool)
            mark("blocked_soft_words", soft)
        if self.parts:
            anywhere = re.compile("|".join(map(re.escape, sorted(_words(self.parts)))) or "(?!)")
            mark("blocked_part", np.array([bool(anywhere.search(bare(url))) for url in known], bool))
        if "" in places:
            found[places[""]] = 0
        return found[[places[url] for url in urls]]


def listed_hashes(paths: list[Path], form: Callable[[str], str]) -> np.ndarray:
    """The entries of some lists as ascending hashes.

    Args:
        form: `host` or `bare`.
    """
    lists = [hashes(form(entry) for entry in read_list(path)) for path in paths]
    return np.unique(np.concatenate([hashes([]), *lists]))


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
