"""Ids that are unique over a corpus, whatever ids its records bring.

A record has the id that it brings, or else its place. Where several bring one id (two files that number their
rows alike, a copy of a file), the first keeps it, and the others have their place behind it: `17@b.jsonl:3`.
Some record may bring just that, so new names are compared in rounds, until none is had twice. The pieces of
a long record keep one name.
"""

import re

import numpy as np
import pyarrow as pa

from headstart.corpus.dedup.deduplicate import KEYED
from headstart.corpus.text.hashing import hashes
from headstart.corpus.work import RENAMED, Made, Step, Work, load, save_table, slices, step

NAMES = "names"
# A document whose name another record has.
REPEATED = np.dtype([("document", np.int64)])
_PIECE = re.compile(r"#\d{4,}$")


def names(number: str) -> Step:
    """The step of a round that hashes names: in the first one those of all documents, then the new ones."""

    def hashed(work: Work, task: int) -> Made:
        named, sources, times = _names(work, task, int(number) - 1)
        places = np.flatnonzero(times == int(number) - 1)
        keyed = np.zeros(len(places), KEYED)
        keyed["key"], keyed["low"] = hashes(named[places]), hashes(sources[places])
        keyed["document"] = work.numbers(task)[places]
        return np.sort(keyed)

    return Step(f"{__name__}:names:{number}", hashed, f"names {number}")


def repeated(number: str) -> Step:
    """The step of a round that finds which of its names are had by another record that came before."""

    def found(work: Work, partition: int) -> Made:
        parts, rounds = [np.zeros(0, KEYED)], [np.zeros(0, np.int64)]
        for one in range(1, int(number) + 1):
            for keyed in slices(work.keys(f"names {one}"), partition, work.partitions("names 1")):
                parts.append(keyed)
                rounds.append(np.full(len(keyed), one))
        every, of_round = np.concatenate(parts), np.concatenate(rounds)
        order = np.lexsort((every["document"], of_round, every["key"]))
        every, of_round = every[order], of_round[order]
        firsts = np.flatnonzero(np.append(True, every["key"][1:] != every["key"][:-1])[: len(every)])
        owner = np.repeat(every["low"][firsts], np.diff(np.append(firsts, len(every))))
        late = every["document"][(every["low"] != owner) & (of_round == int(number))]
        return np.sort(late).astype(REPEATED)

    return Step(f"{__name__}:repeated:{number}", found, f"repeated names {number}")


def settled(work: Work, number: int) -> bool:
    """Whether a round has found no name that is had twice."""
    return not any(len(load(path)) for path in work.files(f"repeated names {number}"))


def tasks_to_rename(work: Work) -> int:
    """All tasks, or none where every record has an id of its own."""
    return 0 if work.rounds(NAMES) == 1 else work.tasks


@step()
def rename(work: Work, task: int) -> None:
    """Note the names of those documents of a task that cannot have the ids that they brought."""
    path = work.path(RENAMED, task, "parquet")
    if path.exists():
        return
    named, _, times = _names(work, task, work.rounds(NAMES))
    if len(places := np.flatnonzero(times)):
        table = pa.table({"place": places, "id": pa.array(named[places], pa.string())})
        save_table(path, table)


def renamed(work: Work) -> int:
    """How many documents cannot have the ids that they brought."""
    return sum(len(work.renamed(task)) for task in range(work.tasks))


def _names(work: Work, task: int, rounds: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The names of a task's documents after so many rounds, their places, and how often the place is in the
    name."""
    table = work.columns(task, "id", "source")
    ids, sources = (table[name].to_numpy(zero_copy_only=False).astype(object) for name in ("id", "source"))
    of_before = np.append(False, sources[1:] == sources[:-1])[: len(sources)]
    record, times = np.cumsum(~of_before), np.zeros(len(sources), np.int64)
    for number in range(1, rounds + 1):
        found = work.of_task(f"repeated names {number} arranged", task, "document", REPEATED)
        times += np.isin(record, record[found["document"] - work.starts[task]])
    of_several = of_before | np.append(of_before[1:], False)[: len(sources)]
    for place in np.flatnonzero(times).tolist():
        piece = _PIECE.search(ids[place]) if of_several[place] else None
        at = piece.start() if piece else len(ids[place])
        behind = f"@{sources[place]}" * int(times[place])
        ids[place] = f"{ids[place][:at]}{behind}{ids[place][at:]}"
    return ids, sources, times
