"""A linear head on counted words and characters: a baseline of its own, and a path beside a network.

Whole texts are counted as TF-IDF does it: words and pairs of words, and runs of two to five characters within
words, each of the two brought to length 1. Of tags every word is what it looks like and what stands around
it; the words of a question's context have the features of `counted_answers`. Features are hashed (Weinberger
et al. 2009), so that no vocabulary has to be kept; a head keeps those that its training data hold.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import numpy as np
import torch
from scipy.sparse import csr_array, diags_array, hstack, vstack
from threadpoolctl import threadpool_limits
from torch import Tensor

from headstart.errors import HeadstartError
from headstart.tasks.examples import Examples, Input, flatten
from headstart.tasks.kinds.counted_answers import asked_features, fit_pointers, rows_of

TFIDF_C = 10.0
"""Inverse strength of the regularisation; rows have length 1 or 1.4, so little of it is needed."""
BUCKETS = 2**20
"""Hashed features of each sort."""
WORD_BUCKETS = 2**17
"""Of what a word looks like, and what stands around it."""
MOST_CHARACTERS = 10_000_000
"""Training data with more are counted by words alone: runs of characters would take gigabytes."""
RUNS = (2, 3, 4, 5)
"""Lengths of the runs of characters."""
AT_ONCE = 2_000
"""Texts whose features are hashed at once."""

Sort = Literal["words and characters", "words", "words in their places", "words of contexts"]
BY_WORD: tuple[Sort, ...] = ("words in their places", "words of contexts")
"""What has a row of scores for every word, and not for every input."""


@dataclass(frozen=True)
class Counts:
    """Counted features of examples, for heads that are fitted to parts of them."""

    sort: Sort
    rows: csr_array
    """`[examples, buckets]`; of tags and questions `[words of all examples, buckets]`."""

    @classmethod
    def of(cls, examples: Examples) -> Self:
        """Those of all examples."""
        sort = sort_of(examples)
        return cls(sort, features(examples.inputs, sort))

    def part(self, rows: np.ndarray) -> "Counts":
        """Those of some rows."""
        return Counts(self.sort, csr_array(self.rows[rows]))


@dataclass
class CountedWords:
    """Scores of labels from counted features alone."""

    sort: Sort
    columns: np.ndarray
    """`[F]` the hashed features that it knows, in order."""
    rarity: np.ndarray
    """`[F]` what a feature counts."""
    weights: np.ndarray
    """`[F, labels]`; of one label of two `[F, 1]`, by how much the second is ahead."""
    bias: np.ndarray
    """`[labels]` or `[1]`."""
    of_two: bool
    """Whether each text has one label of two."""

    @classmethod
    def fit(cls, train: Examples, labels: Sequence[str] | None = None, counts: Counts | None = None) -> Self:
        """A head for labels, one of several, several or a number each, for tags, or for both ends of answers.

        Args:
            labels: all that there are, where `train` may lack some; None: those of `train`.
            counts: of `train`, where they are there already.
        """
        names = label_names(train) if labels is None else list(labels)
        counts = counts or Counts.of(train)
        sort, hashed = counts.sort, counts.rows
        # As np.unique finds them, which takes ten times as long over so many.
        columns = np.flatnonzero(np.bincount(hashed.indices, minlength=hashed.shape[1]))
        known = csr_array(hashed[:, columns])
        held = np.bincount(known.indices, minlength=len(columns))
        rarity = (np.log((1 + known.shape[0]) / (1 + held)) + 1).astype(np.float32)
        weights, bias = _regression(train, names, _weighted(known, columns, rarity, sort))
        of_two = weights.shape[1] == 1 and train.task == "classification"
        return cls(
            sort, columns, rarity, np.ascontiguousarray(weights, np.float32), bias.astype(np.float32), of_two
        )

    def scores(self, inputs: Sequence[Input]) -> np.ndarray:
        """`[inputs, labels]`, of tags and answers `[rows of all inputs, labels]` (see `sizes`); of numbers
        what they are, `[inputs, 1]`."""
        each = [
            self.scores_of(features(inputs[first : first + AT_ONCE], self.sort))
            for first in range(0, len(inputs), AT_ONCE)
        ]
        return np.concatenate(each)

    def scores_of(self, rows: csr_array) -> np.ndarray:
        """`scores` of inputs whose features are counted already."""
        known = _weighted(csr_array(rows[:, self.columns]), self.columns, self.rarity, self.sort)
        scores = known @ self.weights + self.bias
        return np.concatenate([-scores / 2, scores / 2], 1) if self.of_two else scores

    def changed(self, scale: float, added: np.ndarray) -> Self:
        """The head whose scores are `scale` times its own, and `added` `[labels]`."""
        bias = scale * self.bias + (added[1:] - added[:1] if self.of_two else added)
        return replace(self, weights=self.weights * np.float32(scale), bias=bias.astype(np.float32))

    def tensors(self) -> dict[str, Tensor]:
        """What a folder keeps of it."""
        arrays = {
            "columns": self.columns.astype(np.int32),
            "rarity": self.rarity,
            "weights": self.weights,
            "bias": self.bias,
        }
        return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}

    @classmethod
    def of(cls, tensors: dict[str, Tensor], sort: Sort, of_two: bool, labels: int) -> Self:
        """What `tensors` gave.

        Raises:
            HeadstartError: tensors that do not fit each other, or so many labels.
        """
        arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
        count = len(arrays.get("columns", ()))
        outputs = 1 if of_two else labels
        shapes = {"columns": (count,), "rarity": (count,), "weights": (count, outputs), "bias": (outputs,)}
        if {name: array.shape for name, array in arrays.items()} != shapes:
            raise HeadstartError(
                "the tensors of counted words do not belong together, or to this model; fine-tune it again"
            )
        return cls(sort, arrays["columns"], arrays["rarity"], arrays["weights"], arrays["bias"], of_two)


def sort_of(train: Examples) -> Sort:
    """Which features stand for the inputs."""
    if train.task == "tagging":
        return "words in their places"
    if train.task == "question-answering":
        return "words of contexts"
    size = sum(len(one) if isinstance(one, str) else sum(map(len, one)) for one in train.inputs)
    return "words and characters" if size <= MOST_CHARACTERS else "words"


def features(inputs: Sequence[Input], sort: Sort) -> csr_array:
    """Counts of hashed features, `[inputs, buckets]`; of words in their places, and of contexts, `[words of
    all, buckets]`."""
    if sort in BY_WORD:
        from sklearn.feature_extraction import FeatureHasher

        each: list[Any]
        if sort == "words of contexts":
            each = [one for asked in inputs for one in asked_features(*asked)]
        else:
            each = [one for words in inputs for one in window_features(words)]
        if not each:
            return csr_array((0, WORD_BUCKETS), dtype=np.float32)
        form = "pair" if sort == "words of contexts" else "string"
        hasher = FeatureHasher(WORD_BUCKETS, input_type=form, alternate_sign=False, dtype=np.float32)
        return csr_array(hasher.transform(each))
    parts = []
    for first in range(0, len(inputs), AT_ONCE):
        some = inputs[first : first + AT_ONCE]
        text = HashedText([as_text(one) for one in some])
        found = [text.words()]
        if sort == "words and characters":
            found += [text.runs(length) for length in RUNS]
        rows, buckets = (np.concatenate(each) for each in zip(*found, strict=True))
        counts = csr_array((np.ones(len(rows), np.float32), (rows, buckets)), (len(some), 2 * BUCKETS))
        counts.sum_duplicates()
        parts.append(counts)
    return csr_array(vstack(parts, "csr"))


def sizes(inputs: Sequence[Input], sort: Sort) -> list[int]:
    """How many rows of scores each input has."""
    match sort:
        case "words in their places":
            return [len(words) for words in inputs]
        case "words of contexts":
            return [rows_of(context) for _, context in inputs]
    return [1] * len(inputs)


def label_names(train: Examples) -> list[str]:
    """What the columns of scores are called."""
    return ["start", "end"] if train.task == "question-answering" else train.labels


class HashedText:
    """Texts in small letters, with one blank before, between and behind words; any part of them has a hash.

    The hash of characters c_0 c_1 ... is the sum of c_i B^i modulo 2^64 (Karp & Rabin 1987), so that those of
    all parts come from one running sum. The highest bits of its product with `SPREAD` are the bucket.
    """

    BASE, SPREAD = 0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93
    INVERSE = pow(BASE, -1, 2**64)
    SHIFT = np.uint64(64 - BUCKETS.bit_length() + 1)

    def __init__(self, texts: Sequence[str]) -> None:
        plain = [" ".join(["", *text.lower().split(), ""]) for text in texts]
        self.text = "".join(plain)
        ends = np.cumsum([len(one) for one in plain])
        self.row = np.repeat(np.arange(len(plain)), np.diff(ends, prepend=0))  # [characters]
        codes = np.frombuffer(self.text.encode("utf-32-le", "surrogatepass"), np.uint32)
        self.blank = codes == ord(" ")
        powers = np.full(len(codes) + 1, self.BASE, np.uint64)
        powers[0] = 1
        np.multiply.accumulate(powers, out=powers)
        self.unpowered = np.full(len(codes) + 1, self.INVERSE, np.uint64)
        self.unpowered[0] = 1
        np.multiply.accumulate(self.unpowered, out=self.unpowered)
        self.sums = np.zeros(len(codes) + 1, np.uint64)
        np.cumsum(codes * powers[:-1], out=self.sums[1:])

    def hashes(self, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """Of the characters from each start to its end."""
        return (self.sums[ends] - self.sums[starts]) * self.unpowered[starts]

    def words(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows and buckets of all words and pairs of words; every run of letters or of signs is a word, so
        that text without letters does not end without features."""
        spans = [one.span() for one in re.finditer(r"\w+|[^\w\s]+", self.text)]
        starts, ends = np.array(spans, dtype=np.int64).reshape(-1, 2).T
        each, row = self.hashes(starts, ends), self.row[starts]
        pair = row[1:] == row[:-1]
        pairs = (each[:-1] * np.uint64(self.SPREAD) + each[1:])[pair]
        return np.concatenate([row, row[1:][pair]]), self._buckets(np.concatenate([each, pairs]), 0)

    def runs(self, length: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows and buckets of all runs of so many characters without a blank inside of them."""
        starts = np.arange(max(0, len(self.text) - length + 1))
        whole = self.row[starts] == self.row[starts + length - 1]
        for inside in range(1, length - 1):
            whole &= ~self.blank[starts + inside]
        if length == 2:
            whole &= ~(self.blank[starts] & self.blank[starts + 1])
        starts = starts[whole]
        return self.row[starts], self._buckets(self.hashes(starts, starts + length), length)

    def _buckets(self, hashes: np.ndarray, length: int) -> np.ndarray:
        """Words in the first half of the buckets, characters in the second."""
        spread = (hashes + np.uint64(length)) * np.uint64(self.SPREAD)
        return (spread >> self.SHIFT).astype(np.int64) + (BUCKETS if length else 0)


def as_text(one: Input) -> str:
    """A text as it is; of two, their words marked by whether both have them, or the first or second alone."""
    if isinstance(one, str):
        return one
    first, second = (re.findall(r"\w+", text.lower()) for text in one)
    both = set(first) & set(second)
    return " ".join(
        f"{'both' if word in both else side}_{word}"
        for side, words in (("first", first), ("second", second))
        for word in words
    )


def _weighted(counts: csr_array, columns: np.ndarray, rarity: np.ndarray, sort: Sort) -> csr_array:
    """1 + log of the counts times the rarity, words and characters each of length 1, or 0; words in their
    places as they are."""
    if sort in BY_WORD:
        return _short(counts)
    made = counts.copy()
    made.data = 1 + np.log(made.data)
    made = csr_array(made @ diags_array(rarity))
    border = int(np.searchsorted(columns, BUCKETS))
    return _short(hstack([_of_length_one(made[:, :border]), _of_length_one(made[:, border:])], "csr"))


def _short(rows: csr_array) -> csr_array:
    """The same with the short indices that scikit-learn asks for."""
    parts = (rows.data, rows.indices.astype(np.int32), rows.indptr.astype(np.int32))
    return csr_array(parts, rows.shape)


def _of_length_one(rows: csr_array) -> csr_array:
    length = np.sqrt(np.asarray(rows.multiply(rows).sum(1))).reshape(-1)
    return csr_array(diags_array((1 / np.maximum(length, 1e-9)).astype(np.float32)) @ rows)


def _regression(train: Examples, names: list[str], rows: csr_array) -> tuple[np.ndarray, np.ndarray]:
    """Weights `[F, labels]` and bias `[labels]`, of two labels and of a number one column.

    Of tags, averaged stochastic gradient descent fits a regression for each in seconds; on Brown it does no
    worse than L-BFGS, which takes up to thirty times as long (100 to 4,128 sentences).
    """
    with threadpool_limits(1, "blas"):  # sums of short vectors: threads that wait for each other cost most
        return _fitted(train, names, rows)


def _fitted(train: Examples, names: list[str], rows: csr_array) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier

    if train.task == "question-answering":
        return fit_pointers(train.inputs, train.targets, rows), np.zeros(2)
    if train.task == "regression":
        ridge = Ridge(1 / TFIDF_C, random_state=0).fit(rows, train.targets)
        return ridge.coef_.reshape(-1, 1), np.reshape(ridge.intercept_, 1)
    if train.task == "multi-label":
        each = [np.array([name in its for its in train.targets]) for name in names]
        found = [_one_of_two(rows, its) for its in each]
        return np.stack([weights for weights, _ in found], 1), np.array([bias for _, bias in found])
    if train.task == "tagging":
        model: Any = SGDClassifier(
            loss="log_loss", alpha=1e-5, average=True, max_iter=8, tol=None, random_state=0
        )
    else:
        solver = "liblinear" if len(train.occurring) == 2 else "lbfgs"
        model = LogisticRegression(C=TFIDF_C, solver=solver, max_iter=1000, random_state=0)
    model.fit(rows, flatten(train.targets))
    weights, bias = model.coef_.T, model.intercept_
    place = {name: number for number, name in enumerate(names)}
    if len(model.classes_) == 2 and len(names) == 2 and train.task == "classification":
        sign = 1.0 if place[str(model.classes_[1])] == 1 else -1.0
        return sign * weights, sign * bias
    if len(model.classes_) == 2:
        weights, bias = np.concatenate([-weights, weights], 1) / 2, np.concatenate([-bias, bias]) / 2
    # A label that these examples lack is as unlikely as the unlikeliest.
    all_weights = np.zeros((rows.shape[1], len(names)))
    all_bias = np.full(len(names), float(bias.min()))
    for column, name in enumerate(model.classes_):
        all_weights[:, place[str(name)]], all_bias[place[str(name)]] = weights[:, column], bias[column]
    return all_weights, all_bias


def _one_of_two(rows: csr_array, true: np.ndarray) -> tuple[np.ndarray, float]:
    """A label that is there or not; what all or none have is told by the bias alone."""
    from sklearn.linear_model import LogisticRegression

    if true.all() or not true.any():
        return np.zeros(rows.shape[1]), 5.0 if true.all() else -5.0
    model = LogisticRegression(C=TFIDF_C, solver="liblinear", random_state=0).fit(rows, true)
    return model.coef_[0], float(model.intercept_[0])


def window_features(words: Sequence[str]) -> list[list[str]]:
    """For each word: itself, its ends, its shape and its neighbours, as strings."""
    lower = ["<s>", "<s>", *(word.lower() for word in words), "</s>", "</s>"]
    return [
        [
            f"w={word}",
            f"l={low}",
            *(f"s{n}={low[-n:]}" for n in (1, 2, 3, 4)),
            f"p2={low[:2]}",
            f"p3={low[:3]}",
            f"shape={shape(word)}",
            f"-1={before}",
            f"-2={lower[place]}",
            f"+1={after}",
            f"+2={lower[place + 4]}",
            f"-1s={before[-3:]}",
            f"+1s={after[-3:]}",
            f"-1,0={before} {low}",
            f"0,+1={low} {after}",
            f"first={place == 0}",
        ]
        for place, (word, before, low, after) in enumerate(
            zip(words, lower[1:], lower[2:], lower[3:], strict=False)
        )
    ]


def shape(word: str) -> str:
    """`Gov.` is `Xx.`: capitals, small letters, digits and signs, each run once."""
    runs = ""
    for character in word:
        kind = (
            "X"
            if character.isupper()
            else "x"
            if character.isalpha()
            else "0"
            if character.isdigit()
            else character
        )
        if not runs.endswith(kind):
            runs += kind
    return runs[:8]
