"""What Ray costs beside the processes of one machine: core-seconds of the same corpus on both, in turn.

    python -m benchmarks.corpus.engines [--records 3000] [--rounds 3] [--out FILE]

Every run on Ray starts a cluster of this machine and ends it, as a user without a cluster has it. A run over
a few pages tells what that costs on any number of them. The pages are those of `benchmarks.corpus.cost`.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks.corpus.cost import FEW, adopt_orphans, core_seconds, pages, write_crawl

ENGINES = ("local", "ray")


def contents(out: Path) -> dict[str, bytes]:
    """The documents of a corpus and what was removed, by file."""
    files = [*out.glob("documents/*"), *out.glob("removed/*"), out / "skipped.jsonl"]
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


def measured(records: int, rounds: int) -> dict[str, object]:
    """Core-seconds of a run and core-milliseconds a page by engine, and the ratios of Ray to local.

    Raises:
        SystemExit: the engines gave different bytes.
    """
    adopt_orphans()
    workers = os.cpu_count() or 1
    sizes = {"few": FEW, "many": records}
    seconds: dict[str, dict[str, list[float]]] = {one: {size: [] for size in sizes} for one in ENGINES}
    with tempfile.TemporaryDirectory() as name:
        known = pages()
        for size, count in sizes.items():
            crawl = Path(name, f"{size}.warc")
            write_crawl(known, crawl, count)
            for turn in range(rounds):
                outs = {one: Path(name, f"{size}-{turn}-{one}") for one in ENGINES}
                for engine, out in outs.items():
                    seconds[engine][size].append(core_seconds(crawl, out, workers, "--engine", engine))
                    last = seconds[engine][size][-1]
                    print(f"{count:,} records, {engine}: {last:.1f} core-seconds", file=sys.stderr)
                if contents(outs["local"]) != contents(outs["ray"]):
                    raise SystemExit(f"the engines gave different bytes of {count:,} records")
    middle = {one: {size: statistics.median(of) for size, of in seconds[one].items()} for one in ENGINES}
    each = {one: 1000 * (of["many"] - of["few"]) / (records - FEW) for one, of in middle.items()}
    return {
        "records": sizes,
        "workers": workers,
        "core_seconds": {
            one: {size: [round(x, 2) for x in of] for size, of in seconds[one].items()} for one in ENGINES
        },
        "ms_a_page": {one: round(of, 2) for one, of in each.items()},
        "seconds_of_a_run": {one: round(middle[one]["few"], 2) for one in ENGINES},
        "ray_to_local_a_page": round(each["ray"] / each["local"], 3),
        "same_bytes": True,
    }


def main() -> None:
    given = argparse.ArgumentParser()
    given.add_argument("--records", type=int, default=3000)
    given.add_argument("--rounds", type=int, default=3)
    given.add_argument("--out", type=Path)
    asked = given.parse_args()
    figures = measured(asked.records, asked.rounds)
    if asked.out:
        asked.out.write_text(json.dumps(figures, indent=1) + "\n")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
