"""Files put together, so that what is opened does not grow as tasks times partitions.

A task writes its keys sorted, and a partition reads its part of every file: so the files of many tasks are
made into one before. What partitions find of documents goes the other way: it is arranged by ranges of
documents, so that a task reads its own range alone.
"""

from collections.abc import Callable

import numpy as np

from headstart.corpus import work as folder
from headstart.corpus.work import Made, Step, Work, between, load

# So many files are read as they are.
FEW = 64


def gather(keys: str) -> Step:
    """The step that makes one sorted file of a bundle of a step's files of keys."""

    def merged(work: Work, bundle: int) -> Made:
        size = work.noted(f"files of a bundle of {keys}")
        every = np.concatenate([load(path) for path in work.files(keys)[bundle * size : (bundle + 1) * size]])
        return every[np.argsort(every["key"], kind="stable")]

    return Step(f"{__name__}:gather:{keys}", merged, f"{keys} gathered")


def bundle_size(files: int, total_bytes: int) -> int:
    """How many files of keys are put together: about as much as a partition holds; 1: they are read as they
    are."""
    size = files * folder.PARTITION_BYTES // max(1, total_bytes)
    return size if files > FEW and size > 1 else 1


def bundles_of(keys: str) -> Callable[[Work], int]:
    """How many bundles the files of a step are put into; 0 if they are read as they are."""

    def count(work: Work) -> int:
        files = work.files(keys)
        size = bundle_size(len(files), sum(path.stat().st_size for path in files))
        work.note(f"files of a bundle of {keys}", size)
        return -(-len(files) // size) if size > 1 else 0

    return count


def arrange(found: str) -> Step:
    """The step that takes from what every partition found the records of a range's documents, in order.

    The first field of a record is its document.
    """

    def of_range(work: Work, one: int) -> Made:
        files = work.files(found)
        kind = load(files[0]).dtype
        assert kind.names is not None
        rows = between(files, kind.names[0], kind, work.span(one))
        return rows[np.argsort(rows[kind.names[0]], kind="stable")]

    return Step(f"{__name__}:arrange:{found}", of_range, f"{found} arranged")
