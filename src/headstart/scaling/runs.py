"""Finished training runs as points for a fit: from tables, or from folders of `headstart pretrain`."""

import csv
import json
import math
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headstart.errors import HeadstartError
from headstart.scaling.laws import FLOPS_PER_PARAMETER_AND_TOKEN
from headstart.scaling.units import read_figure
from headstart.training.metrics import read_metrics

# Column names that people use, without case, spaces and signs.
COLUMNS = {
    "parameters": ("parameters", "params", "n", "modelsize", "size", "numparams", "nparams"),
    "tokens": ("tokens", "d", "trainingtokens", "tokensseen", "numtokens", "ntokens", "data"),
    "compute": ("compute", "flops", "flop", "c", "trainingflop", "trainingflops", "trainflops"),
    "loss": ("loss", "l", "finalloss", "testloss", "validationloss", "valloss", "evalloss", "heldoutloss"),
}
UNITS = {"parameters": "parameters", "tokens": "tokens", "compute": "FLOPs", "loss": "nats a token"}
NAMES = ("name", "run", "id")
WORST_LOSS = 20.0
"""Nats a token; ln V of any vocabulary is far below."""


Row = dict[str, Any]
"""A row of a table of runs: column and what stands there."""


@dataclass(frozen=True)
class MeasuredRun:
    """One training run, at its end."""

    name: str
    parameters: float
    tokens: float
    loss: float
    """Nats a token, on held-out text."""

    @property
    def compute(self) -> float:
        """6 N D."""
        return FLOPS_PER_PARAMETER_AND_TOKEN * self.parameters * self.tokens


@dataclass(frozen=True)
class RunTable:
    """The runs that can be fitted, and why others cannot."""

    runs: list[MeasuredRun]
    left_out: dict[str, str] = field(default_factory=dict)
    """Name of a run, and the reason."""
    curves: list[MeasuredRun] = field(default_factory=list)
    """Evaluations on the way, of run folders."""
    stated_compute: list[float] = field(default_factory=list)
    """A table's own compute as a share of 6 N D, of each run with parameters and tokens, which decide."""


def read_runs(paths: Sequence[Path]) -> RunTable:
    """Runs from tables (CSV, TSV, JSON lines) and run folders, or folders of these.

    A table needs a loss and two of parameters, tokens and compute (C = 6 N D gives the third). Where
    it has all three, parameters and tokens count.

    Raises:
        HeadstartError: a file or folder that holds no runs; a column that is missing.
    """
    runs: list[MeasuredRun] = []
    left_out: dict[str, str] = {}
    curves: list[MeasuredRun] = []
    stated: list[float] = []
    for path in paths:
        if path.is_dir():
            for folder in _run_folders(path):
                _read_folder(folder, runs, left_out, curves)
        else:
            _read_table(path, runs, left_out, stated)
    return RunTable(runs, left_out, curves, stated)


# --- tables -------------------------------------------------------------------------------------------


def _read_table(path: Path, runs: list[MeasuredRun], left_out: dict[str, str], stated: list[float]) -> None:
    rows = _rows(path)
    if not rows:
        raise HeadstartError(f"{path} has no rows; a table of runs has one row a run below the column names")
    columns = {kind: _column(rows[0], known) for kind, known in COLUMNS.items()}
    given = [kind for kind in ("parameters", "tokens", "compute") if columns[kind]]
    if columns["loss"] is None or len(given) < 2:
        raise HeadstartError(
            f"{path} needs a column `loss` and two of `parameters`, `tokens` and `compute`; "
            f"it has {', '.join(filter(None, rows[0]))}"
        )
    label = _column(rows[0], NAMES)
    for number, row in enumerate(rows, start=1):
        name = str(row[label]) if label else f"row {number}"
        if name in left_out or any(run.name == name for run in runs):
            name = f"{name} ({path.name} row {number})"
        values = {kind: _figure(row.get(columns[kind] or ""), kind) for kind in COLUMNS}
        reason = _fault(values, given)
        if reason:
            left_out[name] = reason
            continue
        parameters, tokens = values["parameters"], values["tokens"]
        if not columns["parameters"]:
            parameters = values["compute"] / (FLOPS_PER_PARAMETER_AND_TOKEN * tokens)
        if not columns["tokens"]:
            tokens = values["compute"] / (FLOPS_PER_PARAMETER_AND_TOKEN * parameters)
        runs.append(MeasuredRun(name, parameters, tokens, values["loss"]))
        if len(given) == 3:
            stated.append(values["compute"] / runs[-1].compute)


