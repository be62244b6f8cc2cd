"""What each word of an input is worth to a task model's answer: measured by taking it away.

The whole model is asked again without the word: head, windows, and the counted words beside the network. As
in `influence`, a number above zero helped the answer, below it the word spoke against it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.errors import HeadstartError
from headstart.tasks.examples import Choices, WordSequence
from headstart.tasks.kinds.kind import Scored
from headstart.tasks.kinds.spans import words_in
from headstart.tasks.predictor import Predictor

MOST_WORDS = 240
"""Of an input, each of which costs an answer of its own."""
AT_ONCE = 32
SMALLEST = 1e-12  # probability; its logarithm is taken


@dataclass(frozen=True)
class Word:
    """A word of an input."""

    part: int
    """Which text of the input it stands in: of a pair 0 or 1, of a question 0 and of its context 1."""
    start: int
    """Its first character there; of words that are given as a list, its place."""
    end: int


@dataclass(frozen=True)
class AnswerInfluence:
    """W words against the K parts of an answer."""

    words: list[Word]
    names: list[str]
    """`[K]`: labels; options by their text; of tags the words that have them; one for a number."""
    values: np.ndarray
    """`[W, K]`: log-probabilities with the word minus without it, in nats; of a number, a similarity, or a
    question's margin over no answer, the difference itself. NaN: the word's own tag."""
    unit: str
    """"nats", or what the number is."""
    without: list[Any]
    """What is answered without each word, as a target."""


def influence_on_answer(predictor: Predictor, given: Any) -> AnswerInfluence:
    """What each word of one input is worth to the answer.

    Args:
        given: as `Examples.inputs` has it.

    Raises:
        HeadstartError: a model that writes its answers; an input with no second word, or with over
            `MOST_WORDS`.
    """
    if not isinstance(predictor.kind, Scored):
        raise HeadstartError(
            "this model writes its answers, so that no label's probability changes; words are taken away for "
            "models with a head"
        )
    words = _words(given)
    if not 2 <= len(words) <= MOST_WORDS:
        raise HeadstartError(
            f"this input has {len(words)} words; of 2 to {MOST_WORDS} each is taken away in turn"
        )
    shorter = [_without(given, word) for word in words]
    results: list[Any] = []
    for first in range(0, len(words), AT_ONCE):
        results += predictor.results(shorter[first : first + AT_ONCE])
    whole = predictor.results([given])[0]
    answers = [
        predictor.kind.predicted(result, one, predictor.labels)
        for result, one in zip(results, shorter, strict=True)
    ]
    names, unit, before, after = _compared(predictor, given, whole, words, results)
    return AnswerInfluence(words, names, before - after, unit, answers)


def _compared(
    predictor: Predictor, given: Any, whole: Any, words: Sequence[Word], results: Sequence[Any]
) -> tuple[list[str], str, np.ndarray, np.ndarray]:
    """Names `[K]`, unit, and the answer's numbers with all words `[K]` and without each `[W, K]`."""
    match predictor.task:
        case "tagging":
            called = whole.argmax(-1)
            before = _logs(whole[np.arange(len(called)), called])
            after = np.full((len(words), len(called)), np.nan)
            for word, result in enumerate(results):
                others = np.delete(np.arange(len(called)), word)
                after[word, others] = _logs(result[np.arange(len(others)), called[others]])
            return list(given), "nats", before, after
        case "regression":
            return ["score"], "score", np.array([whole]), np.array(results)[:, None]
        case "question-answering":
            margins = np.array([[result.margin] for result in results])
            return ["answer"], "margin", np.array([whole.margin]), margins
        case "embedding":
            cosines = [float(result[0] @ result[-1]) for result in (whole, *results)]
            return ["similarity"], "cosine", np.array(cosines[:1]), np.array(cosines[1:])[:, None]
        case "multiple-choice":
            return list(given.options), "nats", _logs(whole), _logs(np.stack(results))
        case _:
            return list(predictor.labels), "nats", _logs(whole), _logs(np.stack(results))


def _logs(chances: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(np.asarray(chances, dtype=np.float64), SMALLEST))


def _words(given: Any) -> list[Word]:
    if isinstance(given, list):
        return [Word(0, place, place + 1) for place in range(len(given))]
    return [
        Word(part, int(start), int(end))
        for part, text in enumerate(_texts(given))
        for start, end in words_in(text).spans
    ]


def _texts(given: Any) -> list[str]:
    if isinstance(given, Choices):
        return [given.text]
    return [given] if isinstance(given, str) else list(given)


def _without(given: Any, word: Word) -> Any:
    """The input without a word, and without one of two blanks that then stand together."""
    if isinstance(given, list):
        return WordSequence.of([one for place, one in enumerate(given) if place != word.start])
    texts = _texts(given)
    text = texts[word.part]
    left, right = text[: word.start], text[word.end :]
    if (not left or left[-1].isspace()) and right[:1].isspace():
        right = right[1:]
    texts[word.part] = left + right or " "
    if isinstance(given, Choices):
        return Choices(texts[0], given.options)
    return texts[0] if isinstance(given, str) else tuple(texts)
