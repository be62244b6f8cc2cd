"""Scores with their n and a bootstrap interval."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from headstart.tasks.data import Target, TaskKind, flatten

RESAMPLES = 1000


@dataclass(frozen=True)
class Score:
    """One figure: what it is, on how many, and where it lies in 95 % of the resamples of those."""

    metric: str
    value: float
    n: int
    """Texts, or words for tagging."""
    low: float
    high: float

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.metric} {self.value:.3f} ({self.low:.3f} to {self.high:.3f}, n = {self.n:,})"


def score(task: TaskKind, truth: Sequence[Target], predicted: Sequence[Target]) -> list[Score]:
    """The scores of a task, the main one first.

    Classification: accuracy and macro F1. Tagging: accuracy over words.
    """
    if task == "tagging":
        return [token_accuracy(truth, predicted)]
    return [accuracy(flatten(truth), flatten(predicted)), macro_f1(flatten(truth), flatten(predicted))]


def accuracy(truth: Sequence[str], predicted: Sequence[str]) -> Score:
    """Share of right answers."""
    right = np.array([t == p for t, p in zip(truth, predicted, strict=True)])
    # Resampling n answers of which a share is right draws from a binomial distribution.
    draws = _random().binomial(len(right), right.mean(), RESAMPLES) / len(right)
    return _scored("accuracy", float(right.mean()), len(right), draws)


def macro_f1(truth: Sequence[str], predicted: Sequence[str]) -> Score:
    """Mean over the labels, in truth or predicted, of the harmonic mean of precision and recall."""
    labels = {label: index for index, label in enumerate(sorted({*truth, *predicted}))}
    pairs = np.array([(labels[t], labels[p]) for t, p in zip(truth, predicted, strict=True)])
    cells, counts = np.unique(pairs, axis=0, return_counts=True)  # the filled cells of the confusion matrix
    value = float(_macro_f1(cells, counts[None], len(labels))[0])
    # Resampling the answers draws these counts from a multinomial distribution.
    draws = _random().multinomial(len(pairs), counts / len(pairs), RESAMPLES)
    return _scored("macro F1", value, len(pairs), _macro_f1(cells, draws, len(labels)))


def _macro_f1(cells: np.ndarray, counts: np.ndarray, labels: int) -> np.ndarray:
    """Macro F1 of every row of `counts` `[R, cells]`, how often each (truth, predicted) occurs: `[R]`."""
    right, true, called = (np.zeros((len(counts), labels)) for _ in range(3))
    for (t, p), column in zip(cells, counts.T, strict=True):
        true[:, t] += column
        called[:, p] += column
        if t == p:
            right[:, t] += column
    occurs = (true + called) > 0
    f1 = np.divide(2 * right, true + called, out=np.zeros_like(right), where=occurs)
    return f1.sum(1) / occurs.sum(1)


def token_accuracy(truth: Sequence[Target], predicted: Sequence[Target]) -> Score:
    """Share of words with the right tag; the resamples draw whole sentences, whose words hang together."""
    right = np.array(
        [sum(t == p for t, p in zip(ts, ps, strict=True)) for ts, ps in zip(truth, predicted, strict=True)]
    )
    words = np.array([len(tags) for tags in truth])
    random = _random()
    draws = np.empty(RESAMPLES)
    for resample in range(RESAMPLES):
        chosen = random.integers(0, len(words), len(words))
        draws[resample] = right[chosen].sum() / words[chosen].sum()
    return _scored("token accuracy", float(right.sum() / words.sum()), int(words.sum()), draws)


def _random() -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=0))


def _scored(metric: str, value: float, n: int, draws: np.ndarray) -> Score:
    low, high = np.quantile(draws, [0.025, 0.975])
    return Score(metric, value, n, float(low), float(high))
