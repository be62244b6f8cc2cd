"""What a corpus of many terabytes asks of a cluster, by the plan that headstart would make of it: simulated.

    python -m benchmarks.corpus.size [TERABYTES ...]

Tasks and partitions are those of `plan_tasks` and `partitions`; nothing is read. Assumed are files of 1 GB of
gzip WARC, 30 kB a page, and what is named below of the documents that come to the near duplicates.
"""

import sys
from dataclasses import dataclass

from headstart.corpus.dedup.deduplicate import KEYED, PAIR
from headstart.corpus.readers.sources import Source, plan_tasks
from headstart.corpus.recipe import NearDuplicates
from headstart.corpus.work import PARTITION_BYTES, partitions

FILE, PAGE = 1_000_000_000, 30_000  # bytes
LEFT, LINKED = 0.3, 0.4  # of all pages come to the near duplicates; of these have one
COPIES = 3  # of a partition's keys are in memory while they are sorted


@dataclass(frozen=True)
class Size:
    """What a corpus of a size asks for.

    Attributes:
        tasks: of the first pass.
        partitions: of the keys of near duplicates.
        opened: key files that are opened to look for near duplicates.
        moved: bytes of keys that are written and read for it.
        of_worker: bytes that one worker holds of them.
        of_group: bytes that the process holds which groups near duplicates.
    """

    tasks: int
    partitions: int
    opened: int
    moved: int
    of_worker: int
    of_group: int


def size(terabytes: float) -> Size:
    """What so many terabytes of gzip WARC ask for."""
    files = max(1, round(terabytes * 1e12 / FILE))
    sources = [Source(f"{n}.warc.gz", f"{n}.warc.gz", "warc", FILE, "") for n in range(files)]
    tasks = len(plan_tasks(sources))
    documents = round(files * FILE / PAGE * LEFT)
    keys = documents * NearDuplicates().bands * KEYED.itemsize
    cut = partitions(keys)
    linked = round(documents * LINKED)
    # Of every linked document its number, its group, its worth; and the pairs that go.
    return Size(
        tasks, cut, cut * tasks, 2 * keys, min(keys, COPIES * PARTITION_BYTES), linked * (24 + PAIR.itemsize)
    )


def main() -> None:
    columns = ("TB", "tasks", "partitions", "files opened", "GB moved", "MB a worker", "GB to group")
    print("".join(f"{column:>15}" for column in columns))
    for terabytes in [float(given) for given in sys.argv[1:]] or [0.01, 0.1, 1, 10, 100]:
        one = size(terabytes)
        counts = f"{terabytes:>15g}{one.tasks:>15,}{one.partitions:>15,}{one.opened:>15,}"
        print(f"{counts}{one.moved / 1e9:>15,.1f}{one.of_worker / 1e6:>15,.0f}{one.of_group / 1e9:>15,.1f}")


if __name__ == "__main__":
    main()
