"""Exact duplicates by digest and near duplicates by MinHash; of each group one document stays.

MinHash (Broder 1997) with locality-sensitive hashing: two documents whose sets of word n-grams have Jaccard
similarity s agree on all rows of at least one band with probability 1 - (1 - s^rows)^bands. Documents that do
are linked, and a group is a connected component of links.

Documents are numbers here. Everything global is a pass over one partition of the keys, so memory is bounded
by the partition; what partitions say of links is put together in `groups`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from rensa import RMinHash
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from headstart.corpus.text.hashing import scramble
from headstart.corpus.text.words import Words, split_words

EXACT, NEAR = "exact duplicates", "near duplicates"  # the stages

SEED = 42  # of the hash functions: fixed, so that signatures of different runs can be compared

# A key that documents may share, and the number of a document that has it.
KEYED = np.dtype([("key", np.uint64), ("low", np.uint64), ("document", np.int64)])
# A document that goes, and the one that stays in its stead.
PAIR = np.dtype([("gone", np.int64), ("kept", np.int64)])
# The document of greatest worth among those with a label.
BEST = np.dtype([("label", np.int64), ("worth", np.float64), ("document", np.int64)])


@dataclass(frozen=True)
class Duplicates:
    """Documents that go, ascending, and for each the one that stays in its stead."""

    gone: np.ndarray
    kept: np.ndarray

    def pairs(self) -> np.ndarray:
        """As one array of `PAIR`."""
        pairs = np.empty(len(self.gone), PAIR)
        pairs["gone"], pairs["kept"] = self.gone, self.kept
        return pairs


def shingles(text: str, size: int) -> np.ndarray:
    """The hashes of the runs of `size` words that near duplicates are found by."""
    return shingles_of(split_words(text), size)


def shingles_of(words: Words, size: int) -> np.ndarray:
    """The same of a text whose words are known; of a script without spaces as many signs as they have."""
    grams = words.ngrams(size * words.signs_of_word)
    return grams if len(grams) else words.hashes


def signatures(shingles: list[np.ndarray], size: int) -> np.ndarray:
    """The MinHash signature, `size` 32-bit values, of each document's shingle hashes."""
    offsets = np.cumsum([0, *map(len, shingles)], dtype=np.uint64)
    flat = np.concatenate(shingles) if shingles else np.zeros(0, np.uint64)
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(flat, offsets, size, SEED)
    return np.array(matrix.to_rows(), np.uint32).reshape(len(shingles), size)


def digest_keys(digests: np.ndarray, documents: np.ndarray) -> np.ndarray:
    """Digests of 16 bytes `[N, 16]` and their documents as `KEYED`, sorted by key."""
    halves = np.ascontiguousarray(digests).view(">u8").reshape(len(documents), 2)
    return _sorted(halves[:, 0], halves[:, 1], documents)


def band_keys(matrix: np.ndarray, bands: int, documents: np.ndarray) -> np.ndarray:
    """One key for each band of each signature `[N, bands * rows]`, as `KEYED`, sorted by key."""
    rows = matrix.shape[1] // bands
    values = matrix.reshape(len(matrix), bands, rows).astype(np.uint64)
    keys = np.broadcast_to(scramble(np.arange(1, bands + 1, dtype=np.uint64)), (len(matrix), bands))
    for row in range(rows):
        keys = scramble(keys + values[:, :, row])
    return _sorted(keys.ravel(), np.uint64(0), np.repeat(documents, bands))


def _sorted(key: np.ndarray, low: np.ndarray | np.uint64, documents: np.ndarray) -> np.ndarray:
    keyed = np.empty(len(key), KEYED)
    keyed["key"], keyed["low"], keyed["document"] = key, low, documents
    return keyed[np.lexsort((keyed["document"], keyed["low"], keyed["key"]))]


def merged(parts: Iterable[np.ndarray]) -> np.ndarray:
    """Several arrays of `KEYED` as one, sorted by key and then by document."""
    keyed = np.concatenate([np.zeros(0, KEYED), *parts])
    return keyed[np.lexsort((keyed["document"], keyed["low"], keyed["key"]))]


def _continues(keyed: np.ndarray) -> np.ndarray:
    """Whether each element has the key of the one before it."""
    same = np.zeros(len(keyed), bool)
    same[1:] = (keyed["key"][1:] == keyed["key"][:-1]) & (keyed["low"][1:] == keyed["low"][:-1])
    return same


def exact(keyed: np.ndarray) -> Duplicates:
    """Documents with a key that an earlier document has."""
    repeats = _continues(keyed)
    firsts = np.flatnonzero(~repeats)
    first = firsts[np.cumsum(~repeats) - 1]
    gone, kept = keyed["document"][repeats], keyed["document"][first][repeats]
    order = np.argsort(gone, kind="stable")
    return Duplicates(gone[order], kept[order])


def links(keyed: np.ndarray) -> np.ndarray:
    """Pairs `[M, 2]` of documents that share a key, each once: enough of them to connect all that do."""
    at = np.flatnonzero(_continues(keyed))
    pairs = np.stack((keyed["document"][at - 1], keyed["document"][at]), axis=1)
    return np.unique(pairs[pairs[:, 0] != pairs[:, 1]], axis=0)


def components(pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The documents in some links `[M, 2]`, ascending, and for each the least that it is connected with."""
    nodes, ends = np.unique(pairs, return_inverse=True)
    a, b = ends.reshape(-1, 2).T
    graph = coo_matrix((np.ones(len(a), np.int8), (a, b)), shape=(len(nodes),) * 2)
    _, group = connected_components(graph, directed=False)
    _, first = np.unique(group, return_index=True)
    return nodes, nodes[first[group]]


def best_of(labels: np.ndarray, worth: np.ndarray, documents: np.ndarray) -> np.ndarray:
    """For each label the document of greatest worth, of equal ones the first, as `BEST` by label."""
    rows = np.zeros(len(labels), BEST)
    rows["label"], rows["worth"], rows["document"] = labels, worth, documents
    rows = rows[np.lexsort((documents, -worth, labels))]
    return rows[np.append(True, rows["label"][1:] != rows["label"][:-1])[: len(rows)]]


def similarity(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Jaccard similarity of documents by their signatures `[N, size]`: the share of equal values."""
    return (first == second).mean(axis=1)


def jaccard(first: np.ndarray, second: np.ndarray) -> float:
    """The Jaccard similarity of two sets of shingle hashes."""
    first, second = _distinct(first), _distinct(second)
    every = len(_distinct(np.concatenate((first, second))))
    return (len(first) + len(second) - every) / max(every, 1)


def _distinct(values: np.ndarray) -> np.ndarray:
    """Each value once, ascending: `np.unique` is many times slower for 64-bit hashes."""
    ordered = np.sort(values)
    return ordered[np.append(True, ordered[1:] != ordered[:-1])[: len(ordered)]]
