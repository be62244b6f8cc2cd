"""Right and wrong labels, and how far the probabilities of labels can be trusted.

A label is a string; where a text may have several labels, a list of strings.
"""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from headstart.tasks.metrics.bootstrap import Measurement, divided, from_sums, mean, ratio

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Labels = str | Sequence[str]
Average = Literal["micro", "macro", "weighted"]
BINS = 15  # of Guo et al. 2017


def accuracy(truth: Sequence[Labels], predicted: Sequence[Labels]) -> Measurement:
    """Share of right answers; of several labels all have to be right."""
    return mean("accuracy", [_set(t) == _set(p) for t, p in zip(truth, predicted, strict=True)])


def token_accuracy(truth: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> Measurement:
    """Share of words with the right tag; the resamples draw whole sentences, whose words hang together."""
    right = [
        sum(t == p for t, p in zip(tags, found, strict=True))
        for tags, found in zip(truth, predicted, strict=True)
    ]
    words = [len(tags) for tags in truth]
    return ratio("token accuracy", right, words)


def f1(truth: Sequence[Labels], predicted: Sequence[Labels], average: Average = "macro") -> Measurement:
    """The harmonic mean of precision and recall.

    Args:
        average: "macro": the mean over the labels in truth or predicted; "weighted": by how often each is
            true; "micro": over all answers together.
    """
    labels, rows = _counts(truth, predicted)

    def value(sums: np.ndarray) -> np.ndarray:
        right, true, called = sums.reshape(len(sums), 3, labels).swapaxes(0, 1)  # [R, L] each
        if average == "micro":
            return divided(2 * right.sum(1), true.sum(1) + called.sum(1))
        each = divided(2 * right, true + called)  # [R, L]
        share = true if average == "weighted" else (true + called > 0).astype(float)
        return divided((each * share).sum(1), share.sum(1))

    return from_sums(f"{average} F1", rows, value)


def matthews(truth: Sequence[str], predicted: Sequence[str]) -> Measurement:
    """Matthews' correlation for any number of classes (Gorodkin 2004); 0 where one side is constant."""
    labels, rows = _counts(truth, predicted)

    def value(sums: np.ndarray) -> np.ndarray:
        right, true, called = sums.reshape(len(sums), 3, labels).swapaxes(0, 1)  # [R, L] each
        n = true.sum(1)
        covariance = right.sum(1) * n - (true * called).sum(1)
        spread = np.sqrt(n**2 - (true**2).sum(1)) * np.sqrt(n**2 - (called**2).sum(1))
        return divided(covariance, spread)

    return from_sums("MCC", rows, value)


def confusion(truth: Sequence[str], predicted: Sequence[str]) -> dict[str, dict[str, int]]:
    """How often each true label (outer) was given each label (inner); only what occurs, commonest first."""
    cells = Counter(zip(truth, predicted, strict=True)).most_common()
    table: dict[str, dict[str, int]] = {label: {} for label, _ in Counter(truth).most_common()}
    for (true, called), count in cells:
        table[true][called] = count
    return table


def calibration_error(confidence: np.ndarray, right: np.ndarray) -> Measurement:
    """Expected calibration error (Guo et al. 2017, section 2): how far confidence is from the share right.

    Mean over `BINS` equal bins of confidence, weighted by their size. Chance alone makes it larger than 0,
    and every resample adds to that, so the interval lies a little high.

    Args:
        confidence: the probability of each answer `[N]`.
        right: whether it was right `[N]`.
    """
    confidence, right = np.asarray(confidence, dtype=np.float64), np.asarray(right, dtype=np.float64)
    bins = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    rows = np.zeros((len(confidence), BINS + 1))
    rows[np.arange(len(bins)), bins] = right - confidence
    rows[:, BINS] = 1
    return from_sums("calibration error", rows, lambda sums: np.abs(sums[:, :BINS]).sum(1) / sums[:, BINS])


def squared_distance(probabilities: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Squared distance of probabilities `[N, L]` from the true labels' indices `[N]`: `[N]`."""
    chosen = probabilities[np.arange(len(truth)), truth]
    return (probabilities**2).sum(1) - 2 * chosen + 1


def brier(distances: Sequence[float] | np.ndarray) -> Measurement:
    """Brier's score (1950), from 0 to 2: the mean of `squared_distance`."""
    return mean("Brier", distances)


def _counts(truth: Sequence[Labels], predicted: Sequence[Labels]) -> "tuple[int, csr_array]":
    """The number of labels L, and for each text which are right, true and called: `[N, 3 L]`."""
    from scipy.sparse import csr_array  # slow to load, and the studio's server needs none

    pairs = [(_set(t), _set(p)) for t, p in zip(truth, predicted, strict=True)]
    known = sorted(set().union(*(t | p for t, p in pairs)))
    column = {label: index for index, label in enumerate(known)}
    places, ends = [], [0]
    for true, called in pairs:
        for block, chosen in enumerate((true & called, true, called)):
            places += [block * len(known) + column[label] for label in chosen]
        ends.append(len(places))
    shape = (len(pairs), 3 * len(known))
    return len(known), csr_array((np.ones(len(places)), places, ends), shape=shape)


def _set(labels: Labels) -> frozenset[str]:
    return frozenset([labels] if isinstance(labels, str) else labels)
