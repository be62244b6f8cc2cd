"""Fine-tuned models, baselines and transformers' Trainer on labelled data, by number of labels.

Every cell (task, labels, system, seed) is a file of its own under `--out`; those that are there are not
computed again, so that the benchmark can be stopped and started at will. At the end one line of JSON holds
what has been measured.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.tasks.cells import DATA, PARTS, SEEDS, Cell, cells_of
from benchmarks.tasks.systems import measure
from headstart.errors import HeadstartError
from headstart.folder import read_json, write_json
from headstart.training.machine import describe_machine, package_versions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder with reviews, topics, ner, ...")
    parser.add_argument("--out", type=Path, required=True, help="cells and pre-trained models go here")
    parser.add_argument("--parts", default=",".join(PARTS), help=f"some of {','.join(PARTS)}")
    parser.add_argument("--systems", default="", help="some of the systems alone, by name")
    parser.add_argument("--labels", default="", help="some numbers of labels alone, as in 100,300,all")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="so many seeds at most")
    parser.add_argument("--collect", action="store_true", help="compute nothing, print what is there")
    options = parser.parse_args()
    unknown = set(options.parts.split(",")) - set(PARTS)
    if unknown:
        parser.error(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    torch.set_num_threads(1)
    os.environ["HF_HUB_OFFLINE"] = "1"
    chosen = [cell for part in options.parts.split(",") for cell in cells_of(part) if wanted(cell, options)]
    for cell in [] if options.collect else chosen:
        file = options.out / "cells" / f"{cell.name}.json"
        if file.exists():
            continue
        print(f"{time.strftime('%H:%M:%S')} {cell.name}", file=sys.stderr, flush=True)
        write_json(file, measure(cell, options.data, options.out))
    print(json.dumps(collected(options.out)))


def wanted(cell: Cell, options: argparse.Namespace) -> bool:
    """Whether a cell is among those asked for."""
    systems = {name.strip() for name in options.systems.split(",")}
    labels = {number.strip() for number in options.labels.split(",")}
    return (
        (cell.system in systems or systems == {""})
        and (str(cell.labels or "all") in labels or labels == {""})
        and cell.seed < options.seeds
    )


def collected(out: Path) -> dict[str, Any]:
    """Every measured cell by part, task, labels and system: mean and standard deviation over the seeds."""
    groups: dict[tuple[str, str, int, str], list[dict[str, Any]]] = defaultdict(list)
    for file in sorted((out / "cells").glob("*.json")):
        cell = read_json(file)
        groups[cell["part"], cell["task"], cell["labels"], cell["system"]].append(cell)
    return {
        "rows": [row(*key, cells) for key, cells in sorted(groups.items(), key=place)],
        "pretraining": {
            folder.name: pretraining(folder)
            for folder in sorted(out.iterdir())
            if (folder / "metrics.jsonl").exists()
        },
        "machine": describe_machine() | {"threads": 1, "versions": package_versions()},
    }


def place(item: tuple[tuple[str, str, int, str], Any]) -> tuple[Any, ...]:
    part, task, labels, system = item[0]
    return PARTS.index(part), list(DATA).index(task), labels, system


def row(part: str, task: str, labels: int, system: str, cells: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One line of a table: the main score over the seeds, the interval of a single one, the seconds."""
    main = [cell["scores"][0] for cell in cells]
    values = [score["value"] for score in main]
    return {
        "part": part,
        "task": task,
        "labels": labels,
        "system": system,
        "metric": main[0]["metric"],
        "score": round(statistics.mean(values), 4),
        "deviation": round(statistics.stdev(values), 4) if len(values) > 1 else None,
        "seeds": len(values),
        "by_seed": {str(cell["seed"]): round(value, 4) for cell, value in zip(cells, values, strict=True)},
        "n": main[0]["n"],
        "interval": [round(main[0]["low"], 4), round(main[0]["high"], 4)],
        "fit_core_seconds": round(statistics.mean(cell["fit_core_seconds"] for cell in cells), 1),
        "answer_core_seconds": round(statistics.mean(cell["answer_core_seconds"] for cell in cells), 1),
    }


def pretraining(run: Path) -> dict[str, Any]:
    """What a run cost and reached."""
    events = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    last = [event for event in events if event["kind"] == "evaluation"][-1]
    return {
        key: last[key] for key in ("step", "tokens", "loss", "core_seconds", "bits_per_byte") if key in last
    }


if __name__ == "__main__":
    try:
        main()
    except HeadstartError as error:
        sys.exit(f"bench-tasks: {error}")
