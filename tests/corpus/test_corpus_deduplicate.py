"""Duplicates: the S-curve, groups, and the rule that says which copy stays."""

import numpy as np
import pytest

from headstart.corpus.deduplicate import exact, near, signatures, similarity

BANDS, ROWS = 14, 8


def pairs(count: int, shared: int, own: int, seed: int) -> list[np.ndarray]:
    """Pairs of shingle sets with the Jaccard similarity shared / (shared + 2 own), one after the other."""
    rng = np.random.default_rng(seed)
    sets = []
    for _ in range(count):
        values = rng.integers(0, 2**64, shared + 2 * own, dtype=np.uint64)
        sets += [values[: shared + own], np.concatenate([values[:shared], values[shared + own :]])]
    return sets


@pytest.mark.parametrize(
    ("shared", "own", "jaccard"),
    [(100, 50, 0.5), (140, 30, 0.7), (150, 25, 0.75), (160, 20, 0.8), (170, 15, 0.85)],
)
def test_s_curve(shared: int, own: int, jaccard: float) -> None:
    count = 1500
    matrix = signatures(pairs(count, shared, own, seed=shared), BANDS * ROWS)
    found = near(matrix, BANDS, np.ones(2 * count))
    expected = 1 - (1 - jaccard**ROWS) ** BANDS
    spread = 4 * (expected * (1 - expected) / count) ** 0.5
    assert len(found.gone) / count == pytest.approx(expected, abs=spread)
    even = np.arange(0, 2 * count, 2)
    assert similarity(matrix, even, even + 1).mean() == pytest.approx(jaccard, abs=0.01)


def test_groups_keep_the_longest_and_then_the_first() -> None:
    base = np.arange(1000, 1300, dtype=np.uint64)
    other = np.arange(5000, 5300, dtype=np.uint64)
    matrix = signatures([base, other, base, base], BANDS * ROWS)
    found = near(matrix, BANDS, np.array([10, 99, 20, 20]))
    assert found.gone.tolist() == [0, 3]
    assert found.kept.tolist() == [2, 2]


def test_groups_do_not_depend_on_the_order() -> None:
    matrix = signatures(pairs(200, 160, 20, seed=1), BANDS * ROWS)
    sizes = np.arange(400) + 1
    gone = set(near(matrix, BANDS, sizes).gone.tolist())
    order = np.random.default_rng(0).permutation(400)
    again = {int(order[i]) for i in near(matrix[order], BANDS, sizes[order]).gone}
    assert gone == again


def test_exact_keeps_the_first() -> None:
    digests = np.frombuffer(b"".join(letter * 16 for letter in (b"b", b"a", b"b", b"\0", b"b")), "V16")
    found = exact(digests)
    assert found.gone.tolist() == [2, 4]
    assert found.kept.tolist() == [0, 0]


def test_nothing_at_all() -> None:
    empty = signatures([], BANDS * ROWS)
    assert len(near(empty, BANDS, np.zeros(0)).gone) == 0
    assert len(exact(np.zeros(0, "V16")).gone) == 0
