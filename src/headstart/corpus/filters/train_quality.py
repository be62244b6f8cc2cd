"""Training a quality model from good and bad examples, or from scores 0 to 5, and saying how good it is.

The examples are divided by their content: one part trains, one chooses regularisation, calibration and
threshold, one tests. Nothing of the test part is seen before, equal texts fall into the same part.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import minimize
from scipy.sparse import csr_matrix
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import average_precision_score, roc_auc_score

from headstart import __version__
from headstart.corpus.extract.page import cut_into_pieces, extract_text, normalise
from headstart.corpus.filters.quality_model import QualityModel, buckets
from headstart.corpus.filters.quality_report import (
    AtThreshold,
    Calibrated,
    QualityReport,
    QualityScores,
    WrongText,
)
from headstart.corpus.readers.read import read
from headstart.corpus.readers.records import Raw
from headstart.corpus.readers.sources import find_sources, plan_tasks
from headstart.corpus.text.words import split_words
from headstart.errors import HeadstartError

BITS = 18
PIECE = 20_000  # characters of one example; a longer text gives several
BEST_SCORE, GOOD_SCORE = 5.0, 3.0  # FineWeb-Edu's scale, and what it keeps
PENALTIES = (1e-6, 1e-5, 1e-4)
TRAIN, CALIBRATE, TEST = 0, 1, 2
CALIBRATES, TESTS = 0.15, 0.15  # of the examples
FEWEST = 20  # good and bad examples in each part
BINS, FINE_BINS = 10, 25
ERRORS, OPENING = 10, 600  # of each kind, in the report, with so many characters
CURVE = 101
RESAMPLES = 1_000


@dataclass(frozen=True)
class LabelledTexts:
    """Texts as bags of buckets.

    Attributes:
        bags: one row a text, its counts divided by the root of their sum, `[N, 2^BITS]`.
        targets: how good each is, from 0 to 1, `[N]`.
        good: whether that counts as good, `[N]`.
        part: 0 to train, 1 to calibrate, 2 to test, `[N]`.
        openings: the beginnings of the texts of the test part, in their order.
    """

    bags: csr_matrix
    targets: np.ndarray
    good: np.ndarray
    part: np.ndarray
    openings: list[str]


def read_texts(paths: list[Path]) -> Iterator[tuple[str, Raw]]:
    """The texts in files or folders of any kind that a corpus is made from, long ones in pieces."""
    sources, _ = find_sources(paths)
    for task in plan_tasks(sources):
        for record in read(task, {}, {}):
            if isinstance(record, Raw):
                text = extract_text(record.text, record.url) if record.html else normalise(record.text)
                for piece in cut_into_pieces(text, PIECE):
                    yield piece, record


def labelled(positive: list[Path], negative: list[Path]) -> Iterator[tuple[str, float]]:
    """Examples of two kinds."""
    yield from ((text, 1.0) for text, _ in read_texts(positive))
    yield from ((text, 0.0) for text, _ in read_texts(negative))


def scored(paths: list[Path], field: str) -> Iterator[tuple[str, float]]:
    """Examples with a score from 0 to 5 in a field of their record.

    Raises:
        HeadstartError: a record has no such field, or something else in it.
    """
    for text, record in read_texts(paths):
        value = record.metadata.get(field)
        if not isinstance(value, int | float) or not 0 <= value <= BEST_SCORE:
            raise HeadstartError(
                f"{record.source}: the field {field!r} is {value!r}; it must be a score from 0 to 5"
            )
        yield text, float(value) / BEST_SCORE


def hash_examples(examples: Iterable[tuple[str, float]], seed: int) -> LabelledTexts:
    """Texts and their targets as bags, divided into parts by their content.

    Raises:
        HeadstartError: there are too few good or bad examples.
    """
    draw = int(np.random.default_rng(seed).integers(0, 2**32))
    found, counts, lengths, targets, parts, openings = [], [], [], [], [], []
    for text, target in examples:
        words = split_words(text)
        if not len(words.hashes):
            continue
        which, times = np.unique(buckets(words, 1 << BITS), return_counts=True)
        found.append(which.astype(np.int32))
        counts.append((times / np.sqrt(times.sum())).astype(np.float32))
        lengths.append(len(which))
        targets.append(target)
        parts.append(_part(words.digest(), draw))
        if parts[-1] == TEST:
            openings.append(text[:OPENING])
    y = np.array(targets)
    good = y >= GOOD_SCORE / BEST_SCORE
    part = np.array(parts)
    held_out = [
        int(((good == kind) & (part == one)).sum()) for kind in (True, False) for one in (CALIBRATE, TEST)
    ]
    if min(held_out) < FEWEST:
        raise HeadstartError(
            f"of {int(good.sum()):,} good and {int((~good).sum()):,} bad examples too few are held out to "
            f"calibrate and test (at least {FEWEST} of each are needed); give some hundreds of each"
        )
    bags = csr_matrix(
        (np.concatenate(counts), np.concatenate(found), np.concatenate([[0], np.cumsum(lengths)])),
        shape=(len(y), 1 << BITS),
    )
    return LabelledTexts(bags, y, good, part, openings)


def _part(digest: bytes, draw: int) -> int:
    """The part to which a text with this digest belongs."""
    place = ((int.from_bytes(digest[:4], "little") ^ draw) * 0x9E3779B97F4A7C15) % 2**64 >> 40
    uniform = place / 2**24
    return TEST if uniform < TESTS else CALIBRATE if uniform < TESTS + CALIBRATES else TRAIN


def train(examples: LabelledTexts, rule: str = "f1") -> tuple[QualityModel, QualityReport]:
    """A model, and the report of how good it is.

    Args:
        examples: from `hash_examples`.
        rule: how the threshold is chosen on the calibration part: `f1` (the greatest F1), `precision=0.9`
            (the lowest with that precision), or `keep=0.1` (so that this share of the texts is kept).
    """
    fits, calibrates, tests = (np.flatnonzero(examples.part == part) for part in (TRAIN, CALIBRATE, TEST))
    held, target = examples.bags[calibrates], examples.targets[calibrates]
    tried = []
    for penalty in PENALTIES:
        weights, bias = _fit(examples.bags[fits], examples.targets[fits], penalty)
        output = held @ weights + bias
        loss = float(np.mean(np.logaddexp(0, output) - target * output))
        tried.append((loss, penalty, weights, bias, output))
    loss, penalty, weights, bias, output = min(tried, key=lambda one: one[0])
    raw, calibrated = _calibration(output, target)
    chosen = np.interp(output, raw, calibrated)
    threshold = choose_threshold(chosen, examples.good[calibrates], rule)
    weights = weights.astype(np.float32)
    mark = hashlib.sha256(weights.tobytes() + raw.tobytes() + calibrated.tobytes()).hexdigest()[:16]
    model = QualityModel(weights, float(bias), raw, calibrated, threshold, mark)
    score = np.interp(examples.bags[tests] @ weights + bias, raw, calibrated)
    target, good = examples.targets[tests], examples.good[tests]
    report: QualityReport = {
        "headstart": __version__,
        "examples": {
            name: {"good": int(examples.good[rows].sum()), "bad": int((~examples.good[rows]).sum())}
            for name, rows in (("train", fits), ("calibrate", calibrates), ("test", tests))
        },
        "penalty": penalty,
        "calibration_loss": {str(one[1]): round(one[0], 5) for one in tried},
        "threshold_rule": rule,
        "threshold": threshold,
        "test": {
            **quality_scores(score, target, good, threshold),
            "errors": _errors(score, target, good, threshold, examples.openings),
        },
    }
    return model, report


def _fit(bags: csr_matrix, targets: np.ndarray, penalty: float) -> tuple[np.ndarray, float]:
    """Logistic regression on targets from 0 to 1, by L-BFGS; both classes weigh the same."""
    share = float(targets.mean())
    each = targets / (2 * share) + (1 - targets) / (2 * (1 - share))
    each /= each.sum()
    transposed = bags.T.tocsr()

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        weights, bias = parameters[:-1], parameters[-1]
        output = bags @ weights + bias
        residual = each * (1 / (1 + np.exp(-output)) - targets)
        value = float(each @ (np.logaddexp(0, output) - targets * output)) + penalty / 2 * float(
            weights @ weights
        )
        return value, np.append(transposed @ residual + penalty * weights, residual.sum())

    start = np.zeros(bags.shape[1] + 1)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 200, "maxcor": 10})
    return found.x[:-1], float(found.x[-1])


def _calibration(output: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Knots of an isotonic map from the model's output to the mean target."""
    isotonic = IsotonicRegression(out_of_bounds="clip").fit(output, target)
    return isotonic.X_thresholds_.astype(np.float64), isotonic.y_thresholds_.astype(np.float64)


