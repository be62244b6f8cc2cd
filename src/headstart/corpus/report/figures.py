"""What became of a corpus's documents, as figures: its own report shows them, and the quickstart's."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from headstart.page.charts import Bar, bar_chart, funnel_chart
from headstart.page.markup import Markup, absent, chart_figure, element, listed, table
from headstart.page.numbers import amount, exact, known, significant, size


def funnel_figure(funnel: Sequence[Mapping[str, Any]]) -> Iterable[Markup]:
    """The stages three times over, in documents, bytes and tokens; radio buttons choose, without a script."""
    if not funnel:
        return
    labels = {"documents": amount, "bytes": size, "words": amount, "tokens": amount}
    present = [unit for unit in labels if any(known(stage.get(unit)) for stage in funnel)]
    inputs, panels = [], []
    for unit in present:
        stages = [(str(stage["stage"]), stage.get(unit)) for stage in funnel]
        counted = [labels[unit](value) for _, value in stages if known(value)]
        summary = f"From {counted[0]} to {counted[-1]} {unit} over {len(stages)} stages."
        drawing = funnel_chart(
            f"funnel-{unit}-chart", f"{unit} left after each stage", summary, stages, labels[unit]
        )
        checked = unit == present[0]
        inputs.append(element("input", type="radio", name="funnel", id=f"funnel-{unit}", checked=checked))
        inputs.append(element("label", unit, for_=f"funnel-{unit}"))
        panels.append(element("div", drawing, class_=f"panel {unit}"))
    first, last = funnel[0], funnel[-1]
    kept = [
        f"{significant(100 * last[unit] / first[unit])} % of the {unit}"
        for unit in ("documents", "bytes")
        if first.get(unit) and known(last.get(unit))
    ]
    caption = "The faint part of a bar was removed by its stage."
    caption += f" Left in the end: {listed(kept)}." if kept else ""
    caption += "" if {"tokens", "words"} & {*present} else " Tokens were not counted."
    rows = [(stage["stage"], *(exact(stage.get(unit)) for unit in present)) for stage in funnel]
    switch = element("div", *inputs, *panels, class_="switch", role="group", aria_label="Unit of the funnel")
    yield chart_figure(
        switch, caption, table(["stage", *present], rows, "Survivors by stage"), "What survives each stage"
    )


def removed_figure(removed: Mapping[str, Mapping[str, int]]) -> Iterable[Markup]:
    """The rules that removed most."""
    rules = [
        (str(stage), str(rule), count)
        for stage, by_rule in removed.items()
        for rule, count in by_rule.items()
        if count
    ]
    if not rules:
        return
    rules.sort(key=lambda rule: -rule[2])
    bars = [Bar(rule, count, amount(count), 1, note=stage) for stage, rule, count in rules[:8]]
    caption = f"{sum(rule[2] for rule in rules):,} documents removed by {len(rules)} rules"
    caption += f"; the {len(bars)} that removed most are drawn." if len(rules) > len(bars) else "."
    rows = [(stage, rule, exact(count)) for stage, rule, count in rules]
    data = table(["stage", "rule", "documents"], rows, "Removed documents by rule", text_columns=2)
    worst = f"Most by {rules[0][1]} with {exact(rules[0][2])}."
    drawing = bar_chart("removed", "Documents removed by each rule", worst, bars)
    yield chart_figure(drawing, caption, data, "Why documents were removed")


def skipped_figure(skipped: Mapping[str, int], read: bool) -> Iterable[Markup]:
    """Records that could not be used, by reason."""
    title = element("h3", "Records that could not be used")
    if skipped:
        rows = [
            (reason, exact(count)) for reason, count in sorted(skipped.items(), key=lambda item: -item[1])
        ]
        yield element("figure", title, table(["reason", "records"], rows, "Skipped records by reason"))
    elif read:
        yield element("figure", title, absent("No record had to be skipped."))


def shares_figure(name: str, heading: str, parts: Mapping[str, Mapping[str, Any] | int]) -> Iterable[Markup]:
    """Bars for the largest parts of the corpus, by bytes where those are known, else by documents."""
    if not parts:
        return
    facts = {
        str(part): value if isinstance(value, Mapping) else {"documents": value}
        for part, value in parts.items()
    }
    unit = "bytes" if all(known(value.get("bytes")) for value in facts.values()) else "documents"
    label = size if unit == "bytes" else amount
    ranked = sorted(
        ((part, value.get(unit) or 0) for part, value in facts.items()), key=lambda item: -item[1]
    )
    total = sum(value for _, value in ranked) or 1
    bars = [
        Bar(part, value, label(value), 2, note=f"{significant(100 * value / total, 2)} %")
        for part, value in ranked[:8]
    ]
    caption = f"In {unit}, with the share of all."
    caption += f" The {len(bars)} largest of {len(ranked)}." if len(ranked) > len(bars) else ""
    units = [
        key
        for key in ("documents", "bytes", "words", "tokens")
        if any(known(value.get(key)) for value in facts.values())
    ]
    rows = [(part, *(exact(facts[part].get(key)) for key in units)) for part, _ in ranked]
    drawing = bar_chart(name, f"{heading}, in {unit}", f"Most: {bars[0].name} with {bars[0].text}.", bars)
    yield chart_figure(drawing, caption, table([name, *units], rows, heading), heading)
