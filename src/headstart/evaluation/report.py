"""What an evaluation found, as JSON and for reading."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypedDict, cast

from headstart.folder import atomic, write_json
from headstart.page.markdown import markdown_table, score_text
from headstart.tasks.metrics.bootstrap import ComparisonRow, Measurement, ScoreRow, compare_measurements

FEWEST = 5  # examples in a slice
MOST_VALUES = 12  # of a column that makes slices
EXCERPT = 160

Table = list[dict[str, Any]]
"""Rows of one of the further tables; each has columns of its own."""


class SystemScore(ScoreRow):
    """A figure of the model (`system` "model") or of something beside it."""

    system: str


class AgainstSystem(ComparisonRow):
    """The model minus another system."""

    against: str


class EvaluationJson(TypedDict):
    """An evaluation in `evaluation.json`."""

    on: str
    kind: str
    rule: str
    scores: list[SystemScore]
    comparisons: list[AgainstSystem]
    tables: dict[str, Table]
    notes: list[str]
    seconds: float


class ReportJson(TypedDict):
    """All of `evaluation.json`."""

    model: str
    evaluations: list[EvaluationJson]


@dataclass
class Evaluation:
    """One set of examples, what was measured on it, and where the model fails."""

    on: str
    kind: str
    rule: str
    """How the figures come about, in a sentence or two."""
    scores: list[SystemScore] = field(default_factory=list)
    """Of the model (`system` "model") and of what stands beside it."""
    comparisons: list[AgainstSystem] = field(default_factory=list)
    """The model minus each of the others, on the same examples."""
    tables: dict[str, Table] = field(default_factory=dict)
    """Slices, labels, confusion, errors."""
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, system: str, measured: Sequence[Measurement]) -> None:
        """Take up the scores of a system."""
        self.scores += [{"system": system, **one.score.as_dict()} for one in measured]

    def add_plain(self, system: str, metric: str, value: float, n: int) -> None:
        """Take up a figure that is computed, not sampled."""
        self.scores.append(
            {"system": system, "metric": metric, "value": value, "n": n, "low": None, "high": None}
        )

    def against(self, system: str, model: Measurement, other: Measurement) -> None:
        """Take up how much better the model is than another system."""
        self.comparisons.append({"against": system, **compare_measurements(model, other).as_dict()})

    def as_dict(self) -> EvaluationJson:
        return cast(EvaluationJson, asdict(self))

    def text(self) -> str:
        """Scores and comparisons, for a terminal."""
        lines = [f"{self.on} ({self.kind})"]
        width = max((len(row["system"]) for row in self.scores), default=0)
        lines += [f"  {row['system']:<{width}}  {_figure(row)}" for row in self.scores]
        lines += [
            f"  model - {row['against']}: {row['metric']} {row['difference']:+.3f} "
            f"({row['low']:+.3f} to {row['high']:+.3f}, p = {row['p']:.2g})"
            for row in self.comparisons
        ]
        return "\n".join([*lines, f"  {self.rule}", *(f"  {note}" for note in self.notes)])

    def markdown(self) -> str:
        """Everything, for a reader."""
        scores = [{"system": row["system"], "score": _figure(row)} for row in self.scores]
        parts = [f"## {self.on}", f"{self.kind}. {self.rule}", markdown_table(scores)]
        if self.comparisons:
            parts += ["### The model against the others", markdown_table(self.comparisons)]
        for name, rows in self.tables.items():
            if rows:
                parts += [f"### {name[:1].upper()}{name[1:]}", markdown_table(rows)]
        if self.notes:
            parts += ["### Notes", "\n".join(f"* {note}" for note in self.notes)]
        return "\n\n".join(parts) + "\n"


def write_report(folder: Path, model: str, evaluations: Sequence[Evaluation]) -> None:
    """Write `evaluation.json` and `evaluation.md`."""
    write_json(folder / "evaluation.json", as_json(model, evaluations))
    with atomic(folder / "evaluation.md") as temporary:
        text = "\n".join([f"# Evaluation of {model}\n", *(one.markdown() for one in evaluations)])
        temporary.write_text(text, encoding="utf-8")


def as_json(model: str, evaluations: Sequence[Evaluation]) -> ReportJson:
    return {"model": model, "evaluations": [one.as_dict() for one in evaluations]}


def slices(measured: Measurement, columns: Mapping[str, Sequence[Any]]) -> Table:
    """The main figure on parts of the examples: one part for each value of a column with few of them.

    Args:
        columns: name to the value of each example.
    """
    table: Table = []
    for name, values in columns.items():
        places: dict[str, list[int]] = {}
        for place, value in enumerate(values):
            if not isinstance(value, str | int | bool):
                break
            places.setdefault(str(value), []).append(place)
            if len(places) > MOST_VALUES:
                break
        else:
            if len(places) > 1:
                for value, chosen in sorted(places.items()):
                    if len(chosen) >= FEWEST:
                        score = measured.subset(chosen).score.as_dict()
                        table.append({"slice": name, "is": value, "examples": len(chosen), **score})
    return table


def by_length(sizes: Sequence[int], unit: str) -> list[str]:
    """The third of the examples that each one is in, shortest first, named by its sizes."""
    if len(sizes) < 3 * FEWEST:
        return [""] * len(sizes)
    ordered = sorted(sizes)
    low, high = ordered[len(sizes) // 3], ordered[2 * len(sizes) // 3]
    names = (f"1: up to {low} {unit}", f"2: {low + 1} to {high} {unit}", f"3: over {high} {unit}")
    return [names[(size > low) + (size > high)] for size in sizes]


def excerpt(text: str) -> str:
    """The beginning of a text in one line."""
    line = " ".join(text.split())
    return line if len(line) <= EXCERPT else line[: EXCERPT - 1] + "…"


def _figure(row: ScoreRow) -> str:
    low, high = row["low"], row["high"]
    interval = "" if low is None or high is None else f"{score_text(low)} to {score_text(high)}, "
    return f"{row['metric']} {score_text(row['value'])} ({interval}n = {row['n']:,})"
