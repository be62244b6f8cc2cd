"""Print the benchmark's line of JSON as Markdown: python -m benchmarks.tasks.tables RESULTS.json"""

import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any


def main() -> None:
    rows = json.loads(Path(sys.argv[1]).read_text())["rows"]
    parts: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        parts["families" if row["part"] == "families" else row["task"]].append(row)
    for part, its in parts.items():
        metrics = ", ".join(sorted({row["metric"] for row in its}))
        counts = ", ".join(sorted({f"{row['n']:,}" for row in its}))
        print(f"## {part} ({metrics}, n = {counts})\n")
        print(table(its, "task" if part == "families" else "labels") + "\n")
        print(table(its, "task" if part == "families" else "labels", seconds) + "\n")


def score(row: dict[str, Any]) -> str:
    """Mean and standard deviation over seeds in percent; of one seed the bootstrap interval."""
    value = 100 * row["score"]
    if row["deviation"] is not None:
        return f"{value:.1f} ± {100 * row['deviation']:.1f} ({row['seeds']})"
    low, high = (100 * bound for bound in row["interval"])
    return f"{value:.1f} [{low:.1f}, {high:.1f}]"


def seconds(row: dict[str, Any]) -> str:
    return f"{row['fit_core_seconds']:.0f} + {row['answer_core_seconds']:.0f} s"


def table(rows: list[dict[str, Any]], across: str, show: Any = score) -> str:
    """Systems down, numbers of labels (or tasks) across."""
    columns = list(dict.fromkeys(row[across] for row in rows))
    systems = list(dict.fromkeys(row["system"] for row in rows))
    cells = {(row["system"], row[across]): show(row) for row in rows}
    head = ["system", *(f"{one:,} labels" if across == "labels" else str(one) for one in columns)]
    lines = [head, ["---"] * len(head)]
    lines += [[system, *(cells.get((system, one), "") for one in columns)] for system in systems]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    main()
