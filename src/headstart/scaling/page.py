"""A plan and a fit as pages: IsoFLOP curves, the frontier with published models, the loss surface, memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headstart import __version__
from headstart.folder import atomic
from headstart.page.charts import Axis
from headstart.page.document import document
from headstart.page.markup import Markup, chart_figure, prose, table
from headstart.page.numbers import amount, power, short, size
from headstart.page.plot import PLOT_STYLE, Plot, stacked_bars
from headstart.scaling.fit import Fit
from headstart.scaling.fit_report import FitReport
from headstart.scaling.frontier import Profile, profiles
from headstart.scaling.laws import LossLaw, Parametric
from headstart.scaling.plan import Plan, law_named
from headstart.scaling.published import ALLOCATIONS, models

STEPS = 60
SHADES = 14


@dataclass(frozen=True)
class Figure:
    """A chart under its heading, with what it shows and its numbers."""

    heading: str
    chart: Markup
    caption: str
    headers: Sequence[str]
    rows: Sequence[Sequence[str]]


def write_plan(plan: Plan, path: Path) -> list[Figure]:
    """Write the page of `headstart plan`; returns its figures."""
    name = plan.law.name
    law = law_named(name) if name != "own-fit" else law_named(plan.law.source)
    best, compute = plan.optimum, plan.compute
    lead = [
        f"{amount(best.parameters)} parameters on {amount(best.tokens)} tokens; expected loss "
        f"{best.loss:.3f} nats a token.",
        f"By {name} ({plan.law.source}).",
    ]
    figures = [_frontier(law, compute), _isoflops(law, compute), _surface(law, compute)]
    if plan.layouts:
        bars = [(each.layout, each.memory) for each in plan.layouts]
        figures.append(
            Figure(
                "Memory of the layouts that fit, on each device",
                stacked_bars("Memory by layout", bars, size),
                "The fullest device of each layout, fastest layout first.",
                ["layout", *bars[0][1]],
                [[label, *(size(parts.get(part, 0.0)) for part in bars[0][1])] for label, parts in bars],
            )
        )
    return _write_page(path, f"A plan for {power(compute)} FLOPs", lead, figures)


def write_fit(fitted: Fit, found: FitReport, path: Path) -> list[Figure]:
    """Write the page of `headstart plan fit`; returns its figures."""
    law = fitted.law
    largest = max(run.compute for run in fitted.runs)
    lead = [
        "L = {E:.3f} + {A:.4g} / N^{alpha:.3f} + {B:.4g} / D^{beta:.3f}".format(**found),
        "90 % intervals: " + "; ".join(f"{name} {low:.4g} to {high:.4g}" for name, (low, high) in
                                       found["intervals"].items()),
        f"{len(fitted.outliers)} outliers left out; the others deviate by {fitted.noise:.2%} (robust).",
    ]  # fmt: skip
    figures = [_scatter(fitted), _frontier(law, largest)]
    measured = profiles(fitted.runs)
    if measured:
        figures.insert(0, _profiles(measured))
    figures.append(_surface(law, largest))
    return _write_page(path, f"A scaling law from {len(fitted.runs)} runs", lead, figures)


def _write_page(path: Path, title: str, lead: Sequence[str], figures: list[Figure]) -> list[Figure]:
    """One HTML file that needs nothing else."""
    chapters = [
        (
            f"figure-{number}",
            figure.heading,
            [chart_figure(figure.chart, figure.caption, table(figure.headers, figure.rows, figure.heading))],
        )
        for number, figure in enumerate(figures, 1)
    ]
    page = document(
        title, __version__, [prose(line) for line in lead], chapters, style=PLOT_STYLE.read_text("utf-8")
    )
    with atomic(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return figures


# --- figures ------------------------------------------------------------------------------------------


def _profiles(measured: list[Profile]) -> Figure:
    """Measured runs of equal compute, with the parabola through each group."""
    shown = measured[:: max(1, len(measured) // 6)][:6]
    sizes = [run.parameters for profile in shown for run in profile.runs]
    losses = [run.loss for profile in shown for run in profile.runs]
    low, high = min(losses), max(losses)
    plot = Plot(
        "IsoFLOP profiles",
        Axis("parameters", log=True),
        Axis("loss, nats a token", label=short),
        (min(sizes) / 1.3, max(sizes) * 1.3),
        (low - 0.05 * (high - low), high + 0.05 * (high - low)),
    )
    rows = []
    for index, profile in enumerate(shown):
        square, slope, constant = profile.parabola
        ends = np.log([run.parameters for run in profile.runs])
        curve = [
            (float(np.exp(at)), float(square * at * at + slope * at + constant))
            for at in np.linspace(ends.min(), ends.max(), STEPS)
        ]
        plot.line(curve, index)
        for run in profile.runs:
            plot.dot(run.parameters, run.loss, index, f"{amount(run.parameters)}: {run.loss:.3f}", 3)
        plot.dot(profile.best_size, profile.best_loss, index, "best", 6)
        plot.name(*curve[-1], f"{power(profile.compute)} FLOPs", index)
        rows.append([power(profile.compute), str(len(profile.runs)), amount(profile.best_size),
                     f"{profile.best_loss:.3f}"])  # fmt: skip
    return Figure(
        "For every compute there is a best size", plot.drawn(),
        "Runs of equal compute: to the left models too small, to the right too large for the tokens they "
        "saw. "
        "Large dots: the lowest point of the parabola through each group.",
        ["compute", "runs", "best size", "loss there"], rows,
    )  # fmt: skip


def _isoflops(law: LossLaw, compute: float) -> Figure:
    """What the law says of sizes around the optimum, for some computes."""
    computes = [compute * 10.0**decades for decades in (-4, -3, -2, -1, 0)]
    optima = [law.optimum(each) for each in computes]
    small, large = optima[0].parameters / 15, optima[-1].parameters * 15
    curves = []
    for each, optimum in zip(computes, optima, strict=True):
        sizes = np.geomspace(optimum.parameters / 15, optimum.parameters * 15, STEPS)
        curves.append([(float(n), law.loss(float(n), each / (6 * float(n)))) for n in sizes])
    losses = [loss for curve in curves for _, loss in curve]
    highest = min(max(losses), max(optimum.loss or 0.0 for optimum in optima) * 1.2)
    plot = Plot(
        "IsoFLOP curves",
        Axis("parameters", log=True),
        Axis("loss, nats a token", label=short),
        (small, large),
        (min(losses) * 0.98, highest),
    )
    rows = []
    for index, (each, curve, optimum) in enumerate(zip(computes, curves, optima, strict=True)):
        assert optimum.loss is not None
        plot.line(curve, index)
        plot.dot(
            optimum.parameters, optimum.loss, index, f"{amount(optimum.parameters)}: {optimum.loss:.3f}", 5
        )
        ends = [point for point in curve if point[1] < plot.y_range[1] and point[0] < plot.x_range[1] / 3]
        plot.name(*ends[-1], f"{power(each)} FLOPs", index)
        rows.append([power(each), amount(optimum.parameters), amount(optimum.tokens), f"{optimum.loss:.3f}"])
    return Figure(
        "For every compute there is a best size", plot.drawn(),
        f"Loss by size at fixed compute, by {law.name}. Around the optimum the curves are flat: twice "
        "the size or "
        "half of it costs little.",
        ["compute", "best size", "tokens", "loss"], rows,
    )  # fmt: skip


def _frontier(law: LossLaw, compute: float) -> Figure:
    """Optimal size by compute, with published models as points."""
    known = list({(model.parameters, model.tokens): model for model in reversed(models())}.values())
    computes = [6 * model.parameters * model.tokens for model in known]
    low, high = min(compute / 100, *computes) / 3, max(compute, *computes) * 4
    span = np.geomspace(low, high, STEPS)
    best = [(float(each), law.optimum(float(each)).parameters) for each in span]
    sizes = [model.parameters for model in known] + [size for _, size in best]
    plot = Plot(
        "Size by compute",
        Axis("training FLOPs", log=True, label=power),
        Axis("parameters", log=True),
        (low, high),
        (min(sizes) / 2, max(sizes) * 2),
    )
    if isinstance(law, Parametric) and law.variants:
        spread = [law.interval(lambda one, c=c: one.optimum(c).parameters) for c in map(float, span)]  # type: ignore[misc]
        plot.band([(c, s[0]) for (c, _), s in zip(best, spread, strict=True) if s],
                  [(c, s[1]) for (c, _), s in zip(best, spread, strict=True) if s], 0)  # fmt: skip
    plot.line(best, 0)
    plot.name(*best[len(best) // 3], law.name, 0)
    for style, other in ((1, ALLOCATIONS["kaplan-2020-split"]), (2, ALLOCATIONS["hoffmann-2022-1"])):
        line = [(float(each), other.optimum(float(each)).parameters) for each in span]
        plot.line(
            [point for point in line if plot.y_range[0] < point[1] < plot.y_range[1]], style, dashed=True
        )
        plot.name(*line[len(line) // 5], other.name, style)
    here = law.optimum(compute)
    plot.dot(compute, here.parameters, 0, f"this plan: {amount(here.parameters)}", 7)
    plot.name(compute, here.parameters, "here", 0)
    for model, spent in zip(known, computes, strict=True):
        note = f"{model.name}: {amount(model.parameters)}, {amount(model.tokens)} tokens"
        plot.dot(spent, model.parameters, 3, note)
    for model, spent in zip(known, computes, strict=True):
        plot.name(spent, model.parameters, model.name)
    return Figure(
        "Where published models stand", plot.drawn(),
        "On the line a model's compute went into the size that makes the most of it. Above it a model is "
        "too large "
        "for the tokens it saw; below, it was trained longer than pays in training, to be cheaper in "
        "use. The band "
        "is the 90 % interval.",
        ["model", "parameters", "tokens", "tokens a parameter"],
        [[m.name, amount(m.parameters), amount(m.tokens), f"{m.tokens / m.parameters:,.3g}"] for m in known],
    )  # fmt: skip


def _surface(law: LossLaw, compute: float) -> Figure:
    """Loss over size and tokens, with the path of optimal splits."""
    best = law.optimum(compute)
    sizes = np.geomspace(best.parameters / 1e4, best.parameters * 30, 41)
    lengths = np.geomspace(best.tokens / 1e4, best.tokens * 30, 33)
    grid = np.array([[law.loss(float(n), float(d)) for n in sizes] for d in lengths])
    low, high = np.quantile(grid, 0.0), np.quantile(grid, 0.9)
    plot = Plot(
        "Loss over size and data",
        Axis("parameters", log=True),
        Axis("tokens", log=True),
        (float(sizes[0]), float(sizes[-1])),
        (float(lengths[0]), float(lengths[-1])),
    )
    for row in range(len(lengths) - 1):
        for column in range(len(sizes) - 1):
            share = (float(grid[row, column]) - low) / (high - low)
            shade = round(SHADES * min(1.0, max(0.0, 1 - share))) / SHADES
            if shade:
                low_corner = (float(sizes[column]), float(lengths[row]))
                high_corner = (float(sizes[column + 1]), float(lengths[row + 1]))
                plot.cell(low_corner, high_corner, 0.05 + 0.75 * shade**1.5)
    path = [law.optimum(compute * 10.0**decades) for decades in np.linspace(-7, 2.6, STEPS)]
    plot.line([(o.parameters, o.tokens) for o in path if sizes[0] < o.parameters < sizes[-1]], 1)
    rows = []
    for decades in (-6, -4, -2, 0, 2):
        optimum = law.optimum(compute * 10.0**decades)
        plot.dot(optimum.parameters, optimum.tokens, 1, f"{optimum.loss:.3f}", 5)
        plot.name(optimum.parameters, optimum.tokens, f"{power(optimum.compute)} FLOPs: {optimum.loss:.2f}")
        rows.append([power(optimum.compute), amount(optimum.parameters), amount(optimum.tokens),
                     f"{optimum.loss:.3f}"])  # fmt: skip
    return Figure(
        "The loss over size and data", plot.drawn(),
        "Darker is better; every step of shade is the same step in loss. The line joins the best splits, "
        "with the "
        "loss that they reach.",
        ["compute", "parameters", "tokens", "loss"], rows,
    )  # fmt: skip


def _scatter(fitted: Fit) -> Figure:
    """What the law predicts beside what was measured."""
    runs = [*fitted.runs, *fitted.outliers]
    predicted = [fitted.law.loss(run.parameters, run.tokens) for run in runs]
    low = min(*predicted, *(run.loss for run in runs)) * 0.98
    high = max(*predicted, *(run.loss for run in runs)) * 1.02
    axes = Axis("predicted loss", label=short), Axis("measured loss", label=short)
    plot = Plot("Predicted and measured", *axes, (low, high), (low, high))
    plot.line([(low, low), (high, high)], 5, dashed=True)
    for run, value in zip(runs, predicted, strict=True):
        outlier = run in fitted.outliers
        plot.dot(
            value,
            run.loss,
            1 if outlier else 0,
            f"{run.name}: {run.loss:.3f}, law {value:.3f}",
            5 if outlier else 3,
        )
        if outlier:
            plot.name(value, run.loss, run.name, 1)
    return Figure(
        "How well the law fits", plot.drawn(),
        "Every run; on the dashed line it came out as the law says. The named ones are outliers and were "
        "left out.",
        ["run", "parameters", "tokens", "measured", "predicted"],
        [[run.name, amount(run.parameters), amount(run.tokens), f"{run.loss:.4f}", f"{value:.4f}"]
         for run, value in zip(runs, predicted, strict=True)],
    )  # fmt: skip
