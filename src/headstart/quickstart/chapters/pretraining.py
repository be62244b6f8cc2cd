"""Pre-training: the loss as it fell, what the models write, and how they fill gaps."""

import math
from collections.abc import Iterable, Sequence
from statistics import mean
from typing import Any

from headstart.page.charts import Axis, Series, line_chart
from headstart.page.markup import Markup, absent, chart_figure, element, join, key_facts, prose, table
from headstart.page.numbers import amount, duration, exact, known, power, short, significant
from headstart.quickstart.chapters.tokenizer import visible
from headstart.quickstart.facts import Guess, LossPoint, PretrainedModel, Report, WrittenText


def chapter(report: Report) -> Iterable[Markup]:
    models = report.get("pretraining") or []
    if not models:
        yield absent("No model was pre-trained in this run.")
        return
    yield prose(
        "Pre-training needs no labels. The text itself asks the questions: the encoder predicts hidden "
        "tokens from both sides, the decoder predicts the next token. A model that knows nothing gives each "
        "of the V tokens the same probability and starts at a loss of ln V; everything below that is "
        "learned."
    )
    yield element("div", *(_loss_figure(index, model) for index, model in enumerate(models)), class_="pair")
    if len(models) > 1:
        yield prose(
            "The two losses cannot be compared with each other: the encoder predicts only hidden tokens and "
            "sees the text on both sides of them. Bits per byte divide by the length of the text, not by the "
            "number of tokens, so tokenizers can be compared; uncompressed text takes 8."
        )
    for model in models:
        yield from _samples(model)
        yield from _fills(model)
    present = {model.get("model") for model in models}
    for missing in ("encoder", "decoder"):
        if missing not in present:
            yield absent(f"No {missing} was pre-trained in this run.")


def _loss_figure(index: int, model: PretrainedModel) -> Markup:
    name = str(model.get("model") or "model")
    curve, evals = _plottable(model.get("curve")), _plottable(model.get("evals"))
    bits = [point["bits_per_byte"] for point in evals if known(point.get("bits_per_byte"))]
    final = model.get("bits_per_byte") if known(model.get("bits_per_byte")) else bits[-1] if bits else None
    facts = key_facts(
        ("Parameters", amount(model.get("parameters"))),
        ("Tokens seen", amount(model.get("tokens"))),
        ("Time", duration(model.get("seconds"))),
        ("FLOPs", power(model.get("flops"))),
        ("Held-out loss", significant(model.get("loss"))),
        (
            "Held-out bits per byte",
            f"{significant(bits[0])} → {significant(final)}" if bits else significant(final),
        ),
    )
    objectives = {"masked": "hidden tokens", "causal": "next token"}
    kind = [model.get("family"), objectives.get(str(model.get("objective")), model.get("objective"))]
    heading = join([name, element("span", join((part for part in kind if part), ", "), class_="note")], " ")
    if not curve and not evals:
        return element("figure", element("h3", heading), facts, absent("No loss curve was recorded."))

    plotted, merged = _thinned(curve, 240)
    held_out = [(point["tokens"], point["loss"]) for point in evals]
    notes = [
        f"{amount(point['tokens'])} tokens: loss {significant(point['loss'])}, "
        f"{significant(point.get('bits_per_byte'))} bits per byte"
        for point in evals
    ]
    lines = [
        Series("training", plotted, 3, marks=False, thin=True),
        Series("held-out", held_out, 0 if name == "encoder" else 4, notes=notes),
    ]
    losses = [point["loss"] for point in (*curve, *evals)]
    seen = max(point["tokens"] for point in (*curve, *evals))
    if known(model.get("ln_vocab")):
        ignorance = model["ln_vocab"]
        lines.append(
            Series(f"ln V = {significant(ignorance)}", [(0, ignorance), (seen, ignorance)], 5, marks=False)
        )
    drawing = line_chart(
        f"loss-{index}",
        f"Loss of the {name} over the tokens it has seen",
        f"From {significant(losses[0])} to {significant(losses[-1])} nats over {amount(seen)} tokens.",
        lines,
        Axis("tokens seen", tight=True),
        Axis("loss, nats per token", label=short),
        height=250,
    )
    listed = [(point, "training") for point in _evenly(curve, 25)] + [(point, "held-out") for point in evals]
    rows = [
        (
            exact(point.get("step")),
            where,
            amount(point["tokens"]),
            duration(point.get("seconds")),
            significant(point["loss"]),
            significant(point.get("bits_per_byte")),
        )
        for point, where in sorted(listed, key=lambda item: item[0]["tokens"])
    ]
    headers = ["step", "measured on", "tokens", "time", "loss", "bits per byte"]
    data = table(headers, rows, f"Loss of the {name}", text_columns=2)
    if len(curve) > 25:
        more = f"25 of {len(curve):,} recorded steps of training; all are in report.json."
        data = join([element("p", more, class_="small"), data])
    caption = (
        f"Each point of the training line is the mean of {merged} recorded steps." if merged > 1 else None
    )
    return chart_figure(join([facts, drawing]), caption, data, heading)


