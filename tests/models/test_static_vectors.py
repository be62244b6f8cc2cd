"""Static vectors: counts against plain loops, and what a model that starts from them keeps."""

from math import log

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.models.registry import make_config
from headstart.models.transformer import build
from headstart.models.vectors.static_vectors import (
    PASSAGE,
    WINDOW,
    cooccurrence,
    factors,
    passage_cooccurrence,
    passage_starts,
    positive_information,
    start_from_static,
    token_vectors,
)

SPECIALS = 4


@given(st.lists(st.integers(0, 9), min_size=1, max_size=60))
@settings(deadline=None, max_examples=50)
def test_counts_are_those_of_plain_loops(stream: list[int]) -> None:
    contexts = np.array([7, 2, 5])
    expected = np.zeros((10, 3))
    for place, token in enumerate(stream):
        for other in range(max(0, place - WINDOW), min(len(stream), place + WINDOW + 1)):
            for column, context in enumerate(contexts):
                if other != place and stream[other] == context:
                    expected[token, column] += 1 / abs(other - place)
    np.testing.assert_allclose(cooccurrence(np.array(stream), 10, contexts), expected, rtol=1e-5)


@given(st.lists(st.lists(st.integers(0, 9), max_size=8), min_size=1, max_size=6).filter(any))
@settings(deadline=None, max_examples=50)
def test_counts_of_passages_are_those_of_plain_loops(texts: list[list[int]]) -> None:
    contexts = np.array([7, 2, 5])
    expected = np.zeros((10, 3))
    for text in texts:
        weights = {token: 1 + log(text.count(token)) for token in text}
        for token, weight in weights.items():
            for column, context in enumerate(contexts):
                expected[token, column] += weight * weights.get(context, 0) / sum(weights.values())
    stream = np.array([token for text in texts for token in text])
    documents = np.repeat(np.arange(len(texts)), [len(text) for text in texts])
    np.testing.assert_allclose(
        passage_cooccurrence(stream, passage_starts(documents), 10, contexts), expected, rtol=1e-5, atol=1e-6
    )


def test_a_long_document_is_several_passages() -> None:
    lengths = [3, PASSAGE, 2 * PASSAGE + 1, 1]
    starts = passage_starts(np.repeat([4, 7, 8, 9], lengths))
    assert np.diff(starts, append=sum(lengths)).tolist() == [3, PASSAGE, PASSAGE, PASSAGE, 1, 1]


def test_information_is_zero_where_tokens_are_independent_and_never_below() -> None:
    """Without smoothing's discount two tokens that meet as often as chance has it carry no information."""
    even = positive_information(np.full((4, 4), 2.0, dtype=np.float32))
    torch.testing.assert_close(even, torch.zeros(4, 4), atol=1e-5, rtol=0)
    rows = np.array([[8.0, 0.0], [1.0, 7.0]], dtype=np.float32)
    information = positive_information(rows)
    assert (information >= 0).all()
    assert information[0, 0] > 0
    assert information[0, 1] == 0


@pytest.fixture(scope="module")
def stream() -> np.ndarray:
    """Two topics of twenty tokens that never mix, in blocks of thirty."""
    random = np.random.default_rng(0)
    topics = (np.arange(SPECIALS, 24), np.arange(24, 44))
    return np.concatenate([random.choice(topics[block % 2], 30) for block in range(400)])


@pytest.fixture(scope="module")
def documents(stream: np.ndarray) -> np.ndarray:
    """A block of thirty is a document."""
    return np.arange(len(stream)) // 30


def test_tokens_that_keep_company_have_similar_vectors(stream: np.ndarray, documents: np.ndarray) -> None:
    frequencies = np.bincount(stream, minlength=44)
    vectors = token_vectors(stream, documents, frequencies, width=16, seed=0)[SPECIALS:]
    directions = vectors / vectors.norm(dim=1, keepdim=True)
    similarity = directions @ directions.T
    same = torch.block_diag(torch.ones(20, 20), torch.ones(20, 20)).bool()
    off_diagonal = ~torch.eye(40, dtype=torch.bool)
    assert similarity[same & off_diagonal].mean() > similarity[~same].mean() + 0.5


def test_tokens_that_share_passages_are_alike_though_never_near_each_other() -> None:
    """A document of either kind begins and ends with words of its kind, around a middle common to both."""
    random = np.random.default_rng(0)
    texts = []
    for number in range(600):
        own = 5 * (number % 2)
        parts = (random.integers(own, own + 5, 4), random.integers(20, 40, 20))
        texts.append(np.concatenate([*parts, random.integers(10 + own, 15 + own, 4)]))
    stream, documents = np.concatenate(texts), np.repeat(np.arange(600), 28)
    same = torch.block_diag(torch.ones(5, 5), torch.ones(5, 5)).bool()

    def told_apart(counts: np.ndarray) -> float:
        vectors = factors(positive_information(counts), 4)
        directions = vectors / vectors.norm(dim=1, keepdim=True)
        similarity = directions[:10] @ directions[10:20].T
        return float(similarity[same].mean() - similarity[~same].mean())

    contexts = np.arange(40)
    assert told_apart(passage_cooccurrence(stream, passage_starts(documents), 40, contexts)) > 0.8
    assert told_apart(cooccurrence(stream, 40, contexts)) < 0.3


def test_no_information_gives_no_direction() -> None:
    assert (
        token_vectors(np.zeros(5, dtype=int), np.zeros(5, dtype=int), np.array([5, 0]), 8, 0).isfinite().all()
    )


def test_the_same_seed_gives_the_same_vectors_and_leaves_the_global_one_alone(
    stream: np.ndarray, documents: np.ndarray
) -> None:
    counts = np.bincount(stream, minlength=44)
    state = torch.random.get_rng_state()
    first, second = (token_vectors(stream, documents, counts, 16, seed=3) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize("family", ["headstart-encoder", "headstart-decoder"])
def test_a_start_changes_the_embedding_alone_and_keeps_special_tokens(
    family: str, stream: np.ndarray, documents: np.ndarray
) -> None:
    sizes = {"layers": 1, "width": 64, "heads": 2, "kv_heads": 2, "feedforward_width": 64}
    config = make_config(family, sizes | {"vocab_size": 50, "context": 16})
    plain, started = build(config, 0), build(config, 0)
    start_from_static(started, stream, documents, seed=0, special=frozenset(range(SPECIALS)))
    for name, weight in plain.state_dict().items():
        same = torch.equal(weight, started.state_dict()[name])
        assert same == (name != "embedding.weight"), name
    assert torch.equal(plain.embedding.weight[:SPECIALS], started.embedding.weight[:SPECIALS])
    assert started.embedding.weight.isfinite().all()  # also of tokens that never occur, and width > contexts
    assert float(started.embedding.weight.detach().std()) == pytest.approx(0.02, rel=0.2)
