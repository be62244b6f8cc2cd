"""What a head start is worth: the same network with and without it, by number of labels."""

import math
from collections.abc import Iterable, Sequence

from headstart.page.charts import Axis, Bar, Series, bar_chart, line_chart
from headstart.page.markup import Markup, absent, element, prose, table
from headstart.page.numbers import MISSING, significant
from headstart.quickstart.facts import Report, TaskFacts
from headstart.quickstart.findings import (
    FINE_TUNED,
    FROM_SCRATCH,
    MAJORITY,
    ORDER,
    Headline,
    Scores,
    ShownScore,
    both,
    for_whom,
    in_order,
    kind_of,
    labels_of,
    scores,
    shown_name,
)


def chapter(report: Report) -> Iterable[Markup]:
    measured = scores(report)
    if not measured:
        yield absent("No labelled set was given, so nothing was fine-tuned and there is nothing to compare.")
        return
    yield prose(
        "The same network is trained on the same labelled examples three times: from the pre-trained "
        "weights, from the counts that its embedding began with (the static start), and "
        "from random numbers. The distance between the first line and the last is the head start. The "
        "distance between the first two is what training adds to counting. Counted words answer beside each "
        "network if the labels show that they help. A logistic regression on counted words alone shows the "
        "score without any network, and the most frequent answer shows the score without learning."
    )
    if (sentence := for_whom(report)) is not None:
        yield prose(sentence)
    figures = [_learning_curve(report, index, *item) for index, item in enumerate(measured.items())]
    yield element("div", *figures, class_="pair")


def comparison(report: Report, best: Headline) -> Iterable[Markup]:
    """The headline's two numbers beside those of every other system with as many labels."""
    found, kind = scores(report)[best.task][best.labels], kind_of(report, best.task)
    bars = [
        Bar(shown_name(name, kind), score.mean, str(score), _style(name)) for name, score in found.items()
    ]
    summary = "; ".join(f"{bar.name} {bar.text}" for bar in bars)
    task = (report.get("tasks") or {}).get(best.task) or {}
    yield bar_chart("comparison", f"Scores on {best.task} with {labels_of(best.labels)}", summary, bars)
    yield element("p", _sampling(best, task), class_="small")


def _sampling(best: Headline, task: TaskFacts) -> str:
    """How the headline's numbers were obtained, and what they do not cover."""
    metric = task.get("metric") or "score"
    seeds = _seeds([best.tuned, best.scratch])
    single = len(best.tuned.values) == len(best.scratch.values) == 1
    text = f"{str(metric).capitalize()}, {'' if single else 'mean ± sample standard deviation over '}{seeds}"
    tests = best.tuned.test_examples
    if not tests:
        return text + "."
    text += f", on {tests:,} test examples."
    if metric == "accuracy" and (task.get("kind") or "classification") == "classification":
        share = min(max(best.tuned.mean / 100, 0.0), 1.0)
        error = 100 * math.sqrt(share * (1 - share) / tests)
        text += (
            f" The choice of the test examples adds a standard error of about {significant(error, 2)} points."
        )
    return text


def _seeds(measured: Iterable[ShownScore]) -> str:
    counts = sorted({len(score.values) for score in measured})
    span = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f"{span} seed{'' if counts == [1] else 's'}"


def _style(system: str) -> int:
    """A system's colour, dash and mark."""
    return ORDER.get(system, 4)


def _learning_curve(report: Report, index: int, task: str, by_labels: Scores) -> Markup:
    facts = (report.get("tasks") or {}).get(task) or {}
    kind, metric = kind_of(report, task), str(facts.get("metric") or "score")
    systems = in_order({system for found in by_labels.values() for system in found})
    lines = []
    for system in systems:
        name = shown_name(system, kind)
        # Zero labels have no place on a logarithmic axis; the table below shows them all the same.
        points = {
            labels: found[system] for labels, found in by_labels.items() if system in found and labels > 0
        }
        if system == MAJORITY or not points:
            continue
        lines.append(
            Series(
                name,
                [(labels, score.mean) for labels, score in points.items()],
                _style(system),
                [score.spread for score in points.values()],
                [(labels, value) for labels, score in points.items() for value in score.values],
                notes=[f"{name}, {labels_of(labels)}: {score}" for labels, score in points.items()],
            )
        )
    drawing = None
    below = ""
    if lines:
        seen = [value for line in lines for _, value in (*line.points, *line.observations)]
        counts = [labels for labels in by_labels if labels > 0]
        simplest = [
            (labels, found[MAJORITY].mean)
            for labels, found in by_labels.items()
            if MAJORITY in found and labels > 0
        ]
        highest = max((value for _, value in simplest), default=0.0)
        if simplest and highest >= min(seen) - (max(seen) - min(seen)) / 2:
            name = shown_name(MAJORITY, kind)
            lines.append(Series(name, simplest, _style(MAJORITY), marks=False, thin=True))
        elif simplest:  # so far below that drawing it would flatten everything else
            below = f"The most frequent answer scores {highest:.1f} % at best, below the chart. "
        ends = "; ".join(
            f"{line.name} {line.points[0][1]:.1f} to {line.points[-1][1]:.1f} %" for line in lines
        )
        drawing = line_chart(
            f"curve-{index}",
            f"{metric} on {task} by number of labels",
            f"From {min(counts):,} to {max(counts):,} labels: {ends}.",
            lines,
            Axis("labels (log scale)", log=True, ticks=counts, label=lambda value: f"{value:,.0f}"),
            Axis(f"{metric}, %", limits=(0, 100)),
            height=300,
        )
    scored = [score for found in by_labels.values() for score in found.values()]
    tests = next(
        (f"Test set: {score.test_examples:,} examples. " for score in scored if score.test_examples), ""
    )
    measured = "One seed each, so no spread can be given. "
    if any(len(score.values) > 1 for score in scored):
        bars = "bars reach one sample standard deviation either way"
        measured = f"Mean of {_seeds(scored)}; {bars}; small dots are single seeds. "
    notes = " ".join(str(note) for note in facts.get("notes") or [])
    classes = f"{kind}, {len(facts['labels'])} classes" if facts.get("labels") else kind
    return element(
        "figure",
        element("h3", f"{task} ", element("span", classes, class_="note")),
        drawing,
        element("figcaption", measured, tests, below, notes),
        _score_table(task, by_labels, systems, kind),
    )


def _score_table(task: str, by_labels: Scores, systems: Sequence[str], kind: str) -> Markup:
    """Scores by labels and system, the best of each row set in bold, with the head start in points."""
    rows = []
    for labels, found in by_labels.items():
        best = max(score.mean for score in found.values())
        row: list[object] = [f"{labels:,}"]
        for system in systems:
            score = found.get(system)
            text = MISSING if score is None else score.figures
            row.append(element("b", text) if score and score.mean == best else text)
        gaps = [
            tuned.mean - scratch.mean for _, tuned, scratch in both({labels: found}, FINE_TUNED, FROM_SCRATCH)
        ]
        row.append(f"{gaps[0]:+.1f}".replace("-", "−") if gaps else MISSING)
        rows.append(row)
    headers = ["labels", *(shown_name(system, kind) for system in systems), "head start"]
    return table(headers, rows, f"Scores on {task} in percent, head start in points")
