"""What a document costs in corpora of two sizes a factor of 20 apart: core-seconds of the command and of
every process that it starts.

    python -m benchmarks.corpus.cost [--records 300] [--times 20] [--out FILE]

Pages are those of `samples/crawl`, anew each time round with three words in ten replaced by others, so that
they are no copies. A run over a few pages tells what a run costs on any number of them. Runs take turns.
"""

import argparse
import ctypes
import json
import os
import random
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from headstart.corpus.readers.read import read
from headstart.corpus.readers.records import Raw
from headstart.corpus.readers.sources import find_sources, plan_tasks
from headstart.corpus_folder import corpus_manifest

CRAWL = Path(__file__).parents[2] / "samples" / "crawl"
CHANGED, FEW = 0.3, 15
_TEXT = re.compile(r">([^<>]{20,})<")
_ORPHANS_COME_HERE = 36  # PR_SET_CHILD_SUBREAPER


def pages() -> list[str]:
    """The HTML pages of the sample crawl."""
    sources, _ = find_sources([CRAWL])
    found = (one for task in plan_tasks(sources) for one in read(task, {}))
    return [one.text for one in found if isinstance(one, Raw) and one.html]


def write_crawl(known: list[str], path: Path, records: int) -> None:
    """A WARC of so many pages."""
    rng = random.Random(0)
    words = [word for page in known[:200] for text in _TEXT.findall(page) for word in text.split()]

    def changed(text: re.Match[str]) -> str:
        kept = (rng.choice(words) if rng.random() < CHANGED else word for word in text[1].split(" "))
        return f">{' '.join(kept)}<"

    with path.open("wb") as file:
        for number in range(records):
            html = _TEXT.sub(changed, known[number % len(known)]).encode("utf-8", "replace")
            body = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n" + html
            head = (
                f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: http://h{number % 97}.org/{number}\r\n"
                "Content-Type: application/http; msgtype=response\r\nWARC-Date: 2024-05-06T07:08:09Z\r\n"
                f"Content-Length: {len(body)}\r\n\r\n"
            )
            file.write(head.encode() + body + b"\r\n\r\n")


def core_seconds(crawl: Path, out: Path, workers: int, *options: str) -> float:
    """User and system time of a run, with those of processes that outlive it for a moment.

    Two sums are taken, and each misses something: the system adds the time of a process to its parent's only
    if the parent waits for it, which Ray's raylet does not; and whoever looks at the processes ten times a
    second does not see their last moment. The larger sum counts.
    """
    before = _used()
    command = [sys.executable, "-m", "headstart", "corpus", str(crawl), "--out", str(out), "languages=any"]
    command += ["--workers", str(workers), *options]
    seen: dict[tuple[str, str], float] = {}
    run = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while run.poll() is None:
        seen |= _descendants()
        time.sleep(0.1)
    if run.returncode:
        raise subprocess.CalledProcessError(run.returncode, command)
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                seen |= _descendants()
                time.sleep(0.1)
        except ChildProcessError:
            return max(_used() - before, sum(seen.values()))


def _descendants() -> dict[tuple[str, str], float]:
    """Process id and start -> own seconds of every process below this one, as proc(5) has them."""
    parents: dict[str, str] = {}
    own: dict[str, tuple[str, float]] = {}
    tick = os.sysconf("SC_CLK_TCK")
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        parents[folder.name] = fields[1]
        own[folder.name] = fields[19], (int(fields[11]) + int(fields[12])) / tick
    below = {str(os.getpid())}
    while more := {process for process, parent in parents.items() if parent in below} - below:
        below |= more
    return {(process, own[process][0]): own[process][1] for process in below - {str(os.getpid())}}


def adopt_orphans() -> None:
    """Count the time of processes that outlive who started them."""
    ctypes.CDLL(None, use_errno=True).prctl(_ORPHANS_COME_HERE, 1)


def _used() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measured(records: int, times: int, workers: int, rounds: int) -> dict[str, object]:
    """Core-milliseconds a document by size, and what a run costs beside them."""
    adopt_orphans()
    sizes = {"few": FEW, "small": records, "large": records * times}
    seconds: dict[str, list[float]] = {size: [] for size in sizes}
    kept: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as name:
        known = pages()
        for size, count in sizes.items():
            write_crawl(known, Path(name, f"{size}.warc"), count)
        for turn in range(rounds):
            for size in sizes if turn == 0 else ("few", "small"):
                out = Path(name, f"{size}-{turn}")
                seconds[size].append(core_seconds(Path(name, f"{size}.warc"), out, workers))
                kept[size] = corpus_manifest(out)["funnel"][-1]["documents"]
                print(f"{sizes[size]:,} records: {seconds[size][-1]:.1f} core-seconds", file=sys.stderr)
    few, small, large = (statistics.median(seconds[size]) for size in sizes)
    each = {
        size: 1000 * (of - few) / (sizes[size] - FEW) for size, of in (("small", small), ("large", large))
    }
    return {
        "records": sizes,
        "kept": kept,
        "workers": workers,
        "core_seconds": {size: [round(one, 2) for one in seconds[size]] for size in sizes},
        "ms_a_document": {size: round(one, 2) for size, one in each.items()},
        "large_to_small": round(each["large"] / each["small"], 3),
        "seconds_of_a_run": round(few - FEW * each["large"] / 1000, 2),
    }


def main() -> None:
    given = argparse.ArgumentParser()
    given.add_argument("--records", type=int, default=300)
    given.add_argument("--times", type=int, default=20)
    given.add_argument("--workers", type=int, default=1)
    given.add_argument("--rounds", type=int, default=3, help="of the small runs; the large one runs once")
    given.add_argument("--out", type=Path)
    asked = given.parse_args()
    figures = measured(asked.records, asked.times, asked.workers, asked.rounds)
    text = json.dumps(figures, indent=1)
    print(text)
    if asked.out:
        asked.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