def _rows(path: Path) -> list[Row]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise HeadstartError(f"there is no table or run folder {path}; check the path") from None
    except UnicodeDecodeError:
        raise HeadstartError(f"{path} is no text; give a table as CSV, TSV or JSON lines") from None
    if path.suffix in (".jsonl", ".ndjson"):
        return [
            _object(line, path, number) for number, line in enumerate(text.splitlines(), 1) if line.strip()
        ]
    lines = text.splitlines()
    separator = max("\t;,", key=lines[0].count) if lines else ","
    rows = [dict(row) for row in csv.DictReader(lines, delimiter=separator)]
    if separator != ";":
        return rows
    # Where semicolons part the columns, commas begin the decimals.
    return [{name: str(cell or "").replace(",", ".") for name, cell in row.items()} for row in rows]


def _object(line: str, path: Path, number: int) -> Row:
    try:
        value = json.loads(line)
    except json.JSONDecodeError as error:
        raise HeadstartError(f"{path} line {number} is not valid JSON ({error.msg})") from None
    if not isinstance(value, dict):
        raise HeadstartError(
            f"{path} line {number} is no JSON object; a run is one, with its figures by name"
        )
    return value


def _column(row: Iterable[str], known: tuple[str, ...]) -> str | None:
    plain = {re.sub(r"[^a-z]", "", str(name).lower()): name for name in row if name}
    return next((plain[name] for name in known if name in plain), None)


def _figure(value: Any, kind: str) -> float:
    """A cell as people write it, with thousands parted or a prefix; not a number where it is none."""
    found = _number(value)
    if math.isnan(found) and isinstance(value, str):
        with suppress(HeadstartError):
            return read_figure(value, UNITS[kind])
    return found


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def _fault(values: dict[str, float], given: list[str]) -> str | None:
    for kind in given:
        if not (math.isfinite(values[kind]) and values[kind] > 0):
            return f"{kind} is no positive number"
    return _bad_loss(values["loss"])


def _bad_loss(loss: float) -> str | None:
    if not math.isfinite(loss):
        return "its loss is no number: it diverged"
    if loss <= 0:
        return "its loss is not positive"
    return f"a loss of {loss:g} nats: it diverged" if loss > WORST_LOSS else None


# --- run folders --------------------------------------------------------------------------------------


def _run_folders(path: Path) -> list[Path]:
    if (path / "metrics.jsonl").exists():
        return [path]
    found = sorted(file.parent for file in path.glob("*/metrics.jsonl"))
    if not found:
        raise HeadstartError(f"{path} is no run folder and has none in it; a run folder has a metrics.jsonl")
    return found


def _read_folder(
    folder: Path, runs: list[MeasuredRun], left_out: dict[str, str], curves: list[MeasuredRun]
) -> None:
    weights = folder / "model" / "model.safetensors"
    if not weights.exists():
        left_out[str(folder)] = "it is not finished: it has no model yet"
        return
    parameters = float(count_weights(weights))
    evaluations = [
        MeasuredRun(str(folder), parameters, float(event["tokens"]), _number(event["loss"]))
        for event in read_metrics(folder)
        if event["kind"] == "evaluation" and event.get("tokens", 0) > 0
    ]
    reason = (
        _bad_loss(evaluations[-1].loss) if evaluations else "no evaluation of it says a loss and tokens read"
    )
    if reason:
        left_out[str(folder)] = reason
        return
    runs.append(evaluations[-1])
    curves += evaluations


def count_weights(file: Path) -> int:
    """Numbers in a safetensors file, from its header alone (8 bytes of length, then JSON)."""
    with file.open("rb") as stream:
        header = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
    return sum(math.prod(entry["shape"]) for name, entry in header.items() if name != "__metadata__")
