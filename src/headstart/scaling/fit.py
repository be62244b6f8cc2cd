"""Fitting scaling laws to runs: constants with intervals, outliers, and a test on larger runs.

The parametric law is fitted as Hoffmann et al. 2022 (section 3.3) do: a Huber loss on the logarithm of
the loss, from many starts. Unlike theirs, the minimisation is a batch of Levenberg-Marquardt searches,
one for each start or bootstrap sample, so that a thousand of them take about a second.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from headstart.errors import HeadstartError
from headstart.scaling.laws import Interval, Parametric, Reach
from headstart.scaling.runs import MeasuredRun

DELTA = 1e-3
"""Of the Huber loss, in log loss (Hoffmann et al. 2022, section 3.3)."""
FEWEST_RUNS, FEWEST_SIZES = 9, 3
"""Five constants and some noise; at least so many different N, and as many different D."""
MOST_CORRELATED = 0.999
SAMPLES = 1000
LEVEL = 0.9

EXPONENTS = (0.01, 3.0)
"""Where alpha and beta may lie: more parameters and more data never hurt."""

# A run is an outlier when the law misses its loss by more than this share, and by so many robust
# deviations of the other runs: far beyond what training noise explains, whatever the noise is.
OUTLIER_SHARE, OUTLIER_DEVIATIONS = 0.05, 5.0
# Searches from all starts run so many rounds; the most promising go on to the end.
FIRST_ROUNDS, PROMISING = 25, 24

# --- the search ---------------------------------------------------------------------------------------


class _Data:
    """Logarithms of N, D and L, with N and D around their means, which decorrelates the constants."""

    def __init__(self, runs: Sequence[MeasuredRun]) -> None:
        self.log_n = np.log([run.parameters for run in runs])
        self.log_d = np.log([run.tokens for run in runs])
        self.log_l = np.log([run.loss for run in runs])
        self.mean_n, self.mean_d = self.log_n.mean(), self.log_d.mean()
        self.n, self.d = self.log_n - self.mean_n, self.log_d - self.mean_d

    def starts(self) -> np.ndarray:
        """Searches begin with the size term, the data term and the floor each a share of the median loss."""
        middle = math.exp(float(np.median(self.log_l)))
        terms = itertools.product((0.03, 0.1, 0.4), (0.03, 0.1, 0.4), (0.2, 0.5, 0.8), (0.1, 0.3, 0.7, 1.2),
                                  (0.1, 0.3, 0.7, 1.2))  # fmt: skip
        return np.array(
            [
                [math.log(a * middle), math.log(b * middle), math.log(e * middle), p, q]
                for a, b, e, p, q in terms
            ]
        )

    def constants(self, points: np.ndarray) -> np.ndarray:
        """Search points `[S, 5]` as rows of (E, A, B, alpha, beta)."""
        a, b, e, alpha, beta = points.T
        size, data = np.exp(a + alpha * self.mean_n), np.exp(b + beta * self.mean_d)
        return np.column_stack([np.exp(e), size, data, alpha, beta])

    def predict(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Predicted log losses `[S, R]`, and the three terms' shares in the loss `[3, S, R]`."""
        a, b, e, alpha, beta = points.T[:, :, None]  # each [S, 1]
        terms = np.stack(
            [a - alpha * self.n, b - beta * self.d, np.broadcast_to(e, (len(points), len(self.n)))]
        )
        top = terms.max(0)
        shares = np.exp(terms - top)
        total = shares.sum(0)
        return top + np.log(total), shares / total


def _huber(residuals: np.ndarray, weights: np.ndarray) -> np.ndarray:
    size = np.abs(residuals)
    values = np.where(size <= DELTA, 0.5 * residuals**2, DELTA * (size - 0.5 * DELTA))
    total: np.ndarray = (weights * values).sum(-1)
    return total


