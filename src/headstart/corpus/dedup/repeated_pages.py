"""One page of each address, and so many pages of each host: passes over partitions of keys.

What the rules remove takes no place: of an address that answered with an error later on the earlier page
stays. The pieces of a long page stay or go together.
"""

import re
from pathlib import Path

import numpy as np

from headstart.corpus.decide import left_out, ruled
from headstart.corpus.dedup.deduplicate import PAIR
from headstart.corpus.filters.urls import bare, hashes, host, pages
from headstart.corpus.text.hashing import draws
from headstart.corpus.work import Work, open_work, save, slices

PLACED = np.dtype([("key", np.uint64), ("rank", np.uint64), ("document", np.int64)])
"""A page by the number of its first document; of the pages with one key those of lowest rank stay."""
_LAST_DATE = 10**14  # above every date of 14 digits


def address_keys(folder: Path, task: int) -> None:
    """The addresses of a task's pages, by date."""
    work = open_work(folder)
    if (out := work.path("address_keys", task)).exists():
        return
    first, urls = _left(work, task)
    dates = [f"{re.sub('[^0-9]', '', date)[:14]:0<14}" for date in _values(work, task, "date", first)]
    rank = np.array([int(date) for date in dates], np.uint64)
    if work.recipe.urls.same == "latest":
        rank = np.uint64(_LAST_DATE) - rank
    save(out, _records(hashes(map(bare, urls)), rank, work.numbers(task)[first]))


def same_addresses(folder: Path, partition: int) -> None:
    """The pages whose address another has that stays."""
    work = open_work(folder)
    if not (out := work.path("same_addresses", partition)).exists():
        save(out, _beyond(work, "address_keys", partition, 1))


def host_keys(folder: Path, task: int) -> None:
    """The hosts of a task's pages, in an order drawn by lot."""
    work = open_work(folder)
    if (out := work.path("host_keys", task)).exists():
        return
    first, urls = _left(work, task)
    numbers = work.numbers(task)[first]
    save(out, _records(hashes(map(host, urls)), draws(numbers, work.recipe.seed, stream=3), numbers))


def full_hosts(folder: Path, partition: int) -> None:
    """The pages for which their host has no place any more."""
    work = open_work(folder)
    if not (out := work.path("full_hosts", partition)).exists():
        assert work.recipe.urls.per_host is not None
        save(out, _beyond(work, "host_keys", partition, work.recipe.urls.per_host))


def _left(work: Work, task: int) -> tuple[np.ndarray, list[str]]:
    """Place of the first document and address of each page of which something is left."""
    table = work.columns(task, "url", "source")
    page = pages(table)
    left = np.zeros(page[-1] + 1 if len(page) else 0, bool)
    left[page[ruled(work, task) == 0]] = True
    left[page[left_out(work, "same_addresses", task)]] = False
    first = np.flatnonzero(np.diff(page, prepend=-1))
    urls = table["url"].to_pylist()
    kept = [place for place in first.tolist() if left[page[place]] and urls[place]]
    return np.array(kept, np.int64), [urls[place] for place in kept]


def _values(work: Work, task: int, column: str, places: np.ndarray) -> list[str]:
    return [str(value) for value in work.columns(task, column)[column].to_numpy(zero_copy_only=False)[places]]


def _records(keys: np.ndarray, rank: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    records = np.zeros(len(numbers), PLACED)
    records["key"], records["rank"], records["document"] = keys, rank, numbers
    return np.sort(records)


def _beyond(work: Work, step: str, partition: int, limit: int) -> np.ndarray:
    """Of one partition's pages those that stand behind the first `limit` of their key, and the first."""
    count = work.noted("partitions")["pages"]
    records = np.sort(np.concatenate([np.zeros(0, PLACED), *slices(work.files(step), partition, count)]))
    start = np.flatnonzero(np.diff(records["key"], prepend=~records["key"][:1]))
    behind = np.arange(len(records)) - np.repeat(start, np.diff(start, append=len(records)))
    leader = np.repeat(start, np.diff(start, append=len(records)))
    gone = behind >= limit
    pairs = np.zeros(np.count_nonzero(gone), PAIR)
    pairs["gone"], pairs["kept"] = records["document"][gone], records["document"][leader[gone]]
    return np.sort(pairs, order="gone")
