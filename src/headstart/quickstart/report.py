"""The report: `report.json` holds every figure, and `report.html` is made from it alone.

The page is one file that needs no network and no scripts. It says first what the head start was worth
and where it was worth nothing, both computed from the scores; then how the models came about. A part
that is missing from the report (no decoder, no labels) leaves a sentence that says so.
`fixture_report` in `tests/test_report.py` shows every key that the page knows.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from statistics import mean
from typing import Any

from headstart.corpus.figures import funnel_figure, removed_figure, shares_figure, skipped_figure
from headstart.folder import atomic, read_json, write_json
from headstart.page import STYLE
from headstart.page.charts import (
    MISSING,
    Axis,
    Bar,
    Markup,
    Series,
    absent,
    amount,
    bar_chart,
    chart_figure,
    duration,
    element,
    exact,
    join,
    known,
    line_chart,
    power,
    prose,
    shapes,
    short,
    significant,
    table,
)
from headstart.quickstart.findings import (
    _ORDER,
    FINE_TUNED,
    FROM_SCRATCH,
    MAJORITY,
    Headline,
    Report,
    Score,
    Scores,
    _sorted,
    both,
    break_even,
    caveats,
    headline,
    kind_of,
    labels_of,
    scores,
    shown_name,
)

# Nothing may be loaded and nothing may run, even if hostile text found a way into the page.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"


def write(report: Report, folder: Path) -> None:
    """Write `report.json`, and the `report.html` made from what was written."""
    write_json(folder / "report.json", report)
    page = render(read_json(folder / "report.json"))
    with atomic(folder / "report.html") as temporary:
        temporary.write_text(page, encoding="utf-8")


def render(report: Report) -> str:
    """The page for a report."""
    style = STYLE.read_text(encoding="utf-8")
    best = headline(report)
    description = best.sentence() if best else "How these models came about, with measured numbers."
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="description", content=description),
        element("title", "What the head start was worth · headstart"),
        element("link", rel="icon", href="data:,"),
        element("style", Markup(style)),
    )
    chapters: list[tuple[str, str, Callable[[Report], Iterable[Markup]]]] = [
        ("head-start", "Head start", _head_start),
        ("corpus", "From crawl to corpus", _corpus),
        ("tokenizer", "Tokenizer", _tokenizer),
        ("pre-training", "Pre-training", _pretraining),
        ("cost", "What it cost", _cost),
        ("making", "How it was made", _making),
    ]
    contents = element(
        "nav",
        element("ol", *(element("li", element("a", title, href=f"#{name}")) for name, title, _ in chapters)),
        aria_label="Contents",
    )
    sections = []
    for name, title, chapter in chapters:
        heading = element("h2", title, id=f"{name}-title")
        sections.append(
            element("section", heading, *chapter(report), id=name, aria_labelledby=f"{name}-title")
        )
    body = element("body", shapes(), _masthead(report, best), contents, element("main", *sections))
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


# --- masthead and head start --------------------------------------------------------------------------


def _masthead(report: Report, best: Headline | None) -> Markup:
    machine = report.get("machine") or {}
    cores, seconds = machine.get("cores"), report.get("seconds")
    facts = [
        _moment(report.get("created")),
        f"{duration(seconds)} in all" if known(seconds) else None,
        f"{cores} core{'' if cores == 1 else 's'}" if cores else None,
        machine.get("cpu"),
    ]
    if best:
        pieces = [
            element("b", piece, class_=f"s{0 if piece is best.tuned else 1}")
            if isinstance(piece, Score)
            else piece
            for piece in best.parts()
        ]
        lead = [element("p", *pieces, class_="headline"), *_comparison(report, best)]
    else:
        silence = "No labelled set was given to fine-tune on, so what a head start is worth was not measured."
        lead = [element("p", silence, class_="headline")]
    doubts = [element("li", sentence) for sentence in caveats(report)]
    title = element("h2", "And where it is worth less", id="caveats")
    aside = element("aside", title, element("ul", *doubts), aria_labelledby="caveats") if doubts else None
    return element(
        "header",
        element("p", element("b", "headstart"), f" {report.get('headstart') or ''}", class_="wordmark"),
        element("h1", "What the head start was worth"),
        element("p", join((element("span", fact) for fact in facts if fact), " "), class_="byline"),
        element("div", element("div", *lead), aside, class_="lead"),
    )


def _moment(created: object) -> object:
    """An ISO time as people write it; anything else as it is."""
    try:
        return datetime.fromisoformat(str(created)).strftime("%Y-%m-%d %H:%M %Z").strip()
    except ValueError:
        return created


def _comparison(report: Report, best: Headline) -> Iterable[Markup]:
    """The headline's two numbers beside those of every other system with as many labels."""
    found, kind = scores(report)[best.task][best.labels], kind_of(report, best.task)
    bars = [
        Bar(shown_name(name, kind), score.mean, str(score), _style(name)) for name, score in found.items()
    ]
    summary = "; ".join(f"{bar.name} {bar.text}" for bar in bars)
    task = (report.get("tasks") or {}).get(best.task) or {}
    yield bar_chart("comparison", f"Scores on {best.task} with {labels_of(best.labels)}", summary, bars)
    yield element("p", _sampling(best, task), class_="small")