def choose_threshold(score: np.ndarray, good: np.ndarray, rule: str) -> float:
    """The threshold that a rule chooses on held-out texts; texts that score as much are kept.

    Raises:
        HeadstartError: there is no such rule, or nothing fulfils it.
    """
    name, _, number = rule.partition("=")
    candidates, precision, recall = _curve(score, good)
    if rule == "f1":
        f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
        return float(candidates[np.argmax(f1)])
    try:
        wanted = float(number)
    except ValueError:
        wanted = -1.0
    if name not in ("precision", "keep") or not 0 < wanted <= 1:
        raise HeadstartError(f"there is no threshold rule {rule!r}; give f1, precision=0.9 or keep=0.1")
    if name == "keep":
        return float(np.quantile(score, 1 - wanted))
    reached = np.flatnonzero(precision >= wanted)
    if not len(reached):
        raise HeadstartError(
            f"no threshold reaches precision {wanted:g}, the best {precision.max():.3f}; give more examples"
        )
    return float(candidates[reached[0]])


def _curve(score: np.ndarray, good: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Thresholds in ascending order with precision and recall of what scores as much or more."""
    thresholds, group = np.unique(score, return_inverse=True)
    kept = np.cumsum(np.bincount(group)[::-1])[::-1]
    right = np.cumsum(np.bincount(group, weights=good)[::-1])[::-1]
    return thresholds, right / kept, right / max(int(good.sum()), 1)


def quality_scores(
    score: np.ndarray, target: np.ndarray, good: np.ndarray, threshold: float
) -> QualityScores:
    """How well scores tell good texts from bad ones, and how far they are probabilities."""
    thresholds, precision, recall = _curve(score, good)
    shown = np.unique(np.linspace(0, len(thresholds) - 1, CURVE).astype(int))
    rng = np.random.default_rng(0)
    resampled = [
        _at(score[rows], good[rows], threshold)["f1"]
        for rows in rng.integers(0, len(score), (RESAMPLES, len(score)))
    ]
    bins = np.minimum((score * BINS).astype(int), BINS - 1)
    reliability: list[Calibrated] = [
        {
            "n": int(np.count_nonzero(bins == one)),
            "score": round(float(score[bins == one].mean()), 4),
            "target": round(float(target[bins == one].mean()), 4),
            "standard_error": round(float(target[bins == one].std() / np.sqrt((bins == one).sum())), 4),
        }
        for one in np.unique(bins)
    ]
    error = sum(row["n"] * abs(row["score"] - row["target"]) for row in reliability) / len(score)
    return {
        "n": len(score),
        **_at(score, good, threshold),
        "f1_95": [round(float(edge), 4) for edge in np.quantile(resampled, (0.025, 0.975))],
        "area_under_roc": round(float(roc_auc_score(good, score)), 4),
        "average_precision": round(float(average_precision_score(good, score)), 4),
        "brier": round(float(np.mean((score - target) ** 2)), 4),
        "calibration_error": round(error, 4),
        "calibration": reliability,
        "scores": {
            name: np.histogram(score[which], FINE_BINS, (0, 1))[0].tolist()
            for name, which in (("good", good), ("bad", ~good))
        },
        "precision_recall": [
            {"threshold": round(float(t), 4), "precision": round(float(p), 4), "recall": round(float(r), 4)}
            for t, p, r in zip(thresholds[shown], precision[shown], recall[shown], strict=True)
        ],
    }


def _errors(
    score: np.ndarray, target: np.ndarray, good: np.ndarray, threshold: float, openings: list[str]
) -> dict[str, list[WrongText]]:
    """The texts that are furthest on the wrong side of the threshold."""
    by_score = np.argsort(score, kind="stable")
    wrong = {
        "kept_bad": by_score[::-1][(~good & (score >= threshold))[by_score[::-1]]],
        "lost_good": by_score[(good & (score < threshold))[by_score]],
    }
    return {
        kind: [
            {"score": round(float(score[at]), 4), "target": round(float(target[at]), 4), "text": openings[at]}
            for at in places[:ERRORS].tolist()
        ]
        for kind, places in wrong.items()
    }


def _at(score: np.ndarray, good: np.ndarray, threshold: float) -> AtThreshold:
    kept = score >= threshold
    right = int(np.count_nonzero(kept & good))
    precision = right / max(int(kept.sum()), 1)
    recall = right / max(int(good.sum()), 1)
    return {
        "kept": round(float(kept.mean()), 4),
        "precision": round(precision, 4),
        "recall": round(recall, 4),
        "f1": round(2 * precision * recall / max(precision + recall, 1e-12), 4),
    }
