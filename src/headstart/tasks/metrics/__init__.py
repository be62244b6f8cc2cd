"""Scores of what systems answer, each with its n and a bootstrap interval.

`bootstrap` holds what all metrics share: a `Measurement`, its `Score`, and `compare` for two systems.
"""

from collections.abc import Sequence

from headstart.tasks.examples import Target, TaskKind
from headstart.tasks.metrics.answers import answer_f1, exact_match
from headstart.tasks.metrics.bootstrap import Measurement, Score
from headstart.tasks.metrics.correlation import pearson, spearman
from headstart.tasks.metrics.entities import entity_f1, marks_entities
from headstart.tasks.metrics.labels import accuracy, f1, token_accuracy
from headstart.tasks.metrics.overlap import bleu, chrf, rouge_l, rouge_n, rouge_words
from headstart.tasks.metrics.ranking import partner_found, partner_rank, similarities


def measure(task: TaskKind, truth: Sequence[Target], predicted: Sequence[Target]) -> list[Measurement]:
    """What a task is measured by, the main metric first.

    Classification: accuracy and macro F1. Tagging: accuracy over words; of entities F1 comes before it.
    Several
    labels: micro and macro F1, and how often all are right. Numbers: Pearson's and Spearman's correlation.
    Questions: F1 of words and exact match, as SQuAD has them. Choices: accuracy. Embeddings: the correlations
    of the cosines with given similarities, or how often a text's partner is the nearest of all partners.
    Written texts: ROUGE-L, or chrF where none of them has a Latin word; ROUGE-1 and -2, chrF, BLEU, and how
    often the words are those wanted.
    """
    match task:
        case "tagging":
            words = token_accuracy(truth, predicted)
            return [entity_f1(truth, predicted), words] if marks_entities(truth) else [words]
        case "multi-label":
            return [f1(truth, predicted, "micro"), f1(truth, predicted, "macro"), accuracy(truth, predicted)]
        case "regression":
            return [pearson(truth, predicted), spearman(truth, predicted)]
        case "question-answering":
            texts = [[answer.text for answer in answers] for answers in truth]
            return [answer_f1(texts, predicted), exact_match(texts, predicted)]
        case "multiple-choice":
            return [accuracy([str(place) for place in truth], [str(place) for place in predicted])]
        case "embedding":
            if truth[0] is None:
                return [partner_found(predicted), partner_rank(predicted)]
            cosines = similarities(predicted)
            return [spearman(truth, cosines), pearson(truth, cosines)]
        case "text-to-text" | "chat":
            return _texts(truth, predicted)
        case _:
            return [accuracy(truth, predicted), f1(truth, predicted, "macro")]


def _texts(truth: Sequence[Target], predicted: Sequence[str]) -> list[Measurement]:
    whole = [bleu(truth, predicted), exact_match(truth, predicted)]
    if not any(rouge_words(way) for ways in truth for way in ways):
        return [chrf(truth, predicted), *whole]
    parts = [rouge_n(truth, predicted, order) for order in (1, 2)]
    return [rouge_l(truth, predicted), *parts, chrf(truth, predicted), *whole]


def score(task: TaskKind, truth: Sequence[Target], predicted: Sequence[Target]) -> list[Score]:
    """The scores of a task, the main one first; see `measure`."""
    return [measured.score for measured in measure(task, truth, predicted)]
