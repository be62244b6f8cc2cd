"""Entities: spans of tagged words, counted whole (Tjong Kim Sang & De Meulder 2003)."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from headstart.tasks.metrics.bootstrap import Measurement, divided, from_sums, ratio

_TAG = re.compile(r"O|[BIESLU]-.+")


class Entity(NamedTuple):
    """A span of words."""

    kind: str
    first: int
    last: int
    """The last word in it."""


def entities(tags: Sequence[str]) -> list[Entity]:
    """The entities in IOB1, IOB2 or IOBES tags, as CoNLL's evaluation reads them, whatever the scheme.

    One begins at `B-` or `S-`, behind `O`, behind `E-` or `S-`, and where the kind changes. `U-` and `L-`
    of BILOU stand for `S-` and `E-`.
    """
    found: list[Entity] = []
    prefix, kind, first = "O", "", 0
    for place, tag in enumerate([*tags, "O"]):
        mark, _, its_kind = tag.partition("-")
        mark = {"U": "S", "L": "E"}.get(mark, mark)
        begins = mark != "O" and (mark in "BS" or prefix in "OES" or its_kind != kind)
        if prefix != "O" and (begins or mark == "O"):
            found.append(Entity(kind, first, place - 1))
        if begins:
            first = place
        prefix, kind = mark, its_kind
    return found


def marks_entities(tags: Sequence[Sequence[str]]) -> bool:
    """Whether these are tags of entities, and not, say, parts of speech."""
    kinds = {tag for sentence in tags for tag in sentence}
    return kinds > {"O"} and all(_TAG.fullmatch(tag) for tag in kinds)


def entity_f1(truth: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> Measurement:
    """F1 of entities over all kinds together: first word, last word and kind have to be right.

    n is the number of true entities; the resamples draw whole sentences.
    """
    rows = _counts(truth, predicted)

    def value(sums: np.ndarray) -> np.ndarray:
        return divided(2 * sums[:, 0], sums[:, 1] + sums[:, 2])

    return from_sums("entity F1", rows, value, rows[:, 1])


def entity_precision(truth: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> Measurement:
    """Share of the entities found that are right."""
    right, _, called = _counts(truth, predicted).T
    return ratio("entity precision", right, called)


def entity_recall(truth: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> Measurement:
    """Share of the true entities that were found."""
    right, true, _ = _counts(truth, predicted).T
    return ratio("entity recall", right, true)


def entity_kinds(truth: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> list[str]:
    """The kinds of entities on either side, the commonest true one first."""
    true = Counter(entity.kind for tags in truth for entity in entities(tags))
    called = {entity.kind for tags in predicted for entity in entities(tags)}
    return [kind for kind, _ in true.most_common()] + sorted(called - set(true))


def of_kind(tags: Sequence[str], kind: str) -> list[str]:
    """The tags of one kind of entity alone, all others as `O`."""
    return [tag if tag.partition("-")[2] == kind else "O" for tag in tags]


def _counts(truth: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> np.ndarray:
    """How many entities of each sentence are right, true and called: `[N, 3]`."""
    rows = np.zeros((len(truth), 3))
    for row, (tags, found) in enumerate(zip(truth, predicted, strict=True)):
        if len(tags) != len(found):
            raise ValueError(f"sentence {row} has {len(tags)} true tags and {len(found)} predicted ones")
        true, called = set(entities(tags)), set(entities(found))
        rows[row] = len(true & called), len(true), len(called)
    return rows
