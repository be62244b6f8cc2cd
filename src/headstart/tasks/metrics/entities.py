"""Entities: spans of tagged words, counted whole (Tjong Kim Sang & De Meulder 2003)."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from headstart.tasks.metrics.bootstrap import Measurement, divided, from_sums, ratio

SPAN_TAG = re.compile(r"O|[BIESLUM](?:-.+)?")
"""A tag of a word: outside of all spans, or at a place in one, with its kind where there are several."""


class Entity(NamedTuple):
    """A span of words."""

    kind: str
    first: int
    last: int
    """The last word in it."""


class SpanTags(list[str]):
    """The tags of a text's words, with the labelled spans that they stand for."""

    def __init__(self, tags: Sequence[str], spans: Sequence[Entity], unreachable: Sequence[str] = ()) -> None:
        """
        Args:
            spans: those that are whole words, counted in words.
            unreachable: the kinds of those that are not: no tags stand for them, so that no answer is right.
        """
        super().__init__(tags)
        self.spans, self.unreachable = tuple(spans), tuple(unreachable)


def entities(tags: Sequence[str]) -> list[Entity]:
    """The entities in IOB1, IOB2 or IOBES tags, as CoNLL's evaluation reads them, whatever the scheme.

    One begins at `B-` or `S-`, behind `O`, behind `E-` or `S-`, and where the kind changes. `U-` and `L-`
    of BILOU stand for `S-` and `E-`, `M-` of BMES for `I-`. A bare label goes on as long as it stands (IO).
    """
    found: list[Entity] = []
    prefix, kind, first = "O", "", 0
    for place, tag in enumerate([*tags, "O"]):
        mark, _, its_kind = tag.partition("-") if SPAN_TAG.fullmatch(tag) else ("I", "", tag)
        mark = {"U": "S", "L": "E", "M": "I"}.get(mark, mark)
        begins = mark != "O" and (mark in "BS" or prefix in "OES" or its_kind != kind)
        if prefix != "O" and (begins or mark == "O"):
            found.append(Entity(kind, first, place - 1))
        if begins:
            first = place
        prefix, kind = mark, its_kind
    return found


def marks_entities(tags: Sequence[Sequence[str]]) -> bool:
    """Whether these are tags of entities, or of the words of a script without blanks, and not, say, parts of
    speech.

    Bare labels are such tags where `O` is by far the commonest (IO, as in Few-NERD).
    """
    seen = Counter(tag for sentence in tags for tag in sentence)
    if all(SPAN_TAG.fullmatch(tag) for tag in seen):
        return len(seen) > 1 and ("O" in seen or "B" in seen)
    plain = not any(SPAN_TAG.fullmatch(tag) for tag in seen if tag != "O")
    return plain and seen["O"] > sum(seen.values()) / 2


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
    true = Counter(entity.kind for tags in truth for entity in _right(tags))
    true.update(kind for tags in truth for kind in _unreachable(tags))
    called = {entity.kind for tags in predicted for entity in entities(tags)}
    return [kind for kind, _ in true.most_common()] + sorted(called - set(true))


def of_kind(tags: Sequence[str], kind: str) -> list[str]:
    """The tags of one kind of entity alone, all others as `O`."""
    own = [tag if tag.partition("-")[2] == kind else "O" for tag in tags]
    if not isinstance(tags, SpanTags):
        return own
    return SpanTags(
        own, [e for e in tags.spans if e.kind == kind], [k for k in tags.unreachable if k == kind]
    )


def _right(tags: Sequence[str]) -> Sequence[Entity]:
    """The right entities of a sentence that tags can stand for."""
    return tags.spans if isinstance(tags, SpanTags) else entities(tags)


def _unreachable(tags: Sequence[str]) -> Sequence[str]:
    """The kinds of the right entities that no tags can stand for."""
    return tags.unreachable if isinstance(tags, SpanTags) else ()


def _counts(truth: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> np.ndarray:
    """How many entities of each sentence are right, true and called: `[N, 3]`."""
    rows = np.zeros((len(truth), 3))
    for row, (tags, found) in enumerate(zip(truth, predicted, strict=True)):
        if len(tags) != len(found):
            raise ValueError(f"sentence {row} has {len(tags)} true tags and {len(found)} predicted ones")
        true, called = set(_right(tags)), set(entities(found))
        rows[row] = len(true & called), len(true) + len(_unreachable(tags)), len(called)
    return rows
