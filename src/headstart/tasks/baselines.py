"""What stands beside every model: counting words, without any pre-training."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from headstart.tasks.data import Examples, Input, Target, flatten

TFIDF_C = 10.0
"""Inverse strength of the regularisation; rows have length 1, so little of it is needed."""
HASHED_FEATURES = 2**17


class System(Protocol):
    """Anything that answers."""

    def predict(self, inputs: Sequence[Input]) -> list[Target]: ...


class Majority:
    """The commonest class; for tagging each word's commonest tag, and that of all words for a new one."""

    def __init__(self, train: Examples) -> None:
        self.task = train.task
        self.commonest = _commonest(flatten(train.targets))
        tags: dict[str, list[str]] = defaultdict(list)
        if train.task == "tagging":
            for words, its_tags in zip(train.inputs, train.targets, strict=True):
                for word, tag in zip(words, its_tags, strict=True):
                    tags[word].append(tag)
        self.tag_of = {word: _commonest(seen) for word, seen in tags.items()}

    def predict(self, inputs: Sequence[Input]) -> list[Target]:
        if self.task == "classification":
            return [self.commonest for _ in inputs]
        return [[self.tag_of.get(word, self.commonest) for word in words] for words in inputs]


def _commonest(labels: Sequence[str]) -> str:
    counts = Counter(labels)
    return min(counts, key=lambda label: (-counts[label], label))


class TfidfClassifier:
    """Words and pairs of words, weighted by rarity (sublinear tf), into a logistic regression."""

    def __init__(self, train: Examples) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression

        # Every run of letters or of signs is a word: text without letters must not end without features.
        self.vectorizer = TfidfVectorizer(
            ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\w+|[^\w\s]+", dtype=np.float32
        )
        features = self.vectorizer.fit_transform(train.inputs)
        two = len(train.labels) == 2
        self.regression = LogisticRegression(
            C=TFIDF_C, solver="liblinear" if two else "lbfgs", max_iter=1000, random_state=0
        )
        self.regression.fit(features, train.targets)

    def predict(self, inputs: Sequence[Input]) -> list[Target]:
        return [str(label) for label in self.regression.predict(self.vectorizer.transform(inputs))]


class WindowTagger:
    """A logistic regression over what a word and its neighbours look like.

    Averaged stochastic gradient descent fits it in seconds; on Brown it does no worse than L-BFGS,
    which takes up to thirty times as long (100 to 4,128 sentences).
    """

    def __init__(self, train: Examples) -> None:
        from sklearn.feature_extraction import FeatureHasher
        from sklearn.linear_model import SGDClassifier

        self.hasher = FeatureHasher(
            HASHED_FEATURES, input_type="string", alternate_sign=False, dtype=np.float32
        )
        self.regression = SGDClassifier(
            loss="log_loss", alpha=1e-5, average=True, max_iter=8, tol=None, random_state=0
        )
        self.regression.fit(self._features(train.inputs), flatten(train.targets))

    def _features(self, sentences: Sequence[Input]) -> Any:
        return self.hasher.transform(features for words in sentences for features in window_features(words))

    def predict(self, inputs: Sequence[Input]) -> list[Target]:
        tags = iter(self.regression.predict(self._features(inputs)))
        return [[str(next(tags)) for _ in words] for words in inputs]


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


def strongest_baseline(train: Examples) -> System:
    """The baseline that the report calls `tf-idf`: words without pre-training, fitted to `train`."""
    return TfidfClassifier(train) if train.task == "classification" else WindowTagger(train)
