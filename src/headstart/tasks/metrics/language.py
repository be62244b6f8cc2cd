"""How well a language model foresees a text."""

import math
from collections.abc import Sequence

import numpy as np

from headstart.tasks.metrics.bootstrap import Measurement, divided, from_sums, ratio

Numbers = Sequence[float] | np.ndarray


def perplexity(losses: Numbers, counts: Numbers, metric: str = "token perplexity") -> Measurement:
    """The exponential of the mean loss; of use only between models that cut text into the same units.

    Args:
        losses: summed cross-entropy of each document, in nats.
        counts: how many units each has.
    """
    rows = np.stack([np.asarray(losses, dtype=np.float64), np.asarray(counts, dtype=np.float64)], 1)

    def value(sums: np.ndarray) -> np.ndarray:
        return np.exp(divided(sums[:, 0], sums[:, 1]))

    return from_sums(metric, rows, value, rows[:, 1])


def bits_per_byte(losses: Numbers, sizes: Numbers, metric: str = "bits per byte") -> Measurement:
    """Cross-entropy for each byte of UTF-8, in bits, which no tokenizer changes.

    Args:
        losses: summed cross-entropy of each document, in nats.
        sizes: bytes of each document.
    """
    bits = np.asarray(losses, dtype=np.float64) / math.log(2)
    return ratio(metric, bits, sizes)
