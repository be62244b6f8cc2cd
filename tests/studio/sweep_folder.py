"""The folder of a sweep, as one makes it, without the minutes of training."""

import time
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from headstart.folder import write_json
from headstart.scaling.fit_report import DESIGN, FIT, FORECAST, fit_report
from headstart.scaling.runs import read_runs
from headstart.training.metrics import Metrics

SIZES, RATIOS = (2_000, 4_000, 8_000, 16_000), (5.0, 20.0, 80.0)


def law(parameters: float, tokens: float) -> float:
    return 2.0 + 30 / parameters**0.3 + 60 / tokens**0.35


def design(folder: Path) -> list[dict]:
    """What a sweep notes before its first run."""
    grid = [
        {"name": f"{size}x{ratio:g}", "parameters": size, "tokens": int(size * ratio)}
        for size in SIZES
        for ratio in RATIOS
    ]
    final = {"name": "larger", "parameters": 40_000, "tokens": 1_600_000}
    folder.mkdir()
    write_json(folder / DESIGN, {"grid": grid, "final": final})
    return [*grid, final]


def train(folder: Path, kind: str, run: dict, share: float = 1.0) -> None:
    """A run of a sweep, or a share of it, with the files that a training writes."""
    place = folder / kind / run["name"]
    noise = 1 + 0.004 * np.sin(run["parameters"] + run["tokens"])
    metrics = Metrics(place, 0, sinks=())
    for part in np.arange(0.25, share + 0.01, 0.25):
        tokens = int(run["tokens"] * part)
        metrics.write("evaluation", tokens, loss=law(run["parameters"], tokens) * noise, tokens=tokens)
    metrics.close()
    if share == 1:
        (place / "model").mkdir()
        save_file({"w": np.zeros(run["parameters"], np.float16)}, place / "model" / "model.safetensors")


def foretell(folder: Path, final: dict) -> dict:
    fitted, report = fit_report(read_runs([folder / "grid"]), 100, 0)
    write_json(folder / FIT, report)
    loss, band = fitted.forecast(final["parameters"], final["tokens"])
    told = {
        "name": final["name"], "parameters": final["parameters"], "tokens": final["tokens"],
        "compute": 6.0 * final["parameters"] * final["tokens"], "times_the_largest_run": 3.1, "loss": loss,
        "band": band, "level": 0.9, "runs": len(fitted.runs), "written": time.time(),
    }  # fmt: skip
    write_json(folder / FORECAST, told)
    return told
