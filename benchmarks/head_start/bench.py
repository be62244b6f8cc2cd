"""What a head start is worth: budgets of pre-training, tasks and numbers of labels, beside what others reach.

Every cell (task, labels, system, sample of labels) is a file of its own under `--out`; those that are there
are not computed again, so that the benchmark can be stopped and started at will, and a small grid can grow.
The last line is JSON: `monotone` (true, or what breaks it), `below_random` and `below_static`,
`ahead_of_counts`, `gap_to_minilm`, `foundation`, and the table behind them.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

import torch

from benchmarks.head_start.cells import BUDGETS, LABELS, SAMPLES, TASKS, cells
from benchmarks.head_start.summary import summary
from benchmarks.head_start.systems import Models, known_systems, measure, task_of
from headstart.errors import HeadstartError
from headstart.folder import read_json, write_json
from headstart.training.machine import describe_machine, package_versions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder with reviews, topics, ner, ...")
    parser.add_argument("--out", type=Path, required=True, help="cells and pre-trained models go here")
    parser.add_argument("--corpus", type=Path, help="text to pre-train on; else the unlabelled reviews")
    parser.add_argument("--budgets", default=",".join(map(str, BUDGETS)), help="times 160 core-seconds")
    parser.add_argument("--tasks", default=",".join(TASKS), help=f"some of {','.join(TASKS)}")
    parser.add_argument("--labels", default=",".join(map(str, LABELS)), help="numbers of labels")
    parser.add_argument("--systems", default="", help="some of the systems alone, by name")
    parser.add_argument("--samples", type=int, default=SAMPLES, help="samples of labels, paired over systems")
    parser.add_argument("--collect", action="store_true", help="compute nothing, print what is there")
    options = parser.parse_args()
    budgets = [int(one) for one in options.budgets.split(",")]
    tasks, labels = options.tasks.split(","), [int(one) for one in options.labels.split(",")]
    known = known_systems(budgets)
    systems = options.systems.split(",") if options.systems else known
    for given, names, what in ((tasks, list(TASKS), "task"), (systems, known, "system")):
        if unknown := [one for one in given if one not in names]:
            parser.error(f"there is no {what} {unknown[0]!r}; there are {', '.join(names)}")
    torch.set_num_threads(1)
    os.environ["HF_HUB_OFFLINE"] = "1"
    models = Models(options.data, options.out, options.corpus)
    for cell in () if options.collect else cells(tasks, labels, systems, options.samples):
        file = options.out / "cells" / f"{cell.name}.json"
        if file.exists() or len(task_of(cell.task, options.data).train) < cell.labels:
            continue
        print(f"{time.strftime('%H:%M:%S')} {cell.name}", file=sys.stderr, flush=True)
        write_json(file, measure(cell, models, budgets))
    measured = [read_json(file) for file in sorted((options.out / "cells").glob("*.json"))]
    machine = describe_machine() | {"threads": 1, "versions": package_versions()}
    print(json.dumps(summary(measured, budgets) | {"machine": machine}))


if __name__ == "__main__":
    try:
        main()
    except HeadstartError as error:
        sys.exit(f"bench-head-start: {error}")
