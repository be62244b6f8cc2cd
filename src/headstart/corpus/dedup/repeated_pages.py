"""One page of each address, and so many pages of each host: passes over partitions of keys.

What the rules remove takes no place: of an address that answered with an error later on the earlier page
stays. The pieces of a long page stay or go together.
"""

import re

import numpy as np

from headstart.corpus.dedup.deduplicate import PAIR
from headstart.corpus.filters.urls import bare, host, pages
from headstart.corpus.removals import Removal, left, removals, removed_by
from headstart.corpus.text.hashing import draws, hashes
from headstart.corpus.work import Made, Work, slices, step

PAGES = "repeated pages"
PLACED = np.dtype([("key", np.uint64), ("rank", np.uint64), ("document", np.int64)])
"""A page by the number of its first document; of the pages with one key those of lowest rank stay."""
_LAST_DATE = 10**14  # above every date of 14 digits


@step("address_keys")
def address_keys(work: Work, task: int) -> Made:
    """The addresses of a task's pages, by date."""
    first, urls = _left(work, task)
    dates = [f"{re.sub('[^0-9]', '', date)[:14]:0<14}" for date in _values(work, task, "date", first)]
    rank = np.array([int(date) for date in dates], np.uint64)
    if work.recipe.urls.same == "latest":
        rank = np.uint64(_LAST_DATE) - rank
    return _records(hashes(map(bare, urls)), rank, work.numbers(task)[first])


@step("same_addresses")
def same_addresses(work: Work, partition: int) -> Made:
    """The pages whose address another has that stays."""
    return _beyond(work, "address_keys", partition, 1)


@step("host_keys")
def host_keys(work: Work, task: int) -> Made:
    """The hosts of a task's pages, in an order drawn by lot."""
    first, urls = _left(work, task)
    numbers = work.numbers(task)[first]
    return _records(hashes(map(host, urls)), draws(numbers, work.recipe.seed, stream=3), numbers)


@step("full_hosts")
def full_hosts(work: Work, partition: int) -> Made:
    """The pages for which their host has no place any more."""
    assert work.recipe.urls.per_host is not None
    return _beyond(work, "host_keys", partition, work.recipe.urls.per_host)


@step(removed_by(PAGES), "parquet")
def remove_pages(work: Work, task: int) -> Made:
    """The documents of a task's pages that go."""
    table = work.columns(task, "url", "source")
    page, urls = pages(table), table["url"].to_pylist()
    same = np.isin(page, page[_gone(work, "same_addresses", task)])
    full = np.isin(page, page[_gone(work, "full_hosts", task)])
    most = work.recipe.urls.per_host
    return removals(
        Removal(place, "same_address", f"another document has {urls[place]}")
        if same[place]
        else Removal(place, "host_is_full", f"{host(urls[place])} has more than {most} pages")
        for place in np.flatnonzero(same | full).tolist()
    )


def _gone(work: Work, kind: str, task: int) -> np.ndarray:
    """The places of a task's documents among those that a pass leaves out."""
    if not work.files(kind):
        return np.zeros(0, np.int64)
    return work.of_task(f"{kind} arranged", task, "gone", PAIR)["gone"] - work.starts[task]


def _left(work: Work, task: int) -> tuple[np.ndarray, list[str]]:
    """Place of the first document and address of each page of which something is left."""
    table = work.columns(task, "url", "source")
    page = pages(table)
    stays = np.zeros(page[-1] + 1 if len(page) else 0, bool)
    stays[page[left(work, task, PAGES)]] = True
    stays[page[_gone(work, "same_addresses", task)]] = False
    first = np.flatnonzero(np.diff(page, prepend=-1))
    urls = table["url"].to_pylist()
    kept = [place for place in first.tolist() if stays[page[place]] and urls[place]]
    return np.array(kept, np.int64), [urls[place] for place in kept]


def _values(work: Work, task: int, column: str, places: np.ndarray) -> list[str]:
    return [str(value) for value in work.columns(task, column)[column].to_numpy(zero_copy_only=False)[places]]


def _records(keys: np.ndarray, rank: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    records = np.zeros(len(numbers), PLACED)
    records["key"], records["rank"], records["document"] = keys, rank, numbers
    return np.sort(records)


def _beyond(work: Work, kind: str, partition: int, limit: int) -> np.ndarray:
    """Of one partition's pages those that stand behind the first `limit` of their key, and the first."""
    parts = slices(work.keys(kind), partition, work.partitions(kind))
    records = np.sort(np.concatenate([np.zeros(0, PLACED), *parts]))
    start = np.flatnonzero(np.diff(records["key"], prepend=~records["key"][:1]))
    behind = np.arange(len(records)) - np.repeat(start, np.diff(start, append=len(records)))
    leader = np.repeat(start, np.diff(start, append=len(records)))
    gone = behind >= limit
    pairs = np.zeros(np.count_nonzero(gone), PAIR)
    pairs["gone"], pairs["kept"] = records["document"][gone], records["document"][leader[gone]]
    return np.sort(pairs, order="gone")