def _search(
    data: _Data, points: np.ndarray, weights: np.ndarray, rounds: int = 300
) -> tuple[np.ndarray, np.ndarray]:
    """Levenberg-Marquardt on the reweighted least squares of the Huber loss, for all rows at once.

    Args:
        points: where to begin, `[S, 5]`.
        weights: how often each run counts, `[1, R]` or `[S, R]`.

    Returns:
        The best points `[S, 5]` and their Huber losses `[S]`.
    """
    points = points.copy()
    damping = np.full(len(points), 1e-2)
    predicted, shares = data.predict(points)
    residuals = predicted - data.log_l
    cost = _huber(residuals, weights)
    for _ in range(rounds):
        slopes = np.stack([*shares, -shares[0] * data.n, -shares[1] * data.d], axis=-1)  # [S, R, 5]
        pull = weights * DELTA / np.maximum(np.abs(residuals), DELTA)  # [S, R]
        weighted = slopes * pull[:, :, None]
        curvature = np.swapaxes(weighted, 1, 2) @ slopes  # [S, 5, 5]
        gradient = np.einsum("srk,sr->sk", weighted, residuals)
        ridge = damping[:, None] * (np.einsum("skk->sk", curvature) + 1e-12)
        step = np.linalg.solve(curvature + ridge[:, :, None] * np.eye(5), -gradient[:, :, None])[:, :, 0]
        tried = points + np.clip(step, -2, 2)
        tried[:, 3:] = tried[:, 3:].clip(*EXPONENTS)
        tried_predicted, tried_shares = data.predict(tried)
        tried_residuals = tried_predicted - data.log_l
        tried_cost = _huber(tried_residuals, weights)
        better = tried_cost < cost
        gain = np.where(better, (cost - tried_cost) / np.maximum(cost, 1e-300), 0.0)
        points[better], residuals[better] = tried[better], tried_residuals[better]
        shares[:, better] = tried_shares[:, better]
        cost = np.where(better, tried_cost, cost)
        damping = np.clip(np.where(better, damping * 0.3, damping * 4), 1e-12, 1e8)
        if np.all(np.where(better, gain < 1e-10, damping > 1e4)):
            break
    return points, cost


# --- the parametric law -------------------------------------------------------------------------------


@dataclass(frozen=True)
class ForecastTest:
    """How well the law from the smaller runs predicts the largest ones."""

    fitted: int
    runs: int
    factor: float
    """Compute of the largest run held out over that of the largest run fitted."""
    mean_error: float
    """Mean of |predicted / measured - 1|."""
    bias: float
    """Mean of predicted / measured - 1."""
    inside: int
    """Held-out runs whose loss lies in the band."""


@dataclass(frozen=True)
class Fit:
    """A law fitted to runs, and how far it is to be trusted."""

    law: Parametric
    """With the bootstrap's constants as its draws."""
    runs: list[MeasuredRun]
    """What it was fitted to."""
    outliers: list[MeasuredRun]
    noise: float
    """Robust standard deviation of the runs around the law, in log loss."""
    level: float = LEVEL

    def interval(self, constant: str) -> Interval:
        found = self.law.interval(lambda law: float(getattr(law, constant)), self.level)
        assert found is not None
        return found

    def error(self, constant: str) -> float:
        """Standard error by the bootstrap."""
        return float(np.std([getattr(law, constant) for law in self.law.variants], ddof=1))

    def runs_for(self, width: float, level: float = 0.8) -> float:
        """How many such runs the interval of a (N ~ C^a) takes to be only `width` wide.

        Intervals shrink with the root of the number of runs. Hoffmann et al. 2022 print 0.454 to 0.455 as
        the 10th and 90th percentile, from somewhat more than 400 runs; Besiroglu et al. 2024 count what
        that would have taken.
        """
        found = self.law.interval(lambda law: law.parameter_exponent, level)
        assert found is not None
        return len(self.runs) * ((found[1] - found[0]) / width) ** 2

    @cached_property
    def _deviations(self) -> np.ndarray:
        """Log of measured over predicted loss, of every run fitted; widened for the constants spent."""
        values = [math.log(run.loss / self.law.loss(run.parameters, run.tokens)) for run in self.runs]
        return np.array(values) * math.sqrt(len(values) / (len(values) - 5))

    def forecast(self, parameters: float, tokens: float) -> tuple[float, Interval]:
        """The loss of a run to come, and the band in which it lies with probability `level`.

        The band holds both doubts: about the constants, and about the run itself, which deviates from
        the law as the fitted ones do.
        """
        random = np.random.default_rng(0)
        losses = np.array([law.loss(parameters, tokens) for law in self.law.variants])
        spread = np.exp(random.choice(self._deviations, (20, len(losses))))
        low, high = np.quantile(losses * spread, [(1 - self.level) / 2, (1 + self.level) / 2])
        return self.law.loss(parameters, tokens), (float(low), float(high))

    def residual(self, run: MeasuredRun) -> float:
        """Predicted over measured loss, less 1."""
        return self.law.loss(run.parameters, run.tokens) / run.loss - 1