def _sampling(best: Headline, task: dict[str, Any]) -> str:
    """How the headline's numbers were obtained, and what they do not cover."""
    metric = task.get("metric") or "score"
    seeds = _seeds([best.tuned, best.scratch])
    text = f"{str(metric).capitalize()}, mean ± sample standard deviation over {seeds}"
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


def _seeds(measured: Iterable[Score]) -> str:
    counts = sorted({len(score.values) for score in measured})
    span = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f"{span} seed{'' if counts == [1] else 's'}"


def _head_start(report: Report) -> Iterable[Markup]:
    measured = scores(report)
    if not measured:
        yield absent("No labelled set was given, so nothing was fine-tuned and there is nothing to compare.")
        return
    yield prose(
        "The same network is trained on the same labelled examples twice. Once it starts from the weights "
        "that pre-training left behind, once from random numbers: the distance between the two lines is the "
        "head start. A plain logistic regression shows what can be had without any network, and the most "
        "frequent answer what can be had without learning."
    )
    figures = [_learning_curve(report, index, *item) for index, item in enumerate(measured.items())]
    yield element("div", *figures, class_="pair")


def _style(system: str) -> int:
    """A system's colour, dash and mark."""
    return _ORDER.get(system, 4)


def _learning_curve(report: Report, index: int, task: str, by_labels: Scores) -> Markup:
    facts = (report.get("tasks") or {}).get(task) or {}
    kind, metric = kind_of(report, task), str(facts.get("metric") or "score")
    systems = _sorted({system for found in by_labels.values() for system in found})
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
            below = f"The most frequent answer scores {highest:.1f} % at best, below what is drawn. "
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


# --- corpus -------------------------------------------------------------------------------------------


def _corpus(report: Report) -> Iterable[Markup]:
    funnel = report.get("funnel") or []
    if not funnel:
        yield absent("No funnel was recorded in this run.")
    else:
        yield prose(
            "A crawl is mostly not text to learn from: menus, templates, copies of copies, other languages. "
            "Each stage keeps what its rules allow and names the rule that every other document broke."
        )
    figures = [*funnel_figure(funnel), *removed_figure(report.get("removed") or {})]
    if figures:
        yield element("div", *figures, class_="pair")
    figures = [
        *shares_figure("domains", "Where the text comes from", report.get("domains") or {}),
        *shares_figure("languages", "Languages", report.get("languages") or {}),
        *skipped_figure(report.get("skipped") or {}, bool(funnel)),
    ]
    if figures:
        yield element("div", *figures, class_="pair")


# --- tokenizer ----------------------------------------------------------------------------------------


def _tokenizer(report: Report) -> Iterable[Markup]:
    facts = report.get("tokenizer") or {}
    if not facts:
        yield absent("No tokenizer was trained in this run.")
        return
    yield prose(
        "A model reads numbers, not letters. The tokenizer learned which pieces of text occur so often in "
        "this corpus that each deserves a number of its own: frequent words stay whole, rare ones fall into "
        "parts."
    )
    yield _facts(
        ("Vocabulary", f"{exact(facts.get('vocab_size'))} tokens"),
        ("Bytes per token", significant(facts.get("bytes_per_token"))),
    )
    for example in facts.get("examples") or []:
        pieces = [str(token) for token in example.get("tokens") or []]
        length = len(str(example.get("text") or "").encode(errors="replace"))
        chips = (
            element("span", _visible(piece), class_=f"token t{index % 4}")
            for index, piece in enumerate(pieces)
        )
        text = element("p", *chips, class_="tokens", dir="auto")
        yield element(
            "figure", text, element("figcaption", f"{len(pieces)} tokens, {length} bytes"), class_="example"
        )


