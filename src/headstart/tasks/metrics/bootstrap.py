"""A figure with its n and its interval, and two figures compared.

The bootstrap (Efron 1979) draws as many examples as there are, with replacement, again and again, and looks
at how far the figure moves. An example is what was chosen independently of the others: a sentence, not its
words; a document, not its tokens.

Every metric is written as a function of how often each example was drawn. Of an example it keeps a few
numbers, never logits, so that millions of examples fit into memory.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypedDict

import numpy as np

from headstart.errors import HeadstartError

if TYPE_CHECKING:
    from scipy.sparse import csr_array

RESAMPLES = 1000
CHUNK = 2**22  # weights held at once


class ScoreRow(TypedDict):
    """A figure in JSON and tables; a figure without resamples has no interval."""

    metric: str
    value: float
    n: int
    low: float | None
    high: float | None


class ComparisonRow(TypedDict):
    """A difference in JSON and tables."""

    metric: str
    difference: float
    low: float
    high: float
    p: float


@dataclass(frozen=True)
class Score:
    """One figure with its metric, its n, and its 95 % interval over resamples of the examples."""

    metric: str
    value: float
    n: int
    """The number of counted units: texts, words, entities, tokens."""
    low: float
    high: float

    def as_dict(self) -> ScoreRow:
        return {
            "metric": self.metric, "value": self.value, "n": self.n, "low": self.low, "high": self.high
        }  # fmt: skip

    def __str__(self) -> str:
        return f"{self.metric} {self.value:.3f} ({self.low:.3f} to {self.high:.3f}, n = {self.n:,})"


@dataclass(frozen=True)
class Measurement:
    """A metric of one system on N examples."""

    metric: str
    counts: np.ndarray
    """How much of what the figure counts is in each example, `[N]`."""
    under: Callable[[np.ndarray], np.ndarray]
    """The metric `[R]` where row r of the weights `[R, N]` says how often each example counts."""

    def __post_init__(self) -> None:
        if not self.examples:
            raise HeadstartError(f"{self.metric} of nothing is no figure; give one example at least")

    @property
    def examples(self) -> int:
        """N, what the resamples draw from."""
        return len(self.counts)

    @property
    def n(self) -> int:
        """What the figure counts."""
        return round(float(self.counts.sum()))

    def subset(self, places: Sequence[int]) -> "Measurement":
        """The same metric on the examples at these places alone."""
        chosen = np.asarray(places)

        def under(weights: np.ndarray) -> np.ndarray:
            whole = np.zeros((len(weights), self.examples))
            whole[:, chosen] = weights
            return self.under(whole)

        return Measurement(self.metric, self.counts[chosen], under)

    @cached_property
    def value(self) -> float:
        return float(self.under(np.ones((1, self.examples)))[0])

    @cached_property
    def score(self) -> Score:
        """With the interval between the 2.5th and the 97.5th percentile of the resamples."""
        draws = np.concatenate([self.under(weights) for weights in _resamples(self.examples)])
        low, high = _interval(draws)
        return Score(self.metric, self.value, self.n, low, high)


@dataclass(frozen=True)
class Comparison:
    """The difference between the first and the second of two systems on the same examples."""

    metric: str
    difference: float
    low: float
    high: float
    p: float
    """The probability of so large a difference, in either direction, if the systems were equally good."""

    def as_dict(self) -> ComparisonRow:
        return {
            "metric": self.metric, "difference": self.difference, "low": self.low, "high": self.high,
            "p": self.p,
        }  # fmt: skip

    def __str__(self) -> str:
        return f"{self.metric} {self.difference:+.3f} ({self.low:+.3f} to {self.high:+.3f}, p = {self.p:.3g})"


def compare_measurements(first: Measurement, second: Measurement) -> Comparison:
    """The paired bootstrap (Koehn 2004): both systems on the same resamples of the same examples.

    `p` is twice the share of resamples in which the sign of the difference turns (or vanishes), with one
    added to each count, so that it is never 0 (Davison & Hinkley 1997, section 4.2).

    Raises:
        HeadstartError: other metrics, or another number of examples.
    """
    if (first.metric, first.examples) != (second.metric, second.examples):
        raise HeadstartError(
            f"{first.metric} on {first.examples:,} examples cannot be compared with {second.metric} on "
            f"{second.examples:,}; measure both systems on the same examples"
        )
    draws = np.concatenate([first.under(w) - second.under(w) for w in _resamples(first.examples)])
    low, high = _interval(draws)
    against = min((draws >= 0).sum(), (draws <= 0).sum())
    p = min(1.0, 2 * float(against + 1) / (len(draws) + 1))
    return Comparison(first.metric, first.value - second.value, low, high, p)


def from_sums(
    metric: str,
    rows: "np.ndarray | csr_array",
    value: Callable[[np.ndarray], np.ndarray],
    counts: np.ndarray | None = None,
) -> Measurement:
    """A metric that depends on sums over the examples.

    Args:
        rows: what each example adds, `[N, K]`.
        value: sums `[R, K]` to figures `[R]`.
        counts: how much of what the figure counts is in each example `[N]`; None: examples are counted.
    """
    each = np.ones(rows.shape[0]) if counts is None else counts
    return Measurement(metric, each, lambda weights: value(weights @ rows))


def mean(metric: str, values: Sequence[float] | np.ndarray) -> Measurement:
    """The mean of one number an example."""
    return ratio(metric, values, np.ones(len(values)))


def ratio(
    metric: str, parts: Sequence[float] | np.ndarray, wholes: Sequence[float] | np.ndarray
) -> Measurement:
    """The sum of the parts over the sum of the wholes, which are what the figure counts."""
    rows = np.stack([np.asarray(parts, dtype=np.float64), np.asarray(wholes, dtype=np.float64)], 1)
    return from_sums(metric, rows, lambda sums: divided(sums[:, 0], sums[:, 1]), rows[:, 1])


def divided(part: np.ndarray, whole: np.ndarray, otherwise: float = 0.0) -> np.ndarray:
    """`part / whole`, and `otherwise` where the whole is nothing."""
    return np.divide(part, whole, out=np.full(np.broadcast(part, whole).shape, otherwise), where=whole > 0)


def _resamples(examples: int) -> Iterator[np.ndarray]:
    """How often each of N examples is drawn, `[R, N]`, in chunks; the same ones for the same N."""
    random = np.random.Generator(np.random.Philox(key=0))
    rows = max(1, CHUNK // examples)
    for first in range(0, RESAMPLES, rows):
        count = min(rows, RESAMPLES - first)
        drawn = random.integers(0, examples, (count, examples)) + examples * np.arange(count)[:, None]
        counted = np.bincount(drawn.ravel(), minlength=count * examples)
        yield counted.reshape(count, examples).astype(np.float64)


def _interval(draws: np.ndarray) -> tuple[float, float]:
    """Its ends; resamples in which the figure does not exist are left out."""
    known = draws[~np.isnan(draws)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.quantile(known, [0.025, 0.975])
    return float(low), float(high)
