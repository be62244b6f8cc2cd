"""What came before the Transformer, on the same tasks: word2vec and GloVe averages, ELMo with a scalar mix.

The vectors stay as they are, and are computed once. On top of them a softmax regression learns, and with ELMo
the weights with which its layers are mixed (Peters et al. 2018, equation 1).
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from headstart.errors import HeadstartError
from headstart.folder import MANIFEST, JSONObject, read_json
from headstart.models.vectors.elmo import Elmo, load_elmo
from headstart.models.vectors.word_vectors import WordVectors, read_vectors
from headstart.tasks.examples import Examples, Input, Target
from headstart.tokenizer.sentences import lower_words, sentences

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1)
"""Of the regularisation (half the squared weights, beside the mean loss); one is chosen on held-out data."""
HELD_OUT = 0.2
CHOOSE_ON = 20_000  # answers at most; more takes minutes
EVEN = 1e-3
"""Pulls the mixture of layers towards their mean (Peters et al. 2018, section 5.1)."""
STEPS = 100
CHUNK = 64  # sentences that ELMo reads at once
NEIGHBOURS = 1
"""Words to each side whose static vectors a tag depends on too."""


class Vectors(Protocol):
    """Vectors of words: `[words, layers, D]`, float32."""

    def of_text(self, text: str) -> np.ndarray:
        """Of the words that a text is cut into; there may be none."""

    def of_words(self, words: Sequence[str]) -> np.ndarray:
        """Of given words, one vector each."""


class StaticVectors:
    """One vector a word, in small letters; a word without one is zero, and does not count in a text."""

    def __init__(self, vectors: WordVectors) -> None:
        self.vectors = vectors

    def of_text(self, text: str) -> np.ndarray:
        places = [self.vectors.index[word] for line in lower_words(text) for word in line
                  if word in self.vectors]  # fmt: skip
        return self.vectors.matrix[places][:, None]

    def of_words(self, words: Sequence[str]) -> np.ndarray:
        """The word's own vector beside those of its neighbours: `[words, 1, 3 D]`."""
        found = np.zeros((len(words) + 2 * NEIGHBOURS, self.vectors.matrix.shape[1]), np.float32)
        for place, word in enumerate(words, NEIGHBOURS):
            key = word if word in self.vectors else word.lower()
            if key in self.vectors:
                found[place] = self.vectors.vector(key)
        shifted = [found[shift : shift + len(words)] for shift in range(2 * NEIGHBOURS + 1)]
        return np.concatenate(shifted, 1)[:, None]


class ElmoVectors:
    """Three layers of vectors for each word in its sentence."""

    def __init__(self, model: Elmo) -> None:
        self.model = model

    def of_text(self, text: str) -> np.ndarray:
        lines = list(sentences(text))
        return self._states(lines) if lines else self._states([["."]])[:0]

    def of_words(self, words: Sequence[str]) -> np.ndarray:
        return self._states([list(words)])

    @torch.no_grad()
    def _states(self, lines: list[list[str]]) -> np.ndarray:
        found = []
        for first in range(0, len(lines), CHUNK):
            layers, words = self.model(lines[first : first + CHUNK])  # [layers, B, T, D], [B, T]
            found.append(layers[:, words].transpose(0, 1).numpy())  # [words, layers, D]
        return np.concatenate(found)


def read_baseline(path: Path) -> tuple[str, Vectors]:
    """The name and the vectors in a run or model folder of word2vec, GloVe or ELMo, or a file of vectors.

    Raises:
        HeadstartError: it holds nothing of the kind.
    """
    folder = path / "model" if (path / "model" / MANIFEST).exists() else path
    if not folder.is_dir():
        return path.name, StaticVectors(read_vectors(path))
    about = read_json(folder / MANIFEST, JSONObject) if (folder / MANIFEST).exists() else {}
    kind = about.get("format")
    if kind == "headstart.elmo model":
        return path.name, ElmoVectors(load_elmo(folder))
    if kind == "headstart.word vectors":
        return path.name, StaticVectors(WordVectors.load(folder))
    raise HeadstartError(f"{path} holds neither word vectors nor an ELMo; give the folder of such a run")


