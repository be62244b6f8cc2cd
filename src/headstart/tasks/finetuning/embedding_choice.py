"""Whether the embedding learns a task or stays as pre-training left it: the labels decide.

AdamW moves every entry by about its rate, however small the gradient. A hundred long texts hold thousands of
tokens, most of them in one or two texts, and their vectors, which are free to go, learn these texts by heart.
Where the pre-trained vectors already tell the labels apart, that loses what pre-training gave; where they do
not, because the task's words mean something else or were hardly seen, they have to learn. So both are asked
of the labels themselves, by cross-validation: a linear head on the mean of each text's pre-trained vectors,
and one on its counted tokens, which knows nothing but the labels. What was measured stands in
docs/research-log.md, section 12.
"""

import math
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_array, diags_array
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import RepeatedStratifiedKFold
from threadpoolctl import threadpool_limits

from headstart.tasks.kinds.packing import EncodedWindow

FOLDS, REPEATS = 4, 3
VECTOR_STRENGTHS, COUNT_STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0), (1.0, 10.0, 100.0)
"""Inverse strengths of regularisation of the two heads; the one with the lowest held-out loss counts."""
LEAST_EXAMPLES, MOST_EXAMPLES = 24, 1000
"""With fewer there is nothing to cross-validate; with more most tokens have been seen often, and the
embedding learns."""
MARGIN = 0.04
"""The share of the labels' entropy that the vectors have to tell beyond the counts for the embedding to be
held."""
FAR = 0.3
"""How far entries must be able to go for the question to arise, as a share of their size."""
LEAST_CHANCE = 1e-3
"""A label's probability where a fold gave it less, or has never seen it."""


@dataclass(frozen=True)
class Evidence:
    """What the labels say of the pre-trained vectors: the shares of the labels' entropy that held-out
    examples' probabilities account for (1: all of it, 0: no more than the labels' frequencies)."""

    vectors: float
    counts: float

    @property
    def hold(self) -> bool:
        """Whether the embedding is better left alone."""
        return self.vectors - max(self.counts, 0.0) >= MARGIN


def can_leave(table: np.ndarray, rates: float) -> bool:
    """Whether a fine-tuning could carry the entries of a table far from where they are.

    AdamW moves an entry by at most about its rate in a step, and the rate is half of its peak on average. A
    small model's vectors can go as far as they are large; those of a published model of 384 and more entries,
    at the rates that fit its width, by a few percent, and learn.

    Args:
        rates: the peak rate, times the steps.
    """
    return rates / 2 >= FAR * float(np.sqrt(np.square(table).mean()))


def weigh_evidence(
    table: np.ndarray, windows: Sequence[EncodedWindow], targets: Sequence[Any], seed: int
) -> Evidence | None:
    """Ask the labels; None where they are too few, or so many that the embedding learns anyway.

    Args:
        table: `[V, D]` the pre-trained vectors.
        windows: of all examples, each with its `owner`.
        targets: the label of each example.
        seed: of the folds.
    """
    often = Counter(targets)
    owners = [owner for owner, target in enumerate(targets) if often[target] >= FOLDS]
    labels = np.array([str(targets[owner]) for owner in owners])
    if not LEAST_EXAMPLES <= len(owners) <= MOST_EXAMPLES or len(set(labels)) < 2:
        return None
    counts, tokens = token_counts(windows, owners)
    # All of one length, as the norm after most embeddings makes them.
    vectors = table[tokens] / np.maximum(np.linalg.norm(table[tokens], axis=1, keepdims=True), 1e-12)
    means = (counts @ vectors) / np.asarray(counts.sum(1))[:, None]  # [examples, D]
    means = (means - means.mean(0)) / (means.std(0) + 1e-6)
    _, sizes = np.unique(labels, return_counts=True)
    entropy = float(-(sizes / len(labels) * np.log(sizes / len(labels))).sum())
    with threadpool_limits(1, "blas"):  # as for counted words: threads would wait for each other
        return Evidence(
            1 - held_out_loss(means, labels, VECTOR_STRENGTHS, seed) / entropy,
            1 - held_out_loss(weighted(counts), labels, COUNT_STRENGTHS, seed) / entropy,
        )


def token_counts(windows: Sequence[EncodedWindow], owners: Sequence[int]) -> tuple[csr_array, np.ndarray]:
    """How often each example holds each token, `[examples, tokens]`, and the ids of the tokens; what lies in
    two windows counts twice."""
    row_of = {owner: row for row, owner in enumerate(owners)}
    chosen = [window for window in windows if window.owner in row_of]
    tokens, columns = np.unique(np.concatenate([window.ids for window in chosen]), return_inverse=True)
    rows = np.repeat([row_of[window.owner] for window in chosen], [len(window.ids) for window in chosen])
    counted = csr_array((np.ones(len(columns)), (rows, columns)), (len(owners), len(tokens)))
    counted.sum_duplicates()
    return counted, tokens


def weighted(counts: csr_array) -> csr_array:
    """TF-IDF: 1 + log of the count, times the token's rarity in these examples; rows of length 4, at which
    `COUNT_STRENGTHS` fit."""
    held = np.bincount(counts.indices, minlength=counts.shape[1])
    rarity = np.log((1 + counts.shape[0]) / (1 + held)) + 1
    made = counts.copy()
    made.data = 1 + np.log(made.data)
    made = csr_array(made @ diags_array(rarity))
    length = np.sqrt(np.asarray(made.multiply(made).sum(1)))
    return csr_array(diags_array(4 / np.maximum(length, 1e-9)) @ made)


def held_out_loss(features: Any, labels: np.ndarray, strengths: Sequence[float], seed: int) -> float:
    """Mean cross-entropy in nats of labels that a logistic regression has not seen, at its best strength."""
    chosen = RepeatedStratifiedKFold(n_splits=FOLDS, n_repeats=REPEATS, random_state=seed)
    folds = list(chosen.split(labels, labels))
    losses = []
    for strength in strengths:
        total = 0.0
        for learned, held in folds:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)  # a loss near its lowest is enough
                head = LogisticRegression(C=strength, max_iter=100).fit(features[learned], labels[learned])
            place = {label: number for number, label in enumerate(head.classes_)}
            for chances, label in zip(head.predict_proba(features[held]), labels[held], strict=True):
                total -= math.log(max(float(chances[place[label]]), LEAST_CHANCE))
        losses.append(total / len(labels) / REPEATS)
    return min(losses)