def _visible(token: str) -> str:
    """A token with its spaces and line breaks shown."""
    shown = token.replace("Ġ", " ").replace("Ċ", "\n")
    return shown.replace(" ", "·").replace("\n", "↵").replace("\t", "⇥")


def _facts(*pairs: tuple[str, object]) -> Markup:
    groups = (element("div", element("dt", name), element("dd", value)) for name, value in pairs)
    return element("dl", *groups, class_="facts")


# --- pre-training -------------------------------------------------------------------------------------


def _pretraining(report: Report) -> Iterable[Markup]:
    models = report.get("pretraining") or []
    if not models:
        yield absent("No model was pre-trained in this run.")
        return
    yield prose(
        "Nobody labelled anything for this. The text itself asks the questions: the encoder has to fill in "
        "hidden tokens from both sides, the decoder has to say what comes next. A model that knows nothing "
        "gives each of the V tokens the same chance and starts at a loss of ln V; what lies below that was "
        "learned."
    )
    yield element("div", *(_loss_figure(index, model) for index, model in enumerate(models)), class_="pair")
    if len(models) > 1:
        yield prose(
            "The two losses cannot be compared with each other: the encoder is asked for hidden tokens alone "
            "and sees what stands on both sides of them. Bits per byte count by the length of the text and "
            "not by the number of tokens, so that tokenizers can be compared; text as it is stored takes 8."
        )
    for model in models:
        yield from _samples(model)
        yield from _fills(model)
    present = {model.get("model") for model in models}
    for missing in ("encoder", "decoder"):
        if missing not in present:
            yield absent(f"No {missing} was pre-trained in this run.")


def _loss_figure(index: int, model: dict[str, Any]) -> Markup:
    name = str(model.get("model") or "model")
    curve, evals = _plottable(model.get("curve")), _plottable(model.get("evals"))
    bits = [point["bits_per_byte"] for point in evals if known(point.get("bits_per_byte"))]
    final = model.get("bits_per_byte") if known(model.get("bits_per_byte")) else bits[-1] if bits else None
    facts = _facts(
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


def _plottable(points: Sequence[dict[str, Any]] | None) -> list[dict[str, Any]]:
    """The points of a curve that have a place: a loss that overflowed has none."""
    return [point for point in points or [] if known(point.get("tokens")) and known(point.get("loss"))]


def _thinned(curve: Sequence[dict[str, Any]], most: int) -> tuple[list[tuple[float, float]], int]:
    """At most so many points of a curve, each the mean of as many neighbours as the second value says."""
    width = max(1, math.ceil(len(curve) / most))
    groups = [curve[start : start + width] for start in range(0, len(curve), width)]
    return [(mean(p["tokens"] for p in group), mean(p["loss"] for p in group)) for group in groups], width


def _evenly(values: Sequence[Any], most: int) -> list[Any]:
    """At most so many values, evenly spaced, the first and the last among them."""
    if len(values) <= most:
        return list(values)
    return [values[round(index * (len(values) - 1) / (most - 1))] for index in range(most)]


def _samples(model: dict[str, Any]) -> Iterable[Markup]:
    samples = model.get("samples") or []
    if not samples:
        return
    steps: dict[tuple[Any, Any], list[dict[str, Any]]] = {}
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


def _fills(model: dict[str, Any]) -> Iterable[Markup]:
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


def _guess(guess: dict[str, Any]) -> Markup:
    percent = 100 * guess["probability"] if known(guess.get("probability")) else 0.0
    token = element("i", _visible(str(guess.get("token"))), dir="auto")
    share = element("span", f"{significant(percent, 2)} %", class_="note")
    return element("span", token, share, class_="guess", style=f"--p:{percent:.1f}%")


# --- cost ---------------------------------------------------------------------------------------------


def _cost(report: Report) -> Iterable[Markup]:
    cost = report.get("cost") or {}
    shared, runs = cost.get("shared") or {}, cost.get("per_task") or []
    if not shared and not runs:
        yield absent("No cost was recorded in this run.")
        return
    yield prose(
        "Pre-training is paid once, and every task that is fine-tuned on it shares it. Fine-tuning is paid "
        "for each task. A network that starts from random weights pays for the second alone, and for more "
        "labels."
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
    parts: Sequence[dict[str, Any]],
    unit: str,
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


# --- making -------------------------------------------------------------------------------------------


def _making(report: Report) -> Iterable[Markup]:
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
    source = ("Every number on this page is in ", element("code", "report.json"), ", which lies beside it.")
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
    machine = report.get("machine") or {}
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
        ("Made", _moment(report.get("created"))),
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