class VectorClassifier:
    """Mean vectors of texts, or vectors of words, mixed over layers, into a softmax regression."""

    def __init__(self, vectors: Vectors, train: Examples) -> None:
        if train.task not in ("classification", "tagging"):
            raise HeadstartError(f"word vectors alone are no baseline for {train.task}")
        self.vectors, self.task, self.labels = vectors, train.task, train.labels
        features = self._features(train.inputs)  # [N, layers, D]
        place = {label: index for index, label in enumerate(self.labels)}
        owners = np.repeat(np.arange(len(train)), self._sizes(train.inputs))
        flat = [t for target in train.targets for t in ([target] if isinstance(target, str) else target)]
        truth = torch.tensor([place[label] for label in flat])
        # Every layer with mean 0 and deviation 1: no layer counts for more because its numbers are larger.
        self.mean = features.mean((0, 2), keepdim=True)
        self.deviation = features.std((0, 2), keepdim=True) + 1e-6
        features = (features - self.mean) / self.deviation
        strength = _strength(features, truth, owners, len(place))
        self.mix, self.weight, self.bias = _fit(features, truth, len(place), strength)

    @property
    def layer_weights(self) -> list[float]:
        """How much each layer counts; they sum to 1."""
        return self.mix.softmax(0).tolist()

    def predict(self, inputs: Sequence[Input]) -> list[Target]:
        features = (self._features(inputs) - self.mean) / self.deviation
        best = _scores((self.mix, self.weight, self.bias), features).argmax(1).tolist()
        labels = iter([self.labels[index] for index in best])
        if self.task == "classification":
            return list(labels)
        return [[next(labels) for _ in range(size)] for size in self._sizes(inputs)]

    def _sizes(self, inputs: Sequence[Input]) -> list[int]:
        """How many answers each input has."""
        return [1 if self.task == "classification" else len(one) for one in inputs]

    def _features(self, inputs: Sequence[Input]) -> Tensor:
        return torch.from_numpy(np.concatenate(list(self._rows(inputs))))

    def _rows(self, inputs: Sequence[Input]) -> Iterator[np.ndarray]:
        """Vectors `[answers, layers, D]` of each input.

        Of a pair of texts those of both, how far they are apart in each place, and their product.
        """
        for one in inputs:
            if self.task == "tagging":
                yield self.vectors.of_words(list(one))
            elif isinstance(one, tuple):
                first, second = (self._mean(text) for text in one)
                yield np.concatenate([first, second, np.abs(first - second), first * second], -1)
            else:
                yield self._mean(one)

    def _mean(self, text: str) -> np.ndarray:
        """Of a text's words `[1, layers, D]`; zero where none of them has a vector."""
        states = self.vectors.of_text(text)  # [words, layers, D]
        return states.sum(0, keepdims=True) / max(1, len(states))


def _strength(features: Tensor, truth: Tensor, owners: np.ndarray, labels: int) -> float:
    """The regularisation that foresees the answers best for held-out examples, `owners` of `features`."""
    shuffled = np.random.Generator(np.random.Philox(key=0)).permutation(owners[-1] + 1)
    rank = np.empty_like(shuffled)
    rank[shuffled] = np.arange(len(shuffled))
    chosen = np.sort(np.argsort(rank[owners], kind="stable")[:CHOOSE_ON])
    out = torch.from_numpy(rank[owners[chosen]] < HELD_OUT * (rank[owners[chosen]].max() + 1))
    if bool(out.all()):
        return STRENGTHS[1]
    features, truth = features[chosen], truth[chosen]

    def loss(strength: float) -> float:
        fitted = _fit(features[~out], truth[~out], labels, strength)
        return float(F.cross_entropy(_scores(fitted, features[out]), truth[out]))

    return min(STRENGTHS, key=loss)


Fitted = tuple[Tensor, Tensor, Tensor]
"""Mix `[layers]`, weight `[labels, D]`, bias `[labels]`."""


def _scores(fitted: Fitted, features: Tensor) -> Tensor:
    """`[N, labels]` for vectors `[N, layers, D]`."""
    mix, weight, bias = fitted
    return F.linear(torch.einsum("l,nld->nd", mix.softmax(0), features), weight, bias)


def _fit(features: Tensor, truth: Tensor, labels: int, strength: float) -> Fitted:
    """Minimise the mean cross-entropy and the regularisation, all examples in every step (L-BFGS)."""
    mix = torch.zeros(features.shape[1], requires_grad=True)
    weight = torch.zeros(labels, features.shape[2], requires_grad=True)
    bias = torch.zeros(labels, requires_grad=True)
    optimiser = torch.optim.LBFGS([mix, weight, bias], max_iter=STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        value = F.cross_entropy(_scores((mix, weight, bias), features), truth)
        value = value + strength / 2 * weight.square().sum() + EVEN / 2 * mix.square().sum()
        value.backward()
        return value

    optimiser.step(loss)
    return mix.detach(), weight.detach(), bias.detach()
