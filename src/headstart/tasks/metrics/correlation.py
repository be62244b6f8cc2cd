"""How well predicted numbers go along with the true ones."""

from collections.abc import Sequence

import numpy as np

from headstart.tasks.metrics.bootstrap import Measurement, from_sums

Numbers = Sequence[float] | np.ndarray


def pearson(truth: Numbers, predicted: Numbers) -> Measurement:
    """Pearson's correlation; no number where one side is constant."""
    x, y = _standard(truth), _standard(predicted)
    rows = np.stack([np.ones(len(x)), x, y, x * x, y * y, x * y], 1)

    def value(sums: np.ndarray) -> np.ndarray:
        n, sx, sy, sxx, syy, sxy = sums.T
        return _correlation(sxy / n - sx * sy / n**2, sxx / n - (sx / n) ** 2, syy / n - (sy / n) ** 2)

    return from_sums("Pearson", rows, value)


def spearman(truth: Numbers, predicted: Numbers) -> Measurement:
    """Spearman's correlation: Pearson's of the ranks, equal numbers sharing the mean of theirs."""
    x, y = np.asarray(truth, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
    if len(x) != len(y):
        raise ValueError(f"{len(x)} true numbers and {len(y)} predicted ones")

    def under(weights: np.ndarray) -> np.ndarray:
        n = weights.sum(1, keepdims=True)
        ranks = [_ranks(side, weights) - (n + 1) / 2 for side in (x, y)]  # [R, N] each, of mean 0
        sxx, syy = ((weights * rank**2).sum(1) for rank in ranks)
        return _correlation((weights * ranks[0] * ranks[1]).sum(1), sxx, syy)

    return Measurement("Spearman", np.ones(len(x)), under)


def _ranks(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean ranks `[R, N]` of numbers `[N]` that occur as often as each row of the weights `[R, N]` says."""
    _, first, place = np.unique(np.sort(values), return_index=True, return_inverse=True)
    order = np.argsort(values, kind="stable")
    copies = np.add.reduceat(weights[:, order], first, axis=1)  # [R, distinct numbers]
    mean_rank = np.cumsum(copies, axis=1) - (copies - 1) / 2
    ranks = np.empty_like(weights)
    ranks[:, order] = mean_rank[:, place]
    return ranks


def _standard(values: Numbers) -> np.ndarray:
    """Mean 0 and deviation 1, which keeps sums of squares exact."""
    centred = np.asarray(values, dtype=np.float64) - np.mean(values)
    return centred / (centred.std() or 1.0)


def _correlation(covariance: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """NaN where a variance is 0, or nothing but rounding: numbers are standard, ranks whole or half."""
    varied = np.minimum(first, second) > 1e-12
    spread = np.sqrt(first * second, out=np.ones_like(first), where=varied)
    return np.where(varied, np.clip(covariance / spread, -1, 1), np.nan)
