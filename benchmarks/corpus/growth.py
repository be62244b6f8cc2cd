"""How time and memory grow: the pipeline over texts of two sizes a factor of ten apart, and once more in
tasks as large as they ever get. Prints one line of JSON.

    python -m benchmarks.corpus.growth DATA MEGABYTES

Texts are those of WCXB with three words in ten replaced by others, anew each time round, so that they are
no near duplicates. Each run is a process of its own, which does everything that a worker and the parent do;
its peak is that of the resident memory.
"""

import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from unittest.mock import patch

from benchmarks.corpus.clock import Clock, peak_memory
from benchmarks.corpus.pages import labelled
from headstart.corpus import CorpusRecipe, build
from headstart.corpus.readers import sources
from headstart.corpus.work import Step

CHANGED = 0.3


def write_texts(data: Path, path: Path, size: int) -> int:
    """About `size` bytes of texts as JSONL; returns how many texts."""
    rng = random.Random(0)
    texts = [row["text"] for row in labelled(data, "wcxb_dev") if row["text"]]
    words = " ".join(texts[:200]).split()
    written = count = 0
    with path.open("wb") as file:
        while written < size:
            text = " ".join(
                rng.choice(words) if rng.random() < CHANGED else word
                for word in texts[count % len(texts)].split(" ")
            )
            written += file.write(json.dumps({"id": str(count), "text": text}).encode() + b"\n")
            count += 1
    return count


def measure(path: Path, out: Path, largest_tasks: bool) -> None:
    """Build in this process, and print what it took."""
    if largest_tasks:
        sources.LEAST_PART = sources.MOST_PART
    clock = Clock()
    call = Step.__call__

    def call_timed(step: Step, folder: Path, number: int) -> None:
        clock.timed(step.name, call)(step, folder, number)

    patch.object(Step, "__call__", call_timed).start()
    started = time.process_time()
    manifest = build([path], out, CorpusRecipe(), workers=0)
    clock.switch("rest")
    documents = manifest["funnel"][0]["documents"]
    report = {
        "documents": documents,
        "megabytes": round(path.stat().st_size / 1e6),
        "kept": manifest["funnel"][-1]["documents"],
        "cpu_seconds": round(time.process_time() - started, 1),
        "peak_mb": round(peak_memory() / 1e6),
        "ms_per_document": {
            name: round(1000 * seconds / documents, 4) for name, seconds in sorted(clock.seconds.items())
        },
    }
    print(json.dumps(report))


def main(data: Path, megabytes: int) -> None:
    runs = {}
    with tempfile.TemporaryDirectory() as name:
        for title, size, largest in (
            ("small", megabytes // 10, ""),
            ("large", megabytes, ""),
            ("large, largest tasks", megabytes, "largest"),
        ):
            path = Path(name) / "texts.jsonl"
            write_texts(data, path, size * 1_000_000)
            command = [
                sys.executable,
                "-m",
                "benchmarks.corpus.growth",
                str(path),
                str(Path(name) / title),
                "measure",
                largest,
            ]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            runs[title] = json.loads(done.stdout)
            print(title, runs[title], file=sys.stderr)
    print(json.dumps(runs))


if __name__ == "__main__":
    if sys.argv[3:4] == ["measure"]:
        measure(Path(sys.argv[1]), Path(sys.argv[2]), bool(sys.argv[4]))
    else:
        main(Path(sys.argv[1]), int(sys.argv[2]))
