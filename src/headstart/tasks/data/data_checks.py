"""What is wrong with labelled data, said before anything is trained on it."""

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from headstart.tasks.examples import Examples, flatten, in_order, normalised
from headstart.tasks.kinds.label_values import number_of

FEW = 10
"""Examples; a label with fewer is hardly learned."""
UNEVEN = 10
"""Times as many examples as another label."""
NO_LABELS = ("nan", "na", "n/a", "#n/a", "<na>", "null", "none", "?")
"""What pandas and others read, or write, for an empty cell."""
CONFLICTS_SHOWN = 60
"""Characters of a text that is shown."""


def unlearnable(examples: Examples) -> str | None:
    """Why nothing can be learned from a training set; None where something can."""
    count = f"all {len(examples):,} examples"
    labels = examples.occurring
    if examples.task in ("classification", "tagging") and len(labels) < 2:
        what = "class" if examples.task == "classification" else "tag"
        return (
            f"one {what} alone, {labels[0]!r}, in {count}; there is nothing to tell apart, so add examples "
            "of another"
        )
    if examples.task == "multi-label" and not labels:
        return f"no label at all in {count}; check which column has them"
    if examples.task == "regression" and len(set(examples.targets)) < 2:
        return f"the same number, {examples.targets[0]:g}, in {count}; there is nothing to predict"
    if examples.task == "question-answering" and not any(examples.targets):
        return f"no answer in {count}; check which column has the answers, and which are marked as impossible"
    if examples.task == "embedding" and len(examples) < 2:
        return "one pair alone; a contrast needs two at least"
    return None


def shared(some: Examples, others: Examples, what: str) -> list[str]:
    """A sentence on the inputs that two sets have in common, where they have any; `what` says what they
    do."""
    known = {normalised(example) for example in others.inputs}
    count = sum(normalised(example) in known for example in some.inputs)
    return [f"{count:,} of the {len(some):,} {what}"] if count else []


def variants(labels: Sequence[str]) -> list[str]:
    """A sentence on labels that differ in case, accents, or blanks and hyphens alone."""
    alike: dict[str, list[str]] = defaultdict(list)
    for label in labels:
        plain = "".join(c for c in unicodedata.normalize("NFKD", label) if not unicodedata.combining(c))
        if number_of(label) is not None:
            continue  # -2 and 2 are two numbers
        alike["".join(c for c in plain.casefold() if c.isalnum()) or label].append(label)
    groups = [", ".join(group) for group in alike.values() if len(group) > 1]
    return [f"labels that differ in case, accents or signs alone: {'; '.join(groups)}"] if groups else []


def unsaid(labels: Sequence[str]) -> list[str]:
    """A sentence on labels that other tools write, or read, where there is none."""
    found = [label for label in labels if label.casefold() in NO_LABELS]
    return [f"labels that may say that there is none, read as classes: {', '.join(found)}"] if found else []


def faults(train: Examples, test: Examples, part: str = "test") -> list[str]:
    """Sentences on duplicates, contradictions, labels that only the test has, and imbalance.

    Args:
        part: what the second set is called.
    """
    found = []
    places: dict[str, list[int]] = defaultdict(list)
    for place, example in enumerate(train.inputs):
        places[normalised(example)].append(place)
    found += shared(test, train, f"{part} examples also occur in the training data")
    unseen = in_order(set(test.occurring) - set(train.occurring))
    if unseen:
        found.append(
            f"labels of the {part} data that the training data lacks, counted as wrong: {', '.join(unseen)}"
        )
    found += _duplicates(train, [group for group in places.values() if len(group) > 1])
    if train.task in ("classification", "multi-label"):
        found += variants(train.occurring) + unsaid(train.occurring)
        found += _imbalance(train)
    if train.task == "question-answering":
        answered = sum(map(bool, train.targets))
        found.append(f"{answered:,} of {len(train):,} questions have an answer in their context")
    return found


def _duplicates(train: Examples, groups: list[list[int]]) -> list[str]:
    """Examples that occur more than once, and those of them that contradict each other."""
    if not groups:
        return []
    found = []
    contradictory = []
    for group in groups:
        answers = [train.targets[place] for place in group]
        if isinstance(answers[0], float):  # numbers that people gave are never quite the same
            contradicts = bool(np.ptp(answers) > np.std(train.targets))
        else:
            contradicts = any(answer != answers[0] for answer in answers)
        if contradicts:
            contradictory.append(group)
    extra = sum(len(group) - 1 for group in groups)
    found.append(f"{extra:,} training examples repeat another one")
    # Where answers are texts, several can be right.
    if contradictory and train.task not in ("question-answering", "text-to-text", "chat"):
        first = contradictory[0]
        text = normalised(train.inputs[first[0]]).replace("\n", " / ")[:CONFLICTS_SHOWN]
        answers = list(dict.fromkeys(_shown(train.targets[place]) for place in first))
        found.append(
            f"{len(contradictory):,} training texts occur with answers that contradict each other, such as "
            f"{text!r} with {' and '.join(answers[:3])}"
        )
    return found


def _shown(target: object) -> str:
    text = " ".join(map(str, target)) if isinstance(target, list | tuple) else str(target)
    return repr(text[:CONFLICTS_SHOWN])


def _imbalance(train: Examples) -> list[str]:
    """The rarest label, where it is few or far fewer than the commonest."""
    seen = Counter(flatten(train.targets))
    (common, most), (rare, least) = seen.most_common()[0], seen.most_common()[-1]
    if most < UNEVEN * least and (least >= FEW or len(train) < FEW * len(seen)):
        return []
    few = sum(count < FEW for count in seen.values())
    others = f"; {few:,} labels have fewer than {FEW}" if few > 1 else ""
    return [f"labels are uneven: {common!r} has {most:,} examples, {rare!r} {least:,}{others}"]
