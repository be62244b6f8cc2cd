"""Everything that a table of runs says about scaling, as plain numbers; and what a sweep writes beside it."""

from collections.abc import Callable
from dataclasses import asdict
from typing import NotRequired, TypedDict, cast

import numpy as np

from headstart.scaling.fit import DELTA, LEVEL, Fit, fit, held_out
from headstart.scaling.frontier import Frontier, envelope_frontier, isoflop_frontier, profiles
from headstart.scaling.laws import Interval, Parametric
from headstart.scaling.published import LOSS_LAWS
from headstart.scaling.runs import MeasuredRun, RunTable

BUDGET, DESIGN, FIT, FORECAST, SCORE = "budget.json", "design.json", "fit.json", "forecast.json", "score.json"
"""What a sweep writes into its folder."""
SAME_COMPUTE = 0.01
"""Figures that are rounded to three digits differ by less from what they were computed from."""
PRINTED_WIDTH = 0.001
"""Of the interval that Hoffmann et al. 2022 print for a (table 2, approach 3: 0.454 to 0.455)."""


class FittedOutlier(TypedDict):
    """A run that was left out, and what the law says of it."""

    name: str
    parameters: float
    tokens: float
    loss: float
    predicted: float
    misses_by: float


class Approach(TypedDict):
    """What one approach says of the size by compute: N ~ C^exponent."""

    approach: str
    exponent: float
    interval: Interval | None
    tokens_per_parameter: float
    points: NotRequired[list[tuple[float, float]]]


class Misses(TypedDict):
    """By how much a law misses runs."""

    bias: float
    bias_in_standard_errors: float
    mean_error: float


class HeldOutRuns(TypedDict):
    """How the largest runs came out that the others predicted."""

    fitted: int
    runs: int
    factor: float
    mean_error: float
    bias: float
    inside: int


class AtCompute(TypedDict):
    """A figure at a compute."""

    at: float
    value: float
    interval: Interval | None


class PrintedInterval(TypedDict):
    """How many runs an interval would take that is as narrow as the printed one."""

    width: float
    width_here: float
    runs_needed: float


class FitReport(TypedDict):
    """What `plan fit` says and writes; `plan.law_named` reads it again."""

    E: float
    A: float
    B: float
    alpha: float
    beta: float
    intervals: dict[str, Interval]
    errors: dict[str, float]
    level: float
    exponent_a: float
    exponent_a_interval: Interval | None
    runs: int
    outliers: list[FittedOutlier]
    left_out: dict[str, str]
    stated_compute: NotRequired[Interval]
    """Least and most of the tables' own compute as a share of 6 N D, where it differs from that."""
    noise: float
    method: str
    reach: dict[str, Interval]
    covariance: list[list[float]]
    tokens_per_parameter: AtCompute
    approaches: list[Approach]
    isoflop_profiles: int
    held_out: HeldOutRuns | None
    published_laws_on_these_runs: dict[str, Misses]
    printed_interval: PrintedInterval


class DesignedRun(TypedDict):
    """A run of the sweep, as it was planned."""

    name: str
    parameters: int
    tokens: int


class Design(TypedDict):
    """What `design.json` says before the first run: the grid, and the larger run that will be predicted."""

    grid: list[DesignedRun]
    final: DesignedRun


class Forecast(TypedDict):
    """What the fit says of the larger run."""

    name: str
    parameters: int
    tokens: int
    compute: float
    times_the_largest_run: float
    loss: float
    band: tuple[float, float]
    level: float
    runs: int
    written: float
    """Seconds since 1970, before the larger run's first step."""


class ForecastScore(TypedDict):
    """How the forecast came out."""

    measured: float
    error: float
    inside: bool


class SweepReport(TypedDict):
    """What a sweep found."""

    fit: FitReport
    forecast: Forecast
    score: ForecastScore