def fit(runs: Sequence[MeasuredRun], samples: int = SAMPLES, seed: int = 0) -> Fit:
    """Fit L = E + A / N^alpha + B / D^beta, leaving out outliers.

    Raises:
        HeadstartError: too few runs, or too few different sizes, to fit five constants.
    """
    _enough(runs)
    data = _Data(runs)
    keep = np.ones(len(runs), dtype=bool)
    best = _best(data, data.starts(), keep)
    for _ in range(10):
        residuals = data.predict(best[None])[0][0] - data.log_l
        deviation = 1.4826 * float(np.median(np.abs(residuals[keep])))
        near = (np.abs(np.expm1(residuals)) <= OUTLIER_SHARE) | (
            np.abs(residuals) <= OUTLIER_DEVIATIONS * deviation
        )
        if (near == keep).all():
            break
        keep = near
        _enough([run for run, kept in zip(runs, keep, strict=True) if kept])
        best = _best(data, np.vstack([best, data.starts()]), keep)
    kept = [run for run, inside in zip(runs, keep, strict=True) if inside]
    # Bootstrap: each sample draws as many runs again, and begins its search where all runs led.
    random = np.random.default_rng(seed)
    drawn = random.multinomial(len(kept), np.full(len(kept), 1 / len(kept)), samples)
    weights = np.zeros((samples, len(runs)))
    weights[:, keep] = drawn
    points, _ = _search(data, np.tile(best, (samples, 1)), weights, rounds=150)
    E, A, B, alpha, beta = map(float, data.constants(best[None])[0])
    law = Parametric(
        "own-fit",
        f"fit of {len(kept)} runs",
        E,
        A,
        B,
        alpha,
        beta,
        reach=_reach(kept),
        draws=data.constants(points),
    )
    outliers = [run for run, inside in zip(runs, keep, strict=True) if not inside]
    return Fit(law, kept, outliers, deviation)


def _best(data: _Data, starts: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """The point of lowest Huber loss that a search from any start comes to."""
    weights = keep[None].astype(float)
    points, cost = _search(data, starts, weights, FIRST_ROUNDS)
    points, cost = _search(data, points[np.argsort(cost)[:PROMISING]], weights)
    best: np.ndarray = points[cost.argmin()]
    return best


def held_out(runs: Sequence[MeasuredRun], samples: int = SAMPLES // 4) -> ForecastTest | None:
    """Fit the four fifths of the runs with the least compute and predict the others; None if too few."""
    ordered = sorted(runs, key=lambda run: run.compute)
    count = max(1, len(ordered) // 5)
    smaller, larger = ordered[:-count], ordered[-count:]
    try:
        fitted = fit(smaller, samples)
    except HeadstartError:
        return None
    errors = [fitted.residual(run) for run in larger]
    bands = [fitted.forecast(run.parameters, run.tokens)[1] for run in larger]
    inside = sum(low <= run.loss <= high for run, (low, high) in zip(larger, bands, strict=True))
    return ForecastTest(
        len(fitted.runs), count, larger[-1].compute / smaller[-1].compute,
        float(np.mean(np.abs(errors))), float(np.mean(errors)), inside,
    )  # fmt: skip


def _enough(runs: Sequence[MeasuredRun]) -> None:
    sizes, lengths = {f"{run.parameters:.2e}" for run in runs}, {f"{run.tokens:.2e}" for run in runs}
    if len(runs) < FEWEST_RUNS:
        raise HeadstartError(
            f"{len(runs)} usable runs are too few to fit five constants; at least {FEWEST_RUNS} are needed, "
            f"with {FEWEST_SIZES} or more different sizes and lengths (12 and more give useful intervals)"
        )
    for found, what in ((sizes, "model sizes"), (lengths, "numbers of tokens")):
        if len(found) < FEWEST_SIZES:
            raise HeadstartError(
                f"the runs have only {len(found)} different {what}; at least {FEWEST_SIZES} are needed to "
                "tell the size's share in the loss from the data's"
            )
    logs = np.log([[run.parameters, run.tokens] for run in runs])
    if abs(np.corrcoef(logs.T)[0, 1]) > MOST_CORRELATED:
        raise HeadstartError(
            "the runs' tokens are the same power of their parameters throughout, so that no fit can tell the "
            "one's share in the loss from the other's; add runs of one size with more or fewer tokens"
        )


def _reach(runs: Sequence[MeasuredRun]) -> Reach:
    sizes, lengths = [run.parameters for run in runs], [run.tokens for run in runs]
    return Reach((min(sizes), max(sizes)), (min(lengths), max(lengths)))
