"""Metrics are scikit-learn's, with honest intervals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score

from headstart.tasks.metrics import accuracy, macro_f1, score, token_accuracy

answers = st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("abcde")), min_size=1, max_size=60)


@given(answers)
def test_equal_to_scikit_learn(pairs):
    truth, predicted = [t for t, _ in pairs], [p for _, p in pairs]
    right, f1 = score("classification", truth, predicted)
    assert right.value == pytest.approx(accuracy_score(truth, predicted))
    assert f1.value == pytest.approx(f1_score(truth, predicted, average="macro", zero_division=0))
    assert right.n == f1.n == len(pairs)
    assert right.low <= right.value <= right.high


@given(answers, st.integers(1, 7))
def test_token_accuracy_counts_words(pairs, size):
    sentences = [pairs[i : i + size] for i in range(0, len(pairs), size)]
    truth, predicted = ([[pair[side] for pair in s] for s in sentences] for side in (0, 1))
    found = token_accuracy(truth, predicted)
    assert found.value == pytest.approx(accuracy_score([t for t, _ in pairs], [p for _, p in pairs]))
    assert found.n == len(pairs)
    assert found.low - 1e-9 <= found.value <= found.high + 1e-9


def test_intervals_are_those_of_resampling():
    random = np.random.default_rng(3)
    truth = random.choice(list("abc"), 200)
    predicted = np.where(random.random(200) < 0.7, truth, random.choice(list("abc"), 200))
    draws = [random.integers(0, 200, 200) for _ in range(1000)]
    for metric, reference in (
        (accuracy, accuracy_score),
        (macro_f1, lambda t, p: f1_score(t, p, average="macro", zero_division=0)),
    ):
        low, high = np.quantile([reference(truth[d], predicted[d]) for d in draws], [0.025, 0.975])
        found = metric(truth.tolist(), predicted.tolist())
        assert found.low == pytest.approx(low, abs=0.015)
        assert found.high == pytest.approx(high, abs=0.015)
