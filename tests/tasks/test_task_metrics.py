"""Metrics are those of the reference packages, with honest intervals."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sk

from headstart.errors import HeadstartError
from headstart.tasks.metrics import measure, score
from headstart.tasks.metrics.answers import answer_f1, exact_match
from headstart.tasks.metrics.bootstrap import compare_measurements, mean
from headstart.tasks.metrics.correlation import pearson, spearman
from headstart.tasks.metrics.entities import (
    Entity,
    entities,
    entity_f1,
    entity_kinds,
    entity_precision,
    entity_recall,
    marks_entities,
    of_kind,
)
from headstart.tasks.metrics.labels import (
    accuracy,
    brier,
    calibration_error,
    confusion,
    f1,
    matthews,
    squared_distance,
    token_accuracy,
)
from headstart.tasks.metrics.language import bits_per_byte, perplexity
from headstart.tasks.metrics.overlap import bleu, chrf, rouge_l, rouge_lsum, rouge_n
from headstart.tasks.metrics.ranking import recall_at, reciprocal_rank

PARITY = json.loads(Path(__file__).with_name("metric_parity.json").read_text(encoding="utf-8"))
OVERLAP = {
    "bleu": bleu,
    "chrf": chrf,
    "rouge1": lambda references, predicted: rouge_n(references, predicted, 1),
    "rouge2": lambda references, predicted: rouge_n(references, predicted, 2),
    "rougeL": rouge_l,
    "rougeLsum": rouge_lsum,
}
answers = st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("abcde")), min_size=1, max_size=60)
several = st.lists(
    st.tuples(st.sets(st.sampled_from("abc")), st.sets(st.sampled_from("abc"))), min_size=1, max_size=20
)
numbers = st.lists(st.tuples(st.integers(-5, 5), st.integers(-5, 5)), min_size=3, max_size=30)
average = st.sampled_from(["micro", "macro", "weighted"])


@pytest.mark.filterwarnings("ignore:A single label was found")
@given(answers, average)
def test_labels_equal_scikit_learn(pairs, kind):
    truth, predicted = [t for t, _ in pairs], [p for _, p in pairs]
    assert accuracy(truth, predicted).value == pytest.approx(sk.accuracy_score(truth, predicted))
    expected = sk.f1_score(truth, predicted, average=kind, zero_division=0)
    assert f1(truth, predicted, kind).value == pytest.approx(expected)
    assert matthews(truth, predicted).value == pytest.approx(sk.matthews_corrcoef(truth, predicted))
    table = confusion(truth, predicted)
    order = sorted({*truth, *predicted})
    cells = [[table.get(t, {}).get(p, 0) for p in order] for t in order]
    assert cells == sk.confusion_matrix(truth, predicted, labels=order).tolist()


@given(several, average)
def test_several_labels_equal_scikit_learn(pairs, kind):
    truth, predicted = [sorted(t) for t, _ in pairs], [sorted(p) for _, p in pairs]
    tables = [np.array([[label in one for label in "abc"] for one in side]) for side in (truth, predicted)]
    used = (tables[0] | tables[1]).any(0)  # scikit-learn counts labels that never occur in its macro mean
    assume(used.any())
    expected = sk.f1_score(*(table[:, used] for table in tables), average=kind, zero_division=0)
    found = f1(truth, predicted, kind).value
    if used.sum() > 1:  # one column alone is no table of labels to scikit-learn
        assert found == pytest.approx(expected)
    assert accuracy(truth, predicted).value == pytest.approx((tables[0] == tables[1]).all(1).mean())


@given(answers, st.integers(1, 7))
def test_token_accuracy_counts_words(pairs, size):
    sentences = [pairs[i : i + size] for i in range(0, len(pairs), size)]
    truth, predicted = ([[pair[side] for pair in s] for s in sentences] for side in (0, 1))
    found = token_accuracy(truth, predicted).score
    assert found.value == pytest.approx(sk.accuracy_score([t for t, _ in pairs], [p for _, p in pairs]))
    assert found.n == len(pairs)
    assert found.low - 1e-9 <= found.value <= found.high + 1e-9


@given(numbers, st.randoms(use_true_random=False))
def test_correlations_equal_scipy_in_every_resample(pairs, random):
    x, y = (np.array([pair[side] for pair in pairs], dtype=float) for side in (0, 1))
    weights = np.bincount([random.randrange(len(x)) for _ in x], minlength=len(x))
    for copies in (np.ones(len(x), int), weights):
        first, second = np.repeat(x, copies), np.repeat(y, copies)
        for ours, theirs in ((pearson, stats.pearsonr), (spearman, stats.spearmanr)):
            found = ours(x, y).under(copies[None].astype(float))[0]
            if first.std() == 0 or second.std() == 0:
                assert math.isnan(found)
            else:
                assert found == pytest.approx(theirs(first, second).statistic, abs=1e-9)


def test_a_resample_may_be_constant():
    measured = pearson([0, 5, 0], [1, 0, 0])
    assert math.isnan(measured.under(np.array([[0.0, 1.0, 2.0]]))[0])
    assert measured.score.low <= measured.value <= measured.score.high


def test_correlations_of_large_numbers():
    x = np.arange(20.0)
    assert pearson(1e9 + x, -x).value == pytest.approx(-1)


@pytest.mark.parametrize("case", PARITY["overlap"], ids=lambda case: None)
def test_overlap_equals_sacrebleu_and_rouge_score(case):
    for name, metric in OVERLAP.items():
        found = metric(case["references"], case["predicted"]).value
        assert found == pytest.approx(case["figures"][name], abs=1e-9), name


@given(st.lists(st.text(" ab.1\n", max_size=12), min_size=1, max_size=5))
def test_overlap_of_a_text_with_itself(texts):
    same = [[text] for text in texts]
    whole = any(len("".join(text.split())) for text in texts)
    assert chrf(same, texts).value == pytest.approx(100 * whole)
    assert rouge_l(same, texts).value == pytest.approx(rouge_n(same, texts, 1).value)
    assert bleu(same, texts).value in (pytest.approx(0), pytest.approx(100))


@pytest.mark.parametrize("case", PARITY["entities"], ids=lambda case: None)
def test_entities_equal_seqeval(case):
    for name, metric in (("f1", entity_f1), ("precision", entity_precision), ("recall", entity_recall)):
        assert metric(case["truth"], case["predicted"]).value == pytest.approx(case["figures"][name])


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        ("I-A I-A O I-A", [("A", 0, 1), ("A", 3, 3)]),
        ("I-A B-A I-A", [("A", 0, 0), ("A", 1, 2)]),
        ("B-A I-B E-B S-B", [("A", 0, 0), ("B", 1, 2), ("B", 3, 3)]),
        ("B-A L-A U-A O", [("A", 0, 1), ("A", 2, 2)]),
        ("O O", []),
    ],
)
def test_entities_in_every_scheme(tags, found):
    assert entities(tags.split()) == [Entity(*one) for one in found]


def test_entities_are_told_from_parts_of_speech():
    assert marks_entities([["O", "B-PER"], ["I-LOC"]])
    assert not marks_entities([["NOUN", "O"]])
    assert not marks_entities([["O", "O"]])
    truth, predicted = [["B-X", "O", "B-Y"], ["B-X", "O"]], [["B-X", "O", "O"], ["O", "B-Z"]]
    assert entity_kinds(truth, predicted) == ["X", "Y", "Z"]
    assert of_kind(truth[0], "Y") == ["O", "O", "B-Y"]
    found = measure("tagging", truth, predicted)
    assert [one.metric for one in found] == ["entity F1", "token accuracy"]
    assert (found[0].n, found[1].n) == (3, 5)


def test_answers_equal_squad():
    for case in PARITY["answers"]:
        right, answer = [case["right"]], [case["answer"]]
        assert exact_match(right, answer).value == case["figures"]["exact"], case
        assert answer_f1(right, answer).value == pytest.approx(case["figures"]["f1"]), case


@pytest.mark.parametrize(
    ("right", "answer", "exact", "shared"),
    [
        (["The Beatles!"], "beatles", 1, 1),
        (["cat", "black cat"], "a black cat", 1, 1),
        (["black cat"], "cat", 0, 2 / 3),
        ([], "", 1, 1),
        ([], "cat", 0, 0),
        (["cat"], "", 0, 0),
    ],
)
def test_answers(right, answer, exact, shared):
    assert exact_match([right], [answer]).value == exact
    assert answer_f1([right], [answer]).value == pytest.approx(shared)


def test_calibration_of_known_probabilities():
    random = np.random.default_rng(0)
    confidence = random.uniform(0.5, 1, 20_000)
    honest = random.random(20_000) < confidence
    assert calibration_error(confidence, honest).value < 0.02
    assert calibration_error(np.full(10, 0.9), np.arange(10) < 6).value == pytest.approx(0.3)
    assert calibration_error(np.array([0.0, 1.0]), np.array([0, 1])).value == 0


@given(st.integers(2, 5), st.integers(1, 20), st.integers(0, 99))
def test_brier_equals_scikit_learn(labels, texts, seed):
    random = np.random.default_rng(seed)
    probabilities, truth = random.dirichlet(np.ones(labels), texts), random.integers(0, labels, texts)
    expected = sk.brier_score_loss(truth, probabilities, labels=list(range(labels)), scale_by_half=False)
    assert brier(squared_distance(probabilities, truth)).value == pytest.approx(expected)


def test_language_and_ranking():
    assert perplexity([2 * math.log(8), 0.0], [1, 1]).value == pytest.approx(8)
    assert bits_per_byte([math.log(2) * 30, math.log(2) * 10], [10, 10]).score.value == pytest.approx(2)
    ranked = [["a", "b", "c"], ["c", "a", "b"]]
    assert recall_at(2, [{"a", "b"}, {"b"}], ranked).value == pytest.approx(0.5)
    assert reciprocal_rank([{"a"}, {"b", "x"}], ranked).value == pytest.approx((1 + 1 / 3) / 2)


def test_intervals_are_those_of_resampling():
    random = np.random.default_rng(3)
    truth = random.choice(list("abc"), 200)
    predicted = np.where(random.random(200) < 0.7, truth, random.choice(list("abc"), 200))
    draws = [random.integers(0, 200, 200) for _ in range(1000)]
    for metric, reference in (
        (accuracy, sk.accuracy_score),
        (f1, lambda t, p: sk.f1_score(t, p, average="macro", zero_division=0)),
        (matthews, sk.matthews_corrcoef),
    ):
        low, high = np.quantile([reference(truth[d], predicted[d]) for d in draws], [0.025, 0.975])
        found = metric(truth.tolist(), predicted.tolist()).score
        assert found.low == pytest.approx(low, abs=0.02)
        assert found.high == pytest.approx(high, abs=0.02)


def test_intervals_hold_the_truth_as_often_as_they_say():
    random = np.random.default_rng(5)
    scores = [mean("accuracy", random.random(100) < 0.8).score for _ in range(200)]
    held = sum(score.low <= 0.8 <= score.high for score in scores)
    assert 178 <= held <= 200  # 95 % of 200 is 190; fewer than 178 happens once in 20,000 times


def test_paired_comparison():
    random = np.random.default_rng(7)
    easy = random.random(500) < 0.7
    better = easy | (random.random(500) < 0.15)
    first, second = mean("accuracy", better), mean("accuracy", easy)
    found = compare_measurements(first, second)
    assert found.difference == pytest.approx(first.value - second.value)
    assert 0 < found.low < found.difference < found.high
    assert found.p < 0.01
    turned = compare_measurements(second, first)
    assert (turned.low, turned.high, turned.p) == (-found.high, -found.low, found.p)
    assert compare_measurements(first, first).p == 1
    # What both share cancels out: the interval is narrower than that of either.
    assert found.high - found.low < first.score.high - first.score.low
    with pytest.raises(HeadstartError, match="same examples"):
        compare_measurements(first, mean("accuracy", easy[:10]))


def test_many_examples_take_little_memory(monkeypatch):
    monkeypatch.setattr("headstart.tasks.metrics.bootstrap.CHUNK", 1000)
    values = np.random.default_rng(0).random(300)
    in_chunks = mean("accuracy", values).score
    monkeypatch.undo()
    at_once = mean("accuracy", values).score
    for figure in ("value", "low", "high"):  # sums in another order are rounded differently
        assert getattr(in_chunks, figure) == pytest.approx(getattr(at_once, figure), rel=1e-12)


def test_nothing_has_no_score():
    with pytest.raises(HeadstartError, match="of nothing"):
        score("classification", [], [])
