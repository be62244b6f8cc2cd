"""Straight lines through logarithms, and forecasts by them."""

from collections.abc import Sequence

import numpy as np

from headstart.lab.rules import Evidence
from headstart.scaling.runs import MeasuredRun


def power_law(x: Sequence[float], losses: Sequence[float]) -> tuple[float, float]:
    """Exponent a and straightness R² of loss ~ x to the power of -a, by least squares of logarithms."""
    logs, values = np.log(x), np.log(losses)
    slope, constant = np.polyfit(logs, values, 1)
    left = values - (slope * logs + constant)
    return float(-slope), float(1 - (left**2).sum() / ((values - values.mean()) ** 2).sum())


def steepest_share(values: Sequence[float]) -> float:
    """The largest step of a curve, as a share of its whole rise; of one that does not rise 0."""
    rise = values[-1] - values[0]
    return float(np.diff(values).max() / rise) if rise > 0 else 0.0


def measured_runs(evidence: Evidence) -> list[dict[str, MeasuredRun]]:
    """Of every seed the runs of a sweep by their arm, which measured `nats`, `parameters` and `tokens`."""
    arms = [name.removesuffix(".nats") for name in evidence if name.endswith(".nats")]
    fields = {arm: [evidence[f"{arm}.{name}"] for name in ("parameters", "tokens", "nats")] for arm in arms}
    seeds = len(evidence[f"{arms[0]}.nats"])
    return [
        {arm: MeasuredRun(arm, *(float(values[seed]) for values in fields[arm])) for arm in arms}  # type: ignore[arg-type]
        for seed in range(seeds)
    ]
