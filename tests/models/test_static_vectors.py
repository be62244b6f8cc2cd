"""Static vectors: counts against plain loops, and what a model that starts from them keeps."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.models.registry import make_config
from headstart.models.static_vectors import (
    WINDOW,
    cooccurrence,
    positive_information,
    start_from_static,
    token_vectors,
)
from headstart.models.transformer import build

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


def test_tokens_that_keep_company_have_similar_vectors(stream: np.ndarray) -> None:
    vectors = token_vectors(stream, np.bincount(stream, minlength=44), width=16, seed=0)[SPECIALS:]
    directions = vectors / vectors.norm(dim=1, keepdim=True)
    similarity = directions @ directions.T
    same = torch.block_diag(torch.ones(20, 20), torch.ones(20, 20)).bool()
    off_diagonal = ~torch.eye(40, dtype=torch.bool)
    assert similarity[same & off_diagonal].mean() > similarity[~same].mean() + 0.5


def test_the_same_seed_gives_the_same_vectors_and_leaves_the_global_one_alone(stream: np.ndarray) -> None:
    counts = np.bincount(stream, minlength=44)
    state = torch.random.get_rng_state()
    first, second = (token_vectors(stream, counts, 16, seed=3) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize("family", ["headstart-encoder", "headstart-decoder"])
def test_a_start_changes_the_embedding_alone_and_keeps_special_tokens(
    family: str, stream: np.ndarray
) -> None:
    sizes = {"layers": 1, "width": 64, "heads": 2, "kv_heads": 2, "feedforward_width": 64}
    config = make_config(family, sizes | {"vocab_size": 50, "context": 16})
    plain, started = build(config, 0), build(config, 0)
    start_from_static(started, stream, seed=0, special=frozenset(range(SPECIALS)))
    for name, weight in plain.state_dict().items():
        same = torch.equal(weight, started.state_dict()[name])
        assert same == (name != "embedding.weight"), name
    assert torch.equal(plain.embedding.weight[:SPECIALS], started.embedding.weight[:SPECIALS])
    assert started.embedding.weight.isfinite().all()  # also of tokens that never occur, and width > contexts
    assert float(started.embedding.weight.detach().std()) == pytest.approx(0.02, rel=0.2)
