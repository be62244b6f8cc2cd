"""Duplicates: the S-curve, groups, and the rule that says which copy stays."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.corpus.dedup.deduplicate import (
    KEYED,
    Duplicates,
    band_keys,
    best_of,
    components,
    digest_keys,
    exact,
    jaccard,
    links,
    merged,
    signatures,
    similarity,
)
from headstart.corpus.work import save, slices

BANDS, ROWS = 14, 8


def pairs(count: int, shared: int, own: int, seed: int) -> list[np.ndarray]:
    """Pairs of shingle sets with the Jaccard similarity shared / (shared + 2 own), one after the other."""
    rng = np.random.default_rng(seed)
    sets = []
    for _ in range(count):
        values = rng.integers(0, 2**64, shared + 2 * own, dtype=np.uint64)
        sets += [values[: shared + own], np.concatenate([values[:shared], values[shared + own :]])]
    return sets


def grouped(matrix: np.ndarray, worth: np.ndarray, partitions: int = 1, folder=None) -> Duplicates:
    """All steps, the keys cut into partitions."""
    keyed = band_keys(matrix, BANDS, np.arange(len(matrix)))
    parts = [keyed]
    if partitions > 1:
        save(folder / "keys.npy", keyed)
        parts = [merged(slices([folder / "keys.npy"], one, partitions)) for one in range(partitions)]
        assert sum(map(len, parts)) == len(keyed)
    nodes, label = components(np.concatenate([links(part) for part in parts]))
    best = best_of(label, worth[nodes], nodes)
    kept = best["document"][np.searchsorted(best["label"], label)]
    return Duplicates(nodes[kept != nodes], kept[kept != nodes])


@pytest.mark.parametrize(
    ("shared", "own", "jaccard"),
    [(100, 50, 0.5), (140, 30, 0.7), (150, 25, 0.75), (160, 20, 0.8), (170, 15, 0.85)],
)
def test_s_curve(shared: int, own: int, jaccard: float) -> None:
    count = 1500
    matrix = signatures(pairs(count, shared, own, seed=shared), BANDS * ROWS)
    found = grouped(matrix, np.ones(2 * count))
    expected = 1 - (1 - jaccard**ROWS) ** BANDS
    spread = 4 * (expected * (1 - expected) / count) ** 0.5
    assert len(found.gone) / count == pytest.approx(expected, abs=spread)
    even = np.arange(0, 2 * count, 2)
    assert similarity(matrix[even], matrix[even + 1]).mean() == pytest.approx(jaccard, abs=0.01)


def test_groups_keep_the_longest_and_then_the_first() -> None:
    base = np.arange(1000, 1300, dtype=np.uint64)
    other = np.arange(5000, 5300, dtype=np.uint64)
    matrix = signatures([base, other, base, base], BANDS * ROWS)
    found = grouped(matrix, np.array([10, 99, 20, 20]))
    assert found.gone.tolist() == [0, 3]
    assert found.kept.tolist() == [2, 2]


@pytest.mark.parametrize("partitions", [2, 16])
def test_groups_depend_neither_on_the_order_nor_on_the_partitions(tmp_path, partitions) -> None:
    matrix = signatures(pairs(200, 160, 20, seed=1), BANDS * ROWS)
    sizes = np.arange(400) + 1
    gone = set(grouped(matrix, sizes).gone.tolist())
    order = np.random.default_rng(0).permutation(400)
    again = grouped(matrix[order], sizes[order], partitions, tmp_path)
    assert gone == {int(order[i]) for i in again.gone}


@given(st.lists(st.tuples(st.integers(-2, 30), st.integers(-2, 30)), max_size=60))
def test_components_are_those_of_the_graph(edges) -> None:
    leader = {node: node for edge in edges for node in edge}
    for _ in range(len(leader)):  # the slow way: pass the least number on until nothing changes
        for a, b in edges:
            leader[a] = leader[b] = min(leader[a], leader[b])
    nodes, least = components(np.array(edges, np.int64).reshape(-1, 2))
    assert nodes.tolist() == sorted(leader)
    assert least.tolist() == [leader[node] for node in nodes.tolist()]


def test_exact_keeps_the_first_and_earlier_corpora_before_all() -> None:
    digests = np.frombuffer(b"".join(letter * 16 for letter in (b"b", b"a", b"b", b"\xff", b"b")), np.uint8)
    keyed = digest_keys(digests.reshape(5, 16), np.arange(5))
    found = exact(keyed)
    assert found.gone.tolist() == [2, 4]
    assert found.kept.tolist() == [0, 0]
    earlier = np.zeros(1, KEYED)
    earlier["key"], earlier["low"], earlier["document"] = *(keyed["key"][-1],) * 2, -1
    found = exact(merged([keyed, earlier]))
    assert found.gone.tolist() == [2, 3, 4]
    assert found.kept.tolist() == [0, -1, 0]


def test_jaccard() -> None:
    assert jaccard(np.array([1, 2, 2, 3]), np.array([3, 2, 4])) == 0.5
    assert jaccard(np.array([]), np.array([])) == 0


def test_nothing_at_all() -> None:
    empty = signatures([], BANDS * ROWS)
    assert len(grouped(empty, np.zeros(0)).gone) == 0
    assert len(exact(np.zeros(0, KEYED)).gone) == 0
