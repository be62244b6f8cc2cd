"""Clouds of vectors for people to see: how wide they are, which lie near, which groups they form, and a plane
to draw them on. Distances are exact; the plane alone is a projection."""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

GROUPS = 4  # at most
CLEAR = 0.12  # the least silhouette of groups that are worth telling apart


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors `[..., D]` of length 1, in float64."""
    vectors = vectors.astype(np.float64)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def distances(vectors: np.ndarray) -> np.ndarray:
    """Cosine distances `[N, N]`, 0 to 2, of vectors `[N, D]`."""
    units = unit(vectors)
    return np.maximum(0.0, 1 - units @ units.T)


def mean_distance(vectors: np.ndarray) -> float:
    """The mean cosine distance of two different ones of `[N, D]`; 0 of a single one."""
    count = len(vectors)
    return float(distances(vectors).sum() / (count * (count - 1))) if count > 1 else 0.0


def plane(clouds: np.ndarray) -> tuple[np.ndarray, float]:
    """Places `[C, N, 2]` of clouds `[C, N, D]`, and the share of variance that the plane keeps.

    Every cloud is taken around its own middle, and one plane is fitted to all (PCA), so that between clouds
    what moves has changed.
    """
    units = unit(clouds)
    centred = units - units.mean(1, keepdims=True)
    flat = centred.reshape(-1, clouds.shape[-1])
    values, directions = np.linalg.eigh(flat.T @ flat)
    kept = values[-2:].sum() / max(values.sum(), 1e-12)
    return (centred @ directions[:, [-1, -2]]).astype(np.float32), float(kept)


def groups(vectors: np.ndarray, seed: int = 0) -> np.ndarray:
    """The group `[N]` of each vector `[N, D]`: k-means on unit vectors, with the k of the best silhouette
    (Rousseeuw 1987), or one group where none is clear."""
    from sklearn.cluster import KMeans
    from sklearn.metrics import silhouette_score

    units, apart = unit(vectors), distances(vectors)
    np.fill_diagonal(apart, 0)
    best, chosen = CLEAR, np.zeros(len(vectors), np.int64)
    for k in range(2, min(GROUPS, len(vectors) // 5) + 1):
        labels = KMeans(k, n_init=10, random_state=seed).fit(units).labels_
        if len(np.unique(labels)) < 2:  # all are one point
            break
        value = float(silhouette_score(apart, labels, metric="precomputed"))
        if value > best:
            best, chosen = value, labels
    order = np.argsort(-np.bincount(chosen), kind="stable")
    return np.argsort(order)[chosen]


def telling(texts: Sequence[Sequence[str]], labels: Sequence[int], count: int = 4) -> list[list[str]]:
    """Of each group the words that tell it from the others: log-odds with an informative prior, in standard
    deviations (Monroe et al. 2008, section 3.3.2).

    Args:
        texts: the words of each text.
    """
    all_words = Counter(word for text in texts for word in set(text))
    total = sum(all_words.values())
    found = []
    for group in range(max(labels, default=-1) + 1):
        own = Counter(
            word for text, one in zip(texts, labels, strict=True) if one == group for word in set(text)
        )
        scores = {}
        for word, here in own.items():
            there, n, m = all_words[word] - here, sum(own.values()), total - sum(own.values())
            prior = all_words[word] / total * 10
            left = math.log((here + prior) / (n + 10 - here - prior))
            right = math.log((there + prior) / max(m + 10 - there - prior, 1e-9))
            scores[word] = (left - right) / math.sqrt(1 / (here + prior) + 1 / (there + prior))
        found.append(sorted(scores, key=lambda word: (-scores[word], word))[:count])
    return found
