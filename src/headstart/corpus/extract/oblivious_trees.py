"""Gradient-boosted oblivious trees: every node of one depth asks the same question.

So a tree of depth D is D comparisons and a table of 2^D values; numpy answers for all rows and trees at once.
Boosting on second-order gradients after Friedman 2001 and Chen 2016 (section 2.2); oblivious trees after
Prokhorenkova 2018 (section 4).
"""

from dataclasses import dataclass

import numpy as np

BINS = 64
_AT_ONCE = 1024  # rows, so that what is compared fits into memory


@dataclass(frozen=True)
class ObliviousTrees:
    """T trees of depth D over F features."""

    feature: np.ndarray  # [T, D] which feature is compared
    threshold: np.ndarray  # [T, D] a row goes right where its feature is above
    value: np.ndarray  # [T, 2^D] in log-odds
    base: float

    def log_odds(self, rows: np.ndarray) -> np.ndarray:
        """[F, L] to [L]."""
        count, depth = self.feature.shape
        feature, threshold = self.feature.T.ravel(), self.threshold.T.reshape(-1, 1)
        first_leaf = np.arange(count)[:, None] << depth
        answers = []
        for start in range(0, rows.shape[1], _AT_ONCE):
            some = rows[:, start : start + _AT_ONCE]
            right = (some.take(feature, 0) > threshold).view(np.uint8).reshape(depth, count, -1)  # [D, T, L]
            leaf = right[0]
            for answer in right[1:]:
                leaf += leaf
                leaf |= answer
            answers.append(self.base + self.value.ravel().take(leaf + first_leaf).sum(0))
        return np.concatenate(answers)


def boost(
    rows: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray,
    trees: int,
    depth: int = 6,
    rate: float = 0.15,
    seed: int = 0,
    row_share: float = 0.5,
    feature_share: float = 0.4,
    damping: float = 10.0,
) -> ObliviousTrees:
    """Fit trees to the cross-entropy.

    Args:
        rows: [F, L] features.
        labels: [L] from 0 to 1.
        weights: [L]; scaled to a mean of 1.
        rate: how much of each tree's step is taken.
        row_share, feature_share: of the rows and features, drawn anew, that each tree is grown on.
        damping: added to the second derivative of every leaf.
    """
    draw = np.random.default_rng(seed)
    weights = weights / weights.mean()
    edges = [_edges(row) for row in rows]
    bins = np.stack(
        [np.searchsorted(edge, row).astype(np.uint8) for edge, row in zip(edges, rows, strict=True)]
    )
    mean = float(np.average(labels, weights=weights))
    base = float(np.log(mean / (1 - mean)))
    score = np.full(len(labels), base)
    features, thresholds, values = [], [], []
    for _ in range(trees):
        chance = 1 / (1 + np.exp(-score))
        slope, curve = weights * (chance - labels), weights * chance * (1 - chance)
        sample = np.flatnonzero(draw.random(len(labels)) < row_share)
        candidates = draw.permutation(len(edges))[: max(1, round(feature_share * len(edges)))]
        questions = _grow(bins, sample, slope[sample], curve[sample], candidates, depth, damping * row_share)
        leaf = np.zeros(len(labels), np.int64)
        for feature, cut in questions:
            leaf = 2 * leaf + (bins[feature] > cut)
        steps = np.bincount(leaf, slope, 2**depth) / (np.bincount(leaf, curve, 2**depth) + damping)
        score -= rate * steps[leaf]
        values.append(-rate * steps)
        features.append([feature for feature, _ in questions])
        thresholds.append(
            [edges[feature][cut] if cut < len(edges[feature]) else np.inf for feature, cut in questions]
        )
    return ObliviousTrees(
        np.array(features, np.int32), np.array(thresholds, np.float32), np.array(values, np.float32), base
    )


def _edges(row: np.ndarray) -> np.ndarray:
    """Up to BINS - 1 values that cut a feature into parts of about equal size: part k is up to edge k."""
    distinct = np.unique(row)
    if len(distinct) <= BINS:
        return ((distinct[:-1] + distinct[1:]) / 2).astype(np.float32)
    return np.unique(np.quantile(row, np.linspace(0, 1, BINS + 1)[1:-1]).astype(np.float32))


def _grow(
    bins: np.ndarray,
    sample: np.ndarray,
    slope: np.ndarray,
    curve: np.ndarray,
    candidates: np.ndarray,
    depth: int,
    damping: float,
) -> list[tuple[int, int]]:
    """The questions of one tree, from the root down: a feature and the last bin that goes left."""
    questions = []
    leaf = np.zeros(len(sample), np.int64)
    columns = [bins[feature][sample] for feature in candidates]
    for level in range(depth):
        best, question, answer = -np.inf, (int(candidates[0]), 0), columns[0]
        for feature, column in zip(candidates, columns, strict=True):
            place = leaf * BINS + column
            slopes = np.bincount(place, slope, 2**level * BINS).reshape(-1, BINS).cumsum(1)
            curves = np.bincount(place, curve, 2**level * BINS).reshape(-1, BINS).cumsum(1)
            left = slopes[:, :-1] ** 2 / (curves[:, :-1] + damping)
            right = (slopes[:, -1:] - slopes[:, :-1]) ** 2 / (curves[:, -1:] - curves[:, :-1] + damping)
            gain = (left + right).sum(0)
            cut = int(gain.argmax())
            if gain[cut] > best:
                best, question, answer = float(gain[cut]), (int(feature), cut), column
        questions.append(question)
        leaf = 2 * leaf + (answer > question[1])
    return questions
