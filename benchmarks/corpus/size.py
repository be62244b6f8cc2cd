"""What near duplicates ask of a cluster, by the plan that headstart would make of a corpus: simulated.

    python -m benchmarks.corpus.size [TERABYTES ...]

Tasks, partitions and bundles are counted as the pipeline does; nothing is read. Assumed are files of 1 GB of
gzip WARC, 30 kB a page, and what is named below of the documents that come to the near duplicates.
"""

import sys
from dataclasses import dataclass

from headstart.corpus.dedup.deduplicate import KEYED
from headstart.corpus.gathering import bundle_size
from headstart.corpus.readers.sources import Source, plan_tasks
from headstart.corpus.recipe import NearDuplicates
from headstart.corpus.work import DOCUMENT_BYTES, LABEL, PARTITION_BYTES, partitions

FILE, PAGE = 1_000_000_000, 30_000  # bytes
LEFT, LINKED = 0.3, 0.4  # of all pages come to the near duplicates; of these have one
SHARED = 8  # bands that a document shares with one, of 14
ROUNDS = 4  # of grouping; samples take one or two
COPIES = 3  # of a partition's keys are in memory while they are sorted
LOOKS = 3  # at the keys: for links, for planted copies, for the index


@dataclass(frozen=True)
class Size:
    """What a corpus of a size asks for.

    Attributes:
        tasks: of the first pass.
        partitions: of the keys of near duplicates.
        opened: files of keys, links and labels that are opened for them, one after another.
        of_keys: bytes of keys that are written and read.
        of_groups: bytes that the grouping reads and writes.
        of_worker: bytes that one process holds.
    """

    tasks: int
    partitions: int
    opened: int
    of_keys: int
    of_groups: int
    of_worker: int


def size(terabytes: float) -> Size:
    """What so many terabytes of gzip WARC ask for."""
    files = max(1, round(terabytes * 1e12 / FILE))
    sources = [Source(f"{n}.warc.gz", f"{n}.warc.gz", "warc", FILE, "") for n in range(files)]
    tasks = len(plan_tasks(sources))
    documents = round(files * FILE / PAGE)
    keys = round(documents * LEFT) * NearDuplicates().bands * KEYED.itemsize
    cut = partitions(keys)
    ranges = -(-documents // (PARTITION_BYTES // DOCUMENT_BYTES))

    linked = round(documents * LEFT * LINKED)
    labels, links = linked * LABEL.itemsize, linked * SHARED * LABEL.itemsize
    link_files = -(-cut // bundle_size(cut, links))
    opened = opened_for_keys(tasks, keys, cut) + opened_to_group(cut, links, ranges, ROUNDS)
    of_keys = keys * (1 + LOOKS + (2 if bundle_size(tasks, keys) > 1 else 0))
    # A round reads all labels for every file of links and for every range, and writes them twice.
    of_groups = 3 * links + ROUNDS * (links + (4 + ranges + link_files) * labels) + 2 * ranges * labels
    return Size(tasks, cut, opened, of_keys, of_groups, min(COPIES * keys, COPIES * PARTITION_BYTES))


def opened_for_keys(tasks: int, keys: int, cut: int) -> int:
    """How often a file of keys is opened: for bundles, and by every partition.

    Args:
        tasks: each writes a file.
        keys: bytes of all of them.
        cut: the number of partitions.
    """
    bundle = bundle_size(tasks, keys)
    return LOOKS * cut * -(-tasks // bundle) + (tasks if bundle > 1 else 0)


def opened_to_group(cut: int, links: int, ranges: int, rounds: int) -> int:
    """How often a file is opened at most to put links into groups.

    Args:
        cut: the number of files of links.
        links: bytes of all of them.
        ranges: of documents.
        rounds: of grouping.
    """
    bundle = bundle_size(cut, links)
    files = -(-cut // bundle)
    # Of each round: hooks or links, and labels of before; labels of labels; links and labels of their ends;
    # and whether hooks are left.
    each = ranges * (files + 1) + ranges * (1 + ranges) + files * (1 + 2 * ranges) + files
    last = ranges + ranges * ranges + ranges * (1 + ranges)
    return (cut if bundle > 1 else 0) + rounds * each + last


def main() -> None:
    columns = ("TB", "tasks", "partitions", "files opened", "GB of keys", "GB to group", "MB a worker")
    print("".join(f"{column:>15}" for column in columns))
    for terabytes in [float(given) for given in sys.argv[1:]] or [0.01, 0.1, 1, 10, 100]:
        one = size(terabytes)
        counts = f"{terabytes:>15g}{one.tasks:>15,}{one.partitions:>15,}{one.opened:>15,}"
        print(
            f"{counts}{one.of_keys / 1e9:>15,.1f}{one.of_groups / 1e9:>15,.1f}{one.of_worker / 1e6:>15,.0f}"
        )


if __name__ == "__main__":
    main()
