"""What the states of a model's layers tell: nearest centroids of words and of texts."""

from collections.abc import Sequence

import numpy as np
import torch

from headstart.models.observe import observe
from headstart.models.transformer import Transformer
from headstart.tokenizer.base import Tokenizer

MOST = 256
"""Tokens of a text that are read."""
WINDOW = 3
"""Words to each side whose mean is the rival of a contextual vector."""


def word_states(
    model: Transformer, tokenizer: Tokenizer, sentences: Sequence[Sequence[str]]
) -> list[np.ndarray]:
    """States of the last token of every word, of each sentence `[layers + 1, words, D]`, the embeddings
    first. A word that does not fit into `MOST` tokens has zeros, and so is its own kind of wrong."""
    found = []
    for words in sentences:
        pieces = tokenizer.encode_batch([words[0], *(f" {word}" for word in words[1:])])
        last = np.cumsum([len(piece) for piece in pieces]) - 1 + len(tokenizer.opening)
        ids = [*tokenizer.opening, *(token for piece in pieces for token in piece)][:MOST]
        layers = layer_states(model, ids)  # [layers + 1, T, D]
        states = np.zeros((len(layers), len(words), layers.shape[-1]), np.float32)
        fits = last < len(ids)
        states[:, fits] = layers[:, last[fits]]
        found.append(states)
    return found


def text_states(model: Transformer, tokenizer: Tokenizer, texts: Sequence[str]) -> np.ndarray:
    """The mean state of each text's first `MOST` tokens by layer: `[layers + 1, texts, D]`."""
    rows = ([*tokenizer.opening, *tokenizer.encode(text[: 8 * MOST])][:MOST] for text in texts)
    return np.stack([layer_states(model, ids).mean(1) for ids in rows], axis=1)


@torch.no_grad()
def layer_states(model: Transformer, ids: Sequence[int]) -> np.ndarray:
    """The embeddings and the stream behind each block: `[layers + 1, T, D]`."""
    row = torch.tensor([list(ids)])
    states = observe(model, row, want=("states",)).states
    embedded = model.embedding(row)
    stack = [embedded, *(state for name, state in states.items() if not name.endswith(".embedding"))]
    return torch.stack([one[0].float() for one in stack]).numpy()


def window_means(sentences: Sequence[np.ndarray]) -> list[np.ndarray]:
    """For every word the mean of the embeddings `[words, D]` of the words around it, itself left out."""
    found = []
    for vectors in sentences:
        near = np.zeros_like(vectors)
        for place in range(len(vectors)):
            around = [
                p for p in range(max(0, place - WINDOW), min(len(vectors), place + WINDOW + 1)) if p != place
            ]
            if around:
                near[place] = vectors[around].mean(0)
        found.append(near)
    return found


def centroid_right(
    train: np.ndarray, train_labels: Sequence[str], test: np.ndarray, test_labels: Sequence[str]
) -> np.ndarray:
    """Whether the nearest centroid, by cosine, of states centred on the mean of `train` is that of the right
    label: `[N]`, for `train` and `test` `[N, D]`."""
    middle = train.mean(0)
    labels = sorted(set(train_labels))
    of = np.array(train_labels)
    centroids = np.stack([(train[of == label] - middle).mean(0) for label in labels])
    found = _directions(test - middle) @ _directions(centroids).T
    right: np.ndarray = np.array(labels)[found.argmax(1)] == np.array(test_labels)
    return right


def balanced(right: np.ndarray, labels: Sequence[str]) -> float:
    """Mean over the labels of the percentage that is right: what always says one label scores 100 over their
    number."""
    of = np.array(labels)
    return float(100 * np.mean([right[of == label].mean() for label in sorted(set(labels))]))


def _directions(vectors: np.ndarray) -> np.ndarray:
    lengths: np.ndarray = np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
    return vectors / lengths


def centre_of_gravity(gains: Sequence[float]) -> float:
    """The mean layer, from 0, each weighed by its gain; what is below 0 weighs nothing. Without any gain: the
    middle, which speaks for no layer."""
    weights = np.clip(np.asarray(gains, float), 0, None)
    layers = np.arange(len(weights))
    return float((layers * weights).sum() / weights.sum()) if weights.sum() else float(layers.mean())