def _plottable(points: Sequence[LossPoint] | None) -> list[LossPoint]:
    """The points of a curve that have a place: a loss that overflowed has none."""
    return [point for point in points or [] if known(point.get("tokens")) and known(point.get("loss"))]


def _thinned(curve: Sequence[LossPoint], most: int) -> tuple[list[tuple[float, float]], int]:
    """At most so many points of a curve, each the mean of as many neighbours as the second value says."""
    width = max(1, math.ceil(len(curve) / most))
    groups = [curve[start : start + width] for start in range(0, len(curve), width)]
    return [(mean(p["tokens"] for p in group), mean(p["loss"] for p in group)) for group in groups], width


def _evenly(values: Sequence[Any], most: int) -> list[Any]:
    """At most so many values, evenly spaced, the first and the last among them."""
    if len(values) <= most:
        return list(values)
    return [values[round(index * (len(values) - 1) / (most - 1))] for index in range(most)]


def _samples(model: PretrainedModel) -> Iterable[Markup]:
    samples = model.get("samples") or []
    if not samples:
        return
    steps: dict[tuple[Any, Any], list[WrittenText]] = {}
    for sample in samples:
        steps.setdefault((sample.get("step"), sample.get("tokens")), []).append(sample)
    chosen = _evenly(list(steps.items()), 7)
    moments = []
    for (step, tokens), written in chosen:
        when = join([element("b", f"{amount(tokens)} tokens"), element("span", f"step {amount(step)}")])
        texts = (
            element(
                "p", element("span", sample.get("prompt"), class_="prompt"), sample.get("text"), dir="auto"
            )
            for sample in written
        )
        moments.append(
            element("li", element("div", when, class_="when"), element("div", *texts, class_="written"))
        )
    yield element("h3", f"What the {model.get('model') or 'model'} writes as it learns")
    shown = f" {len(chosen)} of {len(steps)} moments are shown." if len(steps) > len(chosen) else ""
    yield prose(
        element("span", "The prompt", class_="prompt"),
        f" is always given; the rest is the model's own, unedited.{shown}",
    )
    yield element("ol", *moments, class_="timeline")


def _fills(model: PretrainedModel) -> Iterable[Markup]:
    fills = model.get("fills") or []
    if not fills:
        return
    yield element("h3", f"How the {model.get('model') or 'model'} fills a gap")
    yield prose("Its most likely tokens for the hidden one, with the probability it gives to each.")
    rows = []
    for fill in fills:
        text = join(str(fill.get("text") or "").split("[MASK]"), element("mark", "hidden"))
        guesses = (_guess(guess) for guess in (fill.get("predictions") or [])[:5])
        rows.append(element("li", element("p", text, dir="auto"), element("div", *guesses, class_="guesses")))
    yield element("ul", *rows, class_="fills")


def _guess(guess: Guess) -> Markup:
    percent = 100 * guess["probability"] if known(guess.get("probability")) else 0.0
    token = element("i", visible(str(guess.get("token"))), dir="auto")
    share = element("span", f"{significant(percent, 2)} %", class_="note")
    return element("span", token, share, class_="guess", style=f"--p:{percent:.1f}%")
