"""What the figures of a report say: the head start, where it ends, and when sharing pays.

Everything here is computed from the report's scores and costs and comes as numbers or sentences, so that
the page and the command line say the same.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import mean, stdev

from headstart.page.markup import listed
from headstart.page.numbers import duration, known, significant
from headstart.quickstart.facts import Report
from headstart.tasks.finetuning.head_start_points import HeadStartPoint

FINE_TUNED, FROM_SCRATCH, TF_IDF, MAJORITY = "fine-tuned", "from-scratch", "tf-idf", "majority"
STATIC, FOUNDATION = "static-start", "foundation"
ORDER = {FINE_TUNED: 0, FROM_SCRATCH: 1, TF_IDF: 2, MAJORITY: 3, STATIC: 4, FOUNDATION: 6}
"""Of the systems, and their colours."""


@dataclass(frozen=True)
class ShownScore:
    """Scores of one system over its seeds, as percentages: mean and sample standard deviation; of one seed
    alone the standard error that so many test examples leave."""

    mean: float
    spread: float
    values: tuple[float, ...]
    test_examples: int | None
    seconds: float | None

    @property
    def figures(self) -> str:
        """Mean and spread without the unit; one seed alone has no spread."""
        return f"{self.mean:.1f}" + (f"\u00a0±\u00a0{self.spread:.1f}" if len(self.values) > 1 else "")

    def __str__(self) -> str:
        return f"{self.figures}\u00a0%"


Scores = dict[int, dict[str, ShownScore]]


def scores(report: Report) -> dict[str, Scores]:
    """The scores by task, number of labels and system."""
    entries: dict[str, dict[int, dict[str, list[HeadStartPoint]]]] = {}
    for entry in report.get("head_start") or []:
        if known(entry.get("score")) and known(entry.get("labels")):
            by_labels = entries.setdefault(str(entry["task"]), {})
            by_labels.setdefault(int(entry["labels"]), {}).setdefault(str(entry["system"]), []).append(entry)
    return {
        task: {
            labels: {name: _score(found[name]) for name in in_order(found)}
            for labels, found in sorted(rows.items())
        }
        for task, rows in entries.items()
    }


def in_order(systems: Iterable[str]) -> list[str]:
    """Systems in the order in which they are always shown."""
    return sorted(systems, key=lambda system: (ORDER.get(system, len(ORDER)), system))


def _score(entries: Sequence[HeadStartPoint]) -> ShownScore:
    values = tuple(100 * entry["score"] for entry in entries)
    tests = [entry["test_examples"] for entry in entries if known(entry.get("test_examples"))]
    times = [entry["seconds"] for entry in entries if known(entry.get("seconds"))]
    return ShownScore(
        mean=mean(values),
        spread=stdev(values) if len(values) > 1 else _standard_error(entries[0]),
        values=values,
        test_examples=min(tests) if tests else None,
        seconds=mean(times) if times else None,
    )


def _standard_error(entry: HeadStartPoint) -> float:
    """Of one score, in percentage points; 0 where its interval is not known."""
    low, high = entry.get("interval") or (0.0, 0.0)
    return 100 * (high - low) / (2 * 1.96)


def _doubt(one: ShownScore) -> str:
    """What two scores that are even lie within."""
    return "the spread of the seeds" if len(one.values) > 1 else "the error of so few test examples"


def _even(one: ShownScore, other: ShownScore) -> bool:
    """Whether two means are no further apart than their two standard deviations together."""
    return abs(one.mean - other.mean) <= one.spread + other.spread


@dataclass(frozen=True)
class Headline:
    """The pre-trained encoder against the same network from random weights, on one task."""

    task: str
    labels: int
    tuned: ShownScore
    scratch: ShownScore

    @property
    def gap(self) -> float:
        """Points that the pre-trained encoder is ahead by; negative where it is behind."""
        return self.tuned.mean - self.scratch.mean

    def sentence(self) -> str:
        """The headline as plain text."""
        return "".join(str(part) for part in self.parts())

    def parts(self) -> tuple[object, ...]:
        """The headline in pieces: the two `ShownScore`s are pieces of their own."""
        if abs(self.gap) < 0.05:
            verdict = "no head start"
        elif self.gap < 0:
            verdict = f"no head start, but {-self.gap:.1f} points lost"
        else:
            verdict = f"a head start of {self.gap:.1f} points"
            verdict += f", within {_doubt(self.tuned)}" if _even(self.tuned, self.scratch) else ""
        begin = f"With {labels_of(self.labels)}, the pre-trained encoder scores "
        middle = f" on {self.task}; the same network from random weights "
        return begin, self.tuned, middle, self.scratch, f": {verdict}."


def headline(report: Report) -> Headline | None:
    """The task with the largest gap at its fewest labels; None if nothing can be compared."""
    candidates = []
    for task, by_labels in scores(report).items():
        for labels, systems in by_labels.items():
            if FINE_TUNED in systems and FROM_SCRATCH in systems:
                candidates.append(Headline(task, labels, systems[FINE_TUNED], systems[FROM_SCRATCH]))
                break
    return max(candidates, key=lambda candidate: candidate.gap, default=None)


def caveats(report: Report) -> list[str]:
    """What has to be said beside the headline, task by task: where the head start ends, how a method
    without any network compares, and where the encoder learned no more than the most frequent answer."""
    sentences = list(report.get("warnings") or [])
    for task, by_labels in scores(report).items():
        sentences += _vanishing(task, both(by_labels, FINE_TUNED, FROM_SCRATCH))
        sentences += _linear(task, both(by_labels, FINE_TUNED, TF_IDF), kind_of(report, task))
        sentences += _behind_static(task, both(by_labels, FINE_TUNED, STATIC))
        for labels, tuned, majority in both(by_labels, FINE_TUNED, MAJORITY):
            if tuned.mean <= majority.mean + tuned.spread:
                sentences.append(
                    f"With {labels_of(labels)} on {task}, even the pre-trained encoder ({tuned}) is no "
                    f"better than always giving the most frequent answer ({majority})."
                )
    return sentences


def _behind_static(task: str, pairs: Sequence[tuple[int, ShownScore, ShownScore]]) -> list[str]:
    """Where the counts that the embedding starts from do as well without any training behind them."""
    behind = [(labels, tuned, static) for labels, tuned, static in pairs if static.mean >= tuned.mean]
    if not behind:
        return []
    labels, tuned, static = max(behind, key=lambda one: one[2].mean - one[1].mean)
    counts = _counts([one[0] for one in behind])
    return [
        f"On {task} the static start alone, without a step of training, does as well with {counts} "
        f"({static} against {tuned} with {labels:,})."
    ]


def for_whom(report: Report) -> str | None:
    """One sentence: which way pays for whom, by the mean over all tasks at each number of labels; None:
    too little was measured."""
    by_labels: dict[int, dict[str, list[float]]] = {}
    for rows in scores(report).values():
        for labels, found in rows.items():
            for system, score in found.items():
                by_labels.setdefault(labels, {}).setdefault(system, []).append(score.mean)
    tasks = len(scores(report))
    means = {
        labels: {system: mean(values) for system, values in found.items() if len(values) == tasks}
        for labels, found in sorted(by_labels.items())
    }
    best: dict[str, list[int]] = {}
    for labels, each in means.items():
        if len(each) > 1:
            best.setdefault(max(each, key=lambda system: each[system]), []).append(labels)
    if not best:
        return None
    parts = [f"{_PAYS.get(system, system)} with {_counts(labels)}" for system, labels in best.items()]
    return f"On the mean of {'all tasks' if tasks > 1 else 'the task'}, the best choice is {listed(parts)}."


_PAYS = {
    FINE_TUNED: "your own pre-training",
    STATIC: "the static start alone, counted in seconds,",
    FOUNDATION: "the model that comes with headstart",
    FROM_SCRATCH: "a network from random weights",
    TF_IDF: "counted words without a network",
    MAJORITY: "the most frequent answer",
}


def _counts(labels: Sequence[int]) -> str:
    return f"{listed([f'{count:,}' for count in labels])} labels"


def both(by_labels: Scores, one: str, other: str) -> list[tuple[int, ShownScore, ShownScore]]:
    """The numbers of labels at which two systems were both measured, with their scores."""
    return [
        (labels, found[one], found[other])
        for labels, found in by_labels.items()
        if {one, other} <= set(found)
    ]


def _vanishing(task: str, pairs: Sequence[tuple[int, ShownScore, ShownScore]]) -> list[str]:
    """From how many labels on there is no head start any more; or how far it shrinks."""
    gone = None
    for labels, tuned, scratch in reversed(pairs):
        if tuned.mean > scratch.mean and not _even(tuned, scratch):
            break
        gone = labels, tuned, scratch
    if gone:
        labels, tuned, scratch = gone
        reason = f"within {_doubt(tuned)}" if _even(tuned, scratch) else "random weights do better"
        since = f"with {labels_of(labels)}" if labels == pairs[-1][0] else f"from {labels_of(labels)} on"
        return [f"On {task} the head start is gone {since}: {tuned} against {scratch}, {reason}."]
    if len(pairs) < 2:
        return []
    (few, *first), (many, *last) = pairs[0], pairs[-1]
    before, after = first[0].mean - first[1].mean, last[0].mean - last[1].mean
    verb = "shrinks" if after < before else "grows" if after > before else "remains"
    return [
        f"On {task} the head start {verb} from {before:.1f} points with {labels_of(few)} to {after:.1f} with "
        f"{many:,}."
    ]


def _linear(task: str, pairs: Sequence[tuple[int, ShownScore, ShownScore]], kind: str) -> list[str]:
    """Where plain logistic regression wins against the pre-trained encoder; or how close it comes."""
    if not pairs:
        return []
    name = f"Logistic regression on {_linear_features(kind)}, without any network,"
    ahead = [pair for pair in pairs if pair[2].mean > pair[1].mean]
    if not ahead:
        labels, tuned, linear = max(pairs, key=lambda pair: pair[2].mean - pair[1].mean)
        return [f"{name} comes closest on {task} with {labels_of(labels)}: {linear} against {tuned}."]
    beaten = [pair for pair in ahead if not _even(pair[2], pair[1])]
    labels, tuned, linear = max(beaten or ahead, key=lambda pair: pair[2].mean - pair[1].mean)
    counts = [pair[0] for pair in beaten or ahead]
    where = f"with {_counts(counts)}" if len(counts) < max(len(pairs), 2) else "at every number of labels"
    figures = f"{linear} against {tuned} with {labels:,}"
    if not beaten:
        return [f"{name} does as well on {task} {where} ({figures}, within {_doubt(linear)})."]
    by = f"by {'up to ' if len(counts) > 1 else ''}{linear.mean - tuned.mean:.1f} points"
    return [f"{name} beats the pre-trained encoder on {task} {where} {by} ({figures})."]


def labels_of(count: int) -> str:
    return f"{count:,} label" if count == 1 else f"{count:,} labels"


def kind_of(report: Report, task: str) -> str:
    return str(((report.get("tasks") or {}).get(task) or {}).get("kind") or "classification")


def _linear_features(kind: str) -> str:
    """What the logistic regression sees of a text; of a tagged word, its neighbours."""
    return "counted words" if kind == "classification" else "word windows"


def shown_name(system: str, kind: str) -> str:
    """How a system is called on the page."""
    names = {
        FINE_TUNED: "pre-trained",
        FROM_SCRATCH: "random weights",
        MAJORITY: "most frequent",
        STATIC: "static start",
        FOUNDATION: "headstart-mini",
    }
    return names.get(system) or (_linear_features(kind) if system == TF_IDF else system)


def break_even(report: Report) -> list[str]:
    """What the measured costs say about when pre-training pays, and what they cannot say."""
    cost = report.get("cost") or {}
    shared = (cost.get("shared") or {}).get("seconds")
    runs = [run for run in cost.get("per_task") or [] if run.get("seconds") and known(run["seconds"])]
    if not known(shared) or not runs:
        return []
    average = mean(run["seconds"] for run in runs)
    sentences = [
        f"Pre-training took {duration(shared)}, one fine-tuning {duration(average)} (mean of {len(runs)} "
        f"settings): the shared part costs as much as {significant(shared / average)} fine-tunings."
    ]
    dearest: dict[object, float] = {}
    for run in runs:
        dearest[run.get("task")] = max(run["seconds"], dearest.get(run.get("task"), 0.0))
    if len(dearest) > 1:
        tuning, tasks = sum(dearest.values()), len(dearest)
        sentences.append(
            f"If each of the {tasks} tasks had its own pre-training, the tasks would take "
            f"{duration(tasks * shared + tuning)} with the most labels instead of "
            f"{duration(shared + tuning)}: compared with that, sharing pays from the second task on."
        )
    savings = []
    for task, by_labels in scores(report).items():
        pairs = both(by_labels, FINE_TUNED, FROM_SCRATCH)
        if not pairs:
            continue
        few, tuned, _ = pairs[0]
        begin = f"On {task}, the pre-trained encoder's {tuned} with {labels_of(few)}"
        level = next(((labels, scratch) for labels, _, scratch in pairs if scratch.mean >= tuned.mean), None)
        if level is None:
            sentences.append(
                f"{begin} is not reached from random weights, even with {pairs[-1][0]:,} labels."
            )
        elif level[0] == few:
            sentences.append(
                f"{begin} is reached from random weights with as many labels: nothing is saved there."
            )
        else:
            labels, scratch = level
            sentences.append(
                f"{begin} needs {labels:,} labels from random weights ({scratch}; measured points only)."
            )
            if tuned.seconds is not None and scratch.seconds is not None:
                savings.append(scratch.seconds - tuned.seconds)
    saving = mean(savings) if savings else 0.0
    if saving > 0:
        sentences.append(
            f"In machine time alone, a head start reaches that score {duration(saving)} sooner a "
            f"task{'' if len(savings) > 1 else ' (one task measured)'}, so pre-training has paid for itself "
            f"after {math.ceil(shared / saving):,} such tasks. The saved labels come in addition and are not "
            "priced here."
        )
    elif scores(report):
        sentences.append(
            "In machine time alone, these runs show no number of tasks after which pre-training has paid "
            "for itself: here it gives a better score from few labels, not less time."
        )
    return sentences
