"""Exact duplicates by digest and near duplicates by MinHash; of each group one document stays.

MinHash (Broder 1997) with locality-sensitive hashing: two documents whose sets of word n-grams have Jaccard
similarity s agree on all rows of at least one band with probability 1 - (1 - s^rows)^bands. Documents that do
are linked, and a group is a connected component of links.
"""

from dataclasses import dataclass

import numpy as np
from rensa import RMinHash

SEED = 42  # of the hash functions: fixed, so that signatures of different runs can be compared


@dataclass(frozen=True)
class Duplicates:
    """Indices of the documents that go, and for each the one that stays in its stead."""

    gone: np.ndarray
    kept: np.ndarray


def signatures(shingles: list[np.ndarray], size: int) -> np.ndarray:
    """The MinHash signature, `size` 32-bit values, of each document's shingle hashes."""
    offsets = np.cumsum([0, *map(len, shingles)], dtype=np.uint64)
    flat = np.concatenate(shingles) if shingles else np.zeros(0, np.uint64)
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(flat, offsets, size, SEED)
    return np.array(matrix.to_rows(), np.uint32).reshape(len(shingles), size)


def exact(digests: np.ndarray) -> Duplicates:
    """Documents with a digest that an earlier document has. Digests are 16-byte voids."""
    _, first, group = np.unique(digests, return_index=True, return_inverse=True)
    kept = first[group]
    gone = np.flatnonzero(kept != np.arange(len(digests)))
    return Duplicates(gone, kept[gone])


def near(matrix: np.ndarray, bands: int, sizes: np.ndarray) -> Duplicates:
    """Near duplicates among signatures. Of each group the longest stays, of equally long ones the first.

    Args:
        matrix: one signature a row.
        bands: how many bands the signature is cut into.
        sizes: the length of each document.
    """
    count = len(matrix)
    parent = np.arange(count)
    for band in np.split(matrix, bands, axis=1):
        keys = np.ascontiguousarray(band).view(np.dtype((np.void, band.shape[1] * 4))).ravel()
        order = np.argsort(keys, kind="stable")
        linked = np.flatnonzero(keys[order[1:]] == keys[order[:-1]])
        for a, b in zip(order[linked].tolist(), order[linked + 1].tolist(), strict=True):
            _unite(parent, a, b)
    group = np.array([_root(parent, index) for index in range(count)], np.int64)
    order = np.lexsort((np.arange(count), -sizes, group))
    best = np.arange(count)
    leaders = np.append(True, group[order][1:] != group[order][:-1]) if count else np.zeros(0, bool)
    best[group[order[leaders]]] = order[leaders]
    kept = best[group]
    gone = np.flatnonzero(kept != np.arange(count))
    return Duplicates(gone, kept[gone])


def similarity(matrix: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The Jaccard similarity of pairs of documents, estimated by the share of equal values."""
    return (matrix[first] == matrix[second]).mean(axis=1)


def _root(parent: np.ndarray, index: int) -> int:
    while parent[index] != index:
        parent[index] = parent[parent[index]]
        index = int(parent[index])
    return index


def _unite(parent: np.ndarray, a: int, b: int) -> None:
    """Link two groups; the smaller index leads, so that the result does not depend on the order of links."""
    a, b = _root(parent, a), _root(parent, b)
    parent[max(a, b)] = min(a, b)
