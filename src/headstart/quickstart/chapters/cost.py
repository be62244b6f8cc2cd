"""What it cost: pre-training once, fine-tuning for each task."""

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from headstart.page.charts import Bar, bar_chart
from headstart.page.markup import Markup, absent, chart_figure, element, prose, table
from headstart.page.numbers import duration, exact, known, power
from headstart.quickstart.facts import Cost, Price, Report
from headstart.quickstart.findings import (
    break_even,
)


def chapter(report: Report) -> Iterable[Markup]:
    cost: Cost = report.get("cost") or {}
    shared, runs = cost.get("shared") or Price(), cost.get("per_task") or []
    if not shared and not runs:
        yield absent("No cost was recorded in this run.")
        return
    yield prose(
        "Pre-training is paid once, and all fine-tuned tasks share it. Fine-tuning is paid for each task. A "
        "network that starts from random weights pays only for fine-tuning, but needs more labels."
    )
    names = ["pre-training, once for all tasks"] + [
        f"{run.get('task')}, {exact(run.get('labels'))} labels" for run in runs
    ]
    units = (("seconds", "Time", duration), ("flops", "FLOPs", power))
    yield element("div", *(_bill(names, [shared, *runs], *unit) for unit in units), class_="pair")
    sentences = break_even(report)
    if sentences:
        yield element("h3", "When does sharing pay?")
        yield element("ul", *(element("li", sentence) for sentence in sentences), class_="prose")


def _bill(
    names: Sequence[str],
    parts: Sequence[Price],
    unit: Literal["seconds", "flops"],
    heading: str,
    label: Callable[[float | None], str],
) -> Markup:
    """What pre-training cost, and one fine-tuning for each task and number of labels, in one unit."""
    values = [part.get(unit) if known(part.get(unit)) else None for part in parts]
    if not any(values):
        return element("figure", element("h3", heading), absent(f"{heading}: not recorded."))
    bars = [
        Bar(name, value, label(value), min(index, 1))
        for index, (name, value) in enumerate(zip(names, values, strict=True))
    ]
    drawing = bar_chart(
        f"cost-{unit}", f"{heading} of pre-training and fine-tuning", f"Pre-training: {bars[0].text}.", bars
    )
    data = table(["part", unit], [(bar.name, label(bar.value)) for bar in bars], f"{heading} of each part")
    return chart_figure(
        drawing, "Pre-training, and one fine-tuning for each task and number of labels.", data, heading
    )
