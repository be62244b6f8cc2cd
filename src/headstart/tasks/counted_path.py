"""Counted words and characters beside a network: what they tell of labels is added to what the network says.

A few hundred labels teach a linear head on counts which words matter, and rare words are what it does best; a
network that has to learn them by heart pays with what pre-training gave it. So the two share the work. The
head is fitted first, and cross-validated: each training example has scores from heads that have not seen it.
The network learns beside those, so that it meets in training the mistakes that counts make in use, and what
is left for it is what they cannot tell. In use the head that was fitted to all labels answers.

How much the scores count, and what is added to each label, is chosen on the held-out ones too: words that
tell nothing count nothing, and are left out. How common a label is, the path says and not the network: one
that turns out to be worth little takes nothing of it along. docs/research-log.md, sections 13 and 14, has
what was measured.
"""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from headstart.tasks.counted_words import CountedWords, Counts, label_names, sizes, sort_of
from headstart.tasks.data.splitting import folds
from headstart.tasks.examples import Examples, flatten
from headstart.tasks.kinds.counted_answers import pointed

log = logging.getLogger(__name__)
FOLDS = 5
KEPT = 2
"""Paths: of all examples, and of those from which the trial learns."""
LEAST_EXAMPLES = 24
"""With fewer there is nothing to cross-validate."""
MARGIN = 0.02
"""The share of the labels' entropy, or of the numbers' variance, that counts have to tell of held-out
examples."""
MOST_WORDS = 500_000
"""Of the contexts of questions, some 4,000 of a paragraph each; more would take gigabytes, and a network
learns from more to compare question and context itself."""
TASKS = ("classification", "multi-label", "regression", "tagging", "question-answering")
"""Kinds of task whose labels, or ends of answers, counts can tell."""


@dataclass(frozen=True)
class CountedPath:
    """A head on counts, and what it would have said of the training examples without having seen them."""

    head: CountedWords
    told: float
    """The share of the labels' entropy, or of the numbers' variance, that the held-out scores account for; of
    answers, of what a blind guess among the rows of their contexts costs."""
    held_out: list[Tensor]
    """Of each training example `[labels]`, or of its rows `[rows, labels]` where words are scored."""
    alone: CountedWords
    """What answers where no network does: the head, or the same unweighed where that was right of at least as
    many held-out examples."""


@dataclass(frozen=True)
class _Given:
    """What a path is fitted to; equal where every example and the seed are."""

    digest: bytes
    train: Examples = field(compare=False)
    seed: int = field(compare=False)


def counted_path(train: Examples, seed: int) -> CountedPath | None:
    """Fit the path; None where the examples are too few, or counts tell nothing of those held out.

    It depends on no network, and takes longer than a small one. So the last paths are kept: whoever compares
    several networks on the same examples waits for them once.
    """
    return _fit(_Given(hashlib.sha256(repr((train, seed)).encode()).digest(), train, seed))


@lru_cache(maxsize=KEPT)
def _fit(given: _Given) -> CountedPath | None:
    train, seed = given.train, given.seed
    if train.task not in TASKS or train.in_words or len(train) < LEAST_EXAMPLES:
        return None
    labels = label_names(train)
    each = sizes(train.inputs, sort_of(train))
    ends = np.cumsum(each)
    if train.task == "question-answering" and ends[-1] > MOST_WORDS:
        log.warning("the contexts have %s words, too many to point at answers by counts", f"{ends[-1]:,}")
        return None
    counts = Counts.of(train)
    scores = np.zeros((int(ends[-1]), max(1, len(labels))), np.float32)
    unweighed = np.zeros_like(scores)
    for held in folds(train, FOLDS, seed):
        asked = set(held)
        learned = train.subset(place for place in range(len(train)) if place not in asked)
        if train.task in ("classification", "tagging") and len(learned.occurring) < 2:
            return None
        rows = np.concatenate([np.arange(ends[place] - each[place], ends[place]) for place in held])
        rest = np.ones(len(scores), bool)
        rest[rows] = False
        fold = CountedWords.fit(learned, labels, counts.part(np.flatnonzero(rest)))
        answers = unweighed[rows] = fold.scores_of(counts.part(rows).rows)
        scores[rows] = answers - answers.mean(0)
    scale, bias, told = _weigh(train, scores, each)
    if told < MARGIN:
        return None
    fitted = CountedWords.fit(train, counts=counts)
    head = fitted.changed(scale, bias - scale * fitted.scores_of(counts.rows).mean(0))
    held_out = torch.from_numpy(scale * scores + bias).split(each)
    whole = train.task not in ("tagging", "question-answering")
    weighs_more = train.task not in ("classification", "tagging") or (
        _right(train, scale * scores + bias) > _right(train, unweighed)
    )
    alone = head if weighs_more else fitted
    return CountedPath(head, told, [one[0] if whole else one for one in held_out], alone)


def _weigh(train: Examples, scores: np.ndarray, each: Sequence[int]) -> tuple[float, np.ndarray, float]:
    """How much held-out scores `[rows, labels]` count, what is added to them `[labels]`, and the share that
    they then account for: the scale, 0 or more, and the bias at which they make the true labels likeliest
    (Platt 1999). Which of a context's rows is likeliest, no bias changes.

    Args:
        each: how many rows each example has.
    """
    true = _truth(train)
    given = torch.from_numpy(scores).double()
    scale = torch.zeros((), dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(scores.shape[1], dtype=torch.float64, requires_grad=True)

    def loss_at(scale: Tensor) -> Tensor:
        outputs = scale * given + bias
        if train.task == "regression":
            return (outputs[:, 0] - true).square().mean()
        if train.task == "multi-label":
            return F.binary_cross_entropy_with_logits(outputs, true)
        if train.task == "question-answering":
            padded = pad_sequence(outputs.split(list(each)), True, float("-inf"))  # [examples, rows, 2]
            return F.cross_entropy(padded, true)
        return F.cross_entropy(outputs, true)

    def lowest(weights: Sequence[Tensor], at: Tensor) -> float:
        optimiser = torch.optim.LBFGS(weights, max_iter=100, line_search_fn="strong_wolfe")

        def closure() -> Tensor:
            optimiser.zero_grad()
            value = loss_at(at)
            value.backward()
            return value

        optimiser.step(closure)
        return float(loss_at(at).detach())

    without = lowest([bias], torch.zeros((), dtype=torch.float64))
    value = lowest([scale, bias], scale)
    found = float(scale.detach())
    told = 1 - value / max(without, 1e-12) if found > 0 else 0.0
    return found, bias.detach().numpy().astype(np.float32), told


def _right(train: Examples, scores: np.ndarray) -> int:
    """Of how many rows the true label has the highest score."""
    return int((torch.from_numpy(scores).argmax(1) == _truth(train)).sum())


def _truth(train: Examples) -> Tensor:
    """What is right for each row of scores."""
    if train.task == "regression":
        return torch.tensor(train.targets, dtype=torch.float64)
    if train.task == "question-answering":
        return torch.tensor(
            [pointed(c, its) for (_, c), its in zip(train.inputs, train.targets, strict=True)]
        )
    number = {label: place for place, label in enumerate(train.labels)}
    if train.task == "multi-label":
        true = torch.zeros(len(train), len(number), dtype=torch.float64)
        for row, its in enumerate(train.targets):
            true[row, [number[label] for label in its]] = 1.0
        return true
    return torch.tensor([number[label] for label in flatten(train.targets)])
