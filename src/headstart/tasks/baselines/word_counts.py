"""What stands beside every model: counting words, without any pre-training."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from headstart.tasks.examples import Examples, Input, Target, flatten

TFIDF_C = 10.0
"""Inverse strength of the regularisation; rows have length 1, so little of it is needed."""
HASHED_FEATURES = 2**17


class System(Protocol):
    """Anything that answers."""

    def predict(self, inputs: Sequence[Input]) -> list[Target]: ...


class Majority:
    """The commonest answer: label, labels or place; for tagging each word's commonest tag, and that of all
    words for a new one; for questions that there is no answer; for numbers their mean."""

    def __init__(self, train: Examples) -> None:
        self.task = train.task
        self.answer: Target = ""
        if train.task == "regression":
            self.answer = float(np.mean(train.targets))
        elif train.task in ("text-to-text", "chat"):
            self.answer = _commonest([ways[0] for ways in train.targets])
        elif train.task != "question-answering":
            self.answer = _commonest(flatten(train.targets) if train.task == "tagging" else train.targets)
        tags: dict[str, list[str]] = defaultdict(list)
        if train.task == "tagging":
            for words, its_tags in zip(train.inputs, train.targets, strict=True):
                for word, tag in zip(words, its_tags, strict=True):
                    tags[word].append(tag)
        self.tag_of = {word: _commonest(seen) for word, seen in tags.items()}

    def predict(self, inputs: Sequence[Input]) -> list[Target]:
        if self.task != "tagging":
            return [self.answer for _ in inputs]
        return [[self.tag_of.get(word, self.answer) for word in words] for words in inputs]


def _commonest(answers: Sequence[Any]) -> Any:
    counts = Counter(answers)
    return min(counts, key=lambda answer: (-counts[answer], answer))


def tfidf_features() -> Any:
    """Words and pairs of words, weighted by rarity (sublinear tf)."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    # Every run of letters or of signs is a word: text without letters must not end without features.
    return TfidfVectorizer(
        ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\w+|[^\w\s]+", dtype=np.float32
    )


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


class TfidfClassifier:
    """TF-IDF features into a logistic regression; for several labels one for each, for numbers a ridge
    regression."""

    def __init__(self, train: Examples) -> None:
        from sklearn.linear_model import LogisticRegression, Ridge
        from sklearn.multiclass import OneVsRestClassifier
        from sklearn.preprocessing import MultiLabelBinarizer

        self.task = train.task
        self.vectorizer = tfidf_features()
        features = self.vectorizer.fit_transform([as_text(one) for one in train.inputs])
        two = len(train.labels) == 2 or train.task == "multi-label"
        model: Any = LogisticRegression(
            C=TFIDF_C, solver="liblinear" if two else "lbfgs", max_iter=1000, random_state=0
        )
        targets: Any = train.targets
        if train.task == "multi-label":
            self.names = MultiLabelBinarizer()
            targets = self.names.fit_transform(targets)
            model = OneVsRestClassifier(model)
        elif train.task == "regression":
            model = Ridge(1 / TFIDF_C, random_state=0)
        self.regression = model
        self.regression.fit(features, targets)

    def predict(self, inputs: Sequence[Input]) -> list[Target]:
        found = self.regression.predict(self.vectorizer.transform([as_text(one) for one in inputs]))
        if self.task == "multi-label":
            return [tuple(sorted(map(str, its))) for its in self.names.inverse_transform(found)]
        return [float(one) if self.task == "regression" else str(one) for one in found]


class TfidfChooser:
    """A TF-IDF classifier of text and option together; the option that it finds likeliest to be right."""

    def __init__(self, train: Examples) -> None:
        pairs = [(one.text, option) for one in train.inputs for option in one.options]
        right = [
            "right" if place == target else "wrong"
            for one, target in zip(train.inputs, train.targets, strict=True)
            for place in range(len(one.options))
        ]
        self.classifier = TfidfClassifier(Examples("classification", pairs, right))

    def predict(self, inputs: Sequence[Input]) -> list[Target]:
        found: list[Target] = []
        for one in inputs:
            features = self.classifier.vectorizer.transform([as_text((one.text, o)) for o in one.options])
            found.append(int(self.classifier.regression.decision_function(features).argmin()))
        return found


class NearestSentence:
    """The sentence of the context whose words are most like the question's."""

    def __init__(self, train: Examples) -> None:
        self.vectorizer = tfidf_features()
        self.vectorizer.fit([text for one in train.inputs for text in one])

    def predict(self, inputs: Sequence[Input]) -> list[Target]:
        found: list[Target] = []
        for question, context in inputs:
            sentences = [one for one in re.split(r"(?<=[.!?])\s+|\n+", context) if one.strip()] or [context]
            likeness = self.vectorizer.transform(sentences) @ self.vectorizer.transform([question]).T
            found.append(sentences[int(likeness.toarray()[:, 0].argmax())])
        return found


class NearestAnswer:
    """The answer of the training example whose words are most like the input's."""

    def __init__(self, train: Examples) -> None:
        self.vectorizer = tfidf_features()
        self.features = self.vectorizer.fit_transform([shown_text(one) for one in train.inputs])
        self.answers = [ways[0] for ways in train.targets]

    def predict(self, inputs: Sequence[Input]) -> list[Target]:
        asked = self.vectorizer.transform([shown_text(one) for one in inputs])
        return [self.answers[int((self.features @ one.T).toarray()[:, 0].argmax())] for one in asked]


def shown_text(one: Input) -> str:
    """A text, or all that was said."""
    return one if isinstance(one, str) else one.text


class LatentSemantics:
    """TF-IDF vectors of the texts in a hundred dimensions (Deerwester et al. 1990)."""

    def __init__(self, train: Examples) -> None:
        from sklearn.decomposition import TruncatedSVD

        texts = [text for one in train.inputs for text in one]
        self.vectorizer = tfidf_features()
        features = self.vectorizer.fit_transform(texts)
        self.projection = TruncatedSVD(min(100, min(features.shape) - 1), random_state=0).fit(features)

    def predict(self, inputs: Sequence[Input]) -> list[Target]:
        vectors = self.projection.transform(
            self.vectorizer.transform([text for one in inputs for text in one])
        )
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        return list(vectors.reshape(len(inputs), 2, -1))


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
    match train.task:
        case "tagging":
            return WindowTagger(train)
        case "question-answering":
            return NearestSentence(train)
        case "multiple-choice":
            return TfidfChooser(train)
        case "embedding":
            return LatentSemantics(train)
        case "text-to-text" | "chat":
            return NearestAnswer(train)
    return TfidfClassifier(train)


def baselines(train: Examples) -> dict[str, System]:
    """Every baseline that has something to say about the task, by name."""
    found: dict[str, System] = {"tf-idf": strongest_baseline(train)}
    if train.task not in ("regression", "embedding"):  # a constant has no correlation with anything
        found["majority"] = Majority(train)
    return found