def fit_report(table: RunTable, samples: int, seed: int) -> tuple[Fit, FitReport]:
    """Fit by all approaches that the runs allow.

    Raises:
        HeadstartError: too few runs for five constants.
    """
    found = fit(table.runs, samples, seed)
    law = found.law
    exponent = law.interval(lambda one: one.parameter_exponent, LEVEL)
    middle = float(np.exp(np.mean([np.log(run.compute) for run in found.runs])))
    check = held_out(found.runs)
    report: FitReport = {
        "E": law.E,
        "A": law.A,
        "B": law.B,
        "alpha": law.alpha,
        "beta": law.beta,
        "intervals": {constant: found.interval(constant) for constant in Parametric.CONSTANTS},
        "errors": {constant: found.error(constant) for constant in Parametric.CONSTANTS},
        "level": LEVEL,
        "exponent_a": law.parameter_exponent,
        "exponent_a_interval": exponent,
        "runs": len(found.runs),
        "outliers": [_outlier(found, run) for run in found.outliers],
        "left_out": table.left_out,
        "noise": found.noise,
        "method": f"Huber loss on log loss, delta {DELTA}; bootstrap of {samples} samples of the runs",
        "reach": {"parameters": law.reach.parameters, "tokens": law.reach.tokens},
        "covariance": covariance(law),
        "tokens_per_parameter": {
            "at": middle,
            "value": law.optimum(middle).tokens_per_parameter,
            "interval": law.interval(lambda one: one.optimum(middle).tokens_per_parameter, LEVEL),
        },
        "approaches": [_approach(one) for one in _frontiers(table, found)]
        + [
            {
                "approach": "3: parametric law",
                "exponent": law.parameter_exponent,
                "interval": exponent,
                "tokens_per_parameter": law.optimum(middle).tokens_per_parameter,
            }
        ],
        "isoflop_profiles": len(profiles(found.runs)),
        "held_out": cast(HeldOutRuns, asdict(check)) if check else None,
        "published_laws_on_these_runs": {
            name: _misses(other.loss, found.runs) for name, other in LOSS_LAWS.items()
        }
        | {"this fit": _misses(law.loss, found.runs)},
        "printed_interval": {
            "width": PRINTED_WIDTH,
            "width_here": _width(found),
            "runs_needed": found.runs_for(PRINTED_WIDTH),
        },
    }
    least, most = min(table.stated_compute, default=1.0), max(table.stated_compute, default=1.0)
    if max(1 - least, most - 1) > SAME_COMPUTE:
        report["stated_compute"] = (least, most)
    return found, report


def covariance(law: Parametric) -> list[list[float]]:
    """Of (ln A, ln B, ln E, alpha, beta) over the bootstrap, as `Parametric.covariance` has it."""
    assert law.draws is not None
    E, A, B, alpha, beta = law.draws.T
    rows = np.cov([np.log(A), np.log(B), np.log(E), alpha, beta])
    return [[float(value) for value in row] for row in rows]


def _frontiers(table: RunTable, found: Fit) -> list[Frontier]:
    kept = {run.name for run in found.runs}
    curves = [run for run in table.curves if run.name in kept]
    candidates = (envelope_frontier(curves or found.runs), isoflop_frontier(found.runs))
    return [one for one in candidates if one is not None]


def _approach(frontier: Frontier) -> Approach:
    middle = float(np.exp(np.mean([np.log(compute) for compute, _ in frontier.points])))
    return {
        "approach": frontier.approach,
        "exponent": frontier.exponent,
        "interval": frontier.interval,
        "tokens_per_parameter": frontier.tokens_per_parameter(middle),
        "points": frontier.points,
    }


def _outlier(found: Fit, run: MeasuredRun) -> FittedOutlier:
    return {
        "name": run.name,
        "parameters": run.parameters,
        "tokens": run.tokens,
        "loss": run.loss,
        "predicted": found.law.loss(run.parameters, run.tokens),
        "misses_by": found.residual(run),
    }


def _misses(loss: Callable[[float, float], float], runs: list[MeasuredRun]) -> Misses:
    """Mean of predicted over measured loss less 1, in standard errors too, and of its size."""
    errors = [loss(run.parameters, run.tokens) / run.loss - 1 for run in runs]
    bias = float(np.mean(errors))
    return {
        "bias": bias,
        "bias_in_standard_errors": bias / float(np.std(errors, ddof=1)) * len(errors) ** 0.5,
        "mean_error": float(np.mean(np.abs(errors))),
    }


def _width(found: Fit) -> float:
    interval = found.law.interval(lambda one: one.parameter_exponent, 0.8)
    assert interval is not None
    return interval[1] - interval[0]
