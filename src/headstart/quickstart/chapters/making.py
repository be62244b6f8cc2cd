"""How it was made: stages, machine, data, recipe and versions."""

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from headstart.page.charts import Bar, bar_chart
from headstart.page.markup import Markup, absent, chart_figure, element, join, table
from headstart.page.numbers import duration, exact, known, short, significant
from headstart.quickstart.facts import Report

if TYPE_CHECKING:  # it loads torch
    from headstart.training.machine import Machine


def chapter(report: Report) -> Iterable[Markup]:
    yield element("div", _stages(report), _machine(report), class_="pair")
    if report.get("notes"):
        yield element("h3", "Notes")
        yield element("ul", *(element("li", note) for note in report["notes"]), class_="prose")
    recipe, versions = report.get("recipe"), report.get("versions") or {}
    if recipe:
        yield element("details", element("summary", "Resolved recipe"), element("pre", recipe, tabindex=0))
    else:
        yield absent("The recipe was not recorded.")
    if versions:
        packages = table(["package", "version"], sorted(versions.items()), "Versions")
        yield element("details", element("summary", "Versions"), packages)
    source = ("Every number on this page is in ", element("code", "report.json"), ", in the same folder.")
    yield element("p", *source, class_="small")


def _stages(report: Report) -> Markup:
    stages = [stage for stage in report.get("stages") or [] if known(stage.get("seconds"))]
    if not stages:
        return element("figure", element("h3", "Stages"), absent("No stage was timed."))
    bars = [Bar(str(stage["stage"]), stage["seconds"], duration(stage["seconds"]), 2) for stage in stages]
    summary = f"{len(stages)} stages took {duration(sum(stage['seconds'] for stage in stages))} together."
    caption = f"{summary} The whole run took {duration(report.get('seconds'))}."
    if known(report.get("minutes_asked")):
        caption += f" {short(report['minutes_asked'])} minutes were asked for."
    data = table(
        ["stage", "seconds"], [(stage["stage"], significant(stage["seconds"])) for stage in stages], "Stages"
    )
    return chart_figure(bar_chart("stages", "Time of each stage", summary, bars), caption, data, "Stages")


def _machine(report: Report) -> Markup:
    machine: Machine = report.get("machine") or {}
    memory, speeds = machine.get("memory_gb"), machine.get("gemm_gflops") or {}
    pairs = [
        ("Processor", machine.get("cpu")),
        ("Cores", machine.get("cores")),
        ("Memory", f"{short(memory)} GB" if known(memory) else None),
        *((f"Matrix product, {kind}", f"{significant(speed)} GFLOP/s") for kind, speed in speeds.items()),
        ("Trained in", machine.get("precision")),
        ("Platform", machine.get("platform")),
        ("Python", machine.get("python")),
        ("torch", machine.get("torch")),
        ("headstart", report.get("headstart")),
        ("Made", moment(report.get("created"))),
        *_provenance(report),
    ]
    rows = (join([element("dt", name), element("dd", value)]) for name, value in pairs if value)
    return element("figure", element("h3", "Machine and data"), element("dl", *rows, class_="pairs"))


def _provenance(report: Report) -> Iterable[tuple[str, str]]:
    """Which seeds and how many examples stand behind the scores."""
    seeds = sorted({entry["seed"] for entry in report.get("head_start") or [] if known(entry.get("seed"))})
    if seeds:
        yield "Seeds", ", ".join(str(seed) for seed in seeds)
    for task, facts in (report.get("tasks") or {}).items():
        train, test = exact(facts.get("train_examples")), exact(facts.get("test_examples"))
        yield f"Examples, {task}", f"{train} to train on, {test} to test on"


def moment(created: object) -> object:
    """An ISO time as people write it; anything else as it is."""
    try:
        return datetime.fromisoformat(str(created)).strftime("%Y-%m-%d %H:%M %Z").strip()
    except ValueError:
        return created
