"""Labelled examples set apart and sampled, so that what belongs together stays together and every label is
seen."""

from collections import Counter, defaultdict

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from headstart.errors import HeadstartError
from headstart.tasks.examples import Examples, flatten, normalised

TEST_SHARE, TEST_MOST = 0.2, 1_000


def split(examples: Examples, seed: int, share: float | None = None) -> tuple[Examples, Examples]:
    """Set a part aside, stratified by what is right for them: of that share, by default the 20 %, at most
    1,000 examples, of a test part.

    Examples of one group, or with the same normalised text, stay on one side, and every label stays in
    training.
    """
    strata: dict[str, list[list[int]]] = defaultdict(list)
    stratum = _strata(examples)
    for group in _groups(examples):
        strata[stratum[group[0]]].append(group)
    share = min(TEST_SHARE, TEST_MOST / len(examples)) if share is None else share
    random = np.random.Generator(np.random.Philox(key=seed))
    test: list[int] = []
    for label in sorted(strata):
        members = strata[label]
        wanted = share * sum(len(group) for group in members)
        taken = 0
        for index in random.permutation(len(members))[1:]:  # one group of every label is always left
            if taken + len(members[index]) > wanted + 0.5:
                continue
            test += members[index]
            taken += len(members[index])
    held_out = set(test)
    return examples.subset(i for i in range(len(examples)) if i not in held_out), examples.subset(
        sorted(test)
    )


def folds(examples: Examples, count: int, seed: int) -> list[list[int]]:
    """The places of all examples in `count` parts, stratified as by `split`, for cross-validation; what
    belongs together is in one part."""
    stratum = _strata(examples)
    random = np.random.Generator(np.random.Philox(key=seed))
    groups = _groups(examples)
    shuffled = [groups[i] for i in random.permutation(len(groups))]
    parts: list[list[int]] = [[] for _ in range(count)]
    for number, group in enumerate(sorted(shuffled, key=lambda group: stratum[group[0]])):
        parts[number % count] += group
    return [sorted(part) for part in parts if part]


def _groups(examples: Examples) -> list[list[int]]:
    """The examples that have to stay together, by place: they share a group or a text, or hang together
    through others that do."""
    names = [f"text {normalised(one)}" for one in examples.inputs]
    names += [f"group {group}" for group in examples.groups]
    number: dict[str, int] = {}
    nodes = np.array([number.setdefault(name, len(number)) for name in names], dtype=np.int64)
    texts, groups = nodes[: len(examples)], nodes[len(examples) :]
    first = texts[: len(groups)]
    edges = coo_array((np.ones(len(groups)), (first, groups)), shape=(len(number), len(number)))
    _, component = connected_components(edges, directed=False)
    found: dict[int, list[int]] = defaultdict(list)
    for place, text in enumerate(texts.tolist()):
        found[int(component[text])].append(place)
    return list(found.values())


def _strata(examples: Examples) -> list[str]:
    """What each example counts as when a split is balanced: its label, its rarest label, a fifth of the range
    of numbers, or whether a question has an answer."""
    targets = examples.targets
    if examples.task == "classification":
        return list(targets)
    if examples.task == "multi-label":
        seen = Counter(flatten(targets))
        return [min(its, key=lambda label: (seen[label], label), default="") for its in targets]
    if examples.task == "regression":
        fifths = np.searchsorted(np.quantile(targets, [0.2, 0.4, 0.6, 0.8]), targets)
        return [str(fifth) for fifth in fifths]
    return (
        ["answered" if target else "" for target in targets]
        if examples.task == "question-answering"
        else [""] * len(targets)
    )


def sample_labels(examples: Examples, count: int | None, seed: int) -> Examples:
    """Choose `count` examples, the same ones for the same seed whoever asks; None: all of them.

    Classification keeps the shares of the classes, each with one example at least.

    Raises:
        HeadstartError: fewer examples asked for than there are classes.
    """
    if count is None or count >= len(examples):
        return examples
    if count < 1:
        raise HeadstartError(f"labels={count} leaves nothing to learn from; ask for 1 at least")
    random = np.random.Generator(np.random.Philox(key=seed))
    if examples.task != "classification":
        return examples.subset(random.permutation(len(examples))[:count].tolist())
    members: dict[str, list[int]] = defaultdict(list)
    for place, label in enumerate(examples.targets):
        members[str(label)].append(place)
    names = sorted(members)
    if count < len(names):
        raise HeadstartError(
            f"{count} labels cannot cover {len(names)} classes; ask for {len(names)} at least"
        )
    quotas = _proportional([len(members[name]) for name in names], count)
    chosen: list[int] = []
    for name, quota in zip(names, quotas, strict=True):
        chosen += np.array(members[name])[random.permutation(len(members[name]))[:quota]].tolist()
    return examples.subset(chosen)


def _proportional(sizes: list[int], count: int) -> list[int]:
    """Share `count` out in proportion to `sizes`, at least 1 each: one after another goes to the
    class that lags most behind its share (D'Hondt's highest averages, after the first round)."""
    quotas = [1] * len(sizes)
    for _ in range(count - len(sizes)):
        most = max(
            range(len(sizes)), key=lambda i: sizes[i] / (quotas[i] + 1) if quotas[i] < sizes[i] else 0.0
        )
        quotas[most] += 1
    return quotas
