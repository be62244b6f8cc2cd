"""Short answers in words, compared as SQuAD does (Rajpurkar et al. 2016, section 6.1, and 2018).

Case, punctuation, the articles and white space do not count. The right answer may be written in several
ways, of which the best one counts; none at all means that the text does not answer the question.
"""

import re
import string
from collections import Counter
from collections.abc import Sequence

from headstart.tasks.metrics.bootstrap import Measurement, mean

_SIGNS = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")


def exact_match(truth: Sequence[Sequence[str]], predicted: Sequence[str]) -> Measurement:
    """Share of answers that say the same as one of the right ones; "" is no answer."""
    return mean(
        "exact match",
        [
            max(normalise(answer) == normalise(one) for one in _ways(right))
            for right, answer in zip(truth, predicted, strict=True)
        ],
    )


def answer_f1(truth: Sequence[Sequence[str]], predicted: Sequence[str]) -> Measurement:
    """Mean F1 of the words that an answer shares with the right one most like it."""
    return mean(
        "answer F1",
        [
            max(_shared(answer, one) for one in _ways(right))
            for right, answer in zip(truth, predicted, strict=True)
        ],
    )


def normalise(answer: str) -> str:
    """What of an answer counts."""
    return " ".join(_ARTICLES.sub(" ", answer.lower().translate(_SIGNS)).split())


def _ways(right: Sequence[str]) -> Sequence[str]:
    """The ways to write an answer that leave something to compare; without one, no answer is right."""
    return [answer for answer in right if normalise(answer)] or [""]


def _shared(answer: str, right: str) -> float:
    called, true = normalise(answer).split(), normalise(right).split()
    if not called or not true:
        return float(called == true)
    shared = (Counter(called) & Counter(true)).total()
    return 2 * shared / (len(called) + len(true))
