"""The page of a quality model: what its scores are worth on texts that it has not seen."""

from collections.abc import Iterable
from dataclasses import replace

from headstart.corpus.filters.quality_report import QualityReport, QualityTest, WrongText
from headstart.page.charts import Axis, Series, line_chart
from headstart.page.document import REPORT_STYLE, document
from headstart.page.markup import Markup, absent, chart_figure, element, key_facts, prose, table
from headstart.page.numbers import exact, percent, significant

_SCORE = Axis("score", ticks=[0, 0.2, 0.4, 0.6, 0.8, 1], label=lambda value: f"{value:g}", limits=(0, 1))


def render(report: QualityReport) -> str:
    """The page for the report of `train_quality.train`."""
    test = report["test"]
    return document(
        "How well good text is told from bad",
        report["headstart"],
        [element("p", *_lead(report), class_="headline"), *_figures(test)],
        [
            ("scores", "Scores", _scores(report)),
            ("threshold", "Threshold", _threshold(report)),
            ("calibration", "Calibration", _calibration(test)),
            ("errors", "Most confident errors", _errors(test["errors"])),
            ("making", "How it was made", _making(report)),
        ],
        style=REPORT_STYLE.read_text("utf-8"),
    )


def _lead(report: QualityReport) -> Iterable[object]:
    test = report["test"]
    yield f"Of {exact(test['n'])} texts that it has not seen, {percent(test['kept'], 1)} score "
    yield element("b", f"{report['threshold']:.3f} or more", class_="s0")
    yield f". Of these {percent(test['precision'], 1)} are good, "
    yield f"and of all good ones {percent(test['recall'], 1)} are among them."


def _figures(test: QualityTest) -> Iterable[Markup]:
    low, high = test["f1_95"]
    yield key_facts(
        ("F1", f"{test['f1']:.3f}"),
        ("95 % of resampled", f"{low:.3f} to {high:.3f}"),
        ("Area under ROC", f"{test['area_under_roc']:.3f}"),
        ("Average precision", f"{test['average_precision']:.3f}"),
        ("Brier score", f"{test['brier']:.3f}"),
        ("Calibration error", f"{test['calibration_error']:.3f}"),
    )


def _line_at(threshold: float, top: float) -> Series:
    """The threshold as a vertical line."""
    return Series(f"threshold {threshold:.3f}", [(threshold, 0.0), (threshold, top)], 5, marks=False)


def _scores(report: QualityReport) -> Iterable[Markup]:
    counts = report["test"]["scores"]
    bins = len(counts["good"])
    lines = []
    for kind, style in (("good", 0), ("bad", 1)):
        total = sum(counts[kind])
        shares = [100 * count / total for count in counts[kind]]
        outline = [(edge / bins, share) for at, share in enumerate(shares) for edge in (at, at + 1)]
        lines.append(Series(kind, outline, style, marks=False))
    top = max(share for line in lines for _, share in line.points)
    drawing = line_chart(
        "scores",
        "Scores of good and of bad texts",
        f"Shares of {exact(sum(counts['good']))} good and {exact(sum(counts['bad']))} bad texts by score.",
        [*lines, _line_at(report["threshold"], top)],
        _SCORE,
        Axis("share of the texts of a kind, %", label=lambda value: f"{value:g}"),
    )
    rows = [
        (f"{at / bins:.2f} to {(at + 1) / bins:.2f}", exact(good), exact(bad))
        for at, (good, bad) in enumerate(zip(counts["good"], counts["bad"], strict=True))
    ]
    caption = (
        f"The test part: {exact(sum(counts['good']))} good and {exact(sum(counts['bad']))} bad texts. What "
        "stands right of the threshold is kept."
    )
    yield chart_figure(drawing, caption, table(["score", "good", "bad"], rows, "Texts by score"))


def _threshold(report: QualityReport) -> Iterable[Markup]:
    test = report["test"]
    curve = test["precision_recall"]
    precision = [(row["threshold"], 100 * row["precision"]) for row in curve]
    recall = [(row["threshold"], 100 * row["recall"]) for row in curve]
    lines = [Series("precision", precision, 0, marks=False), Series("recall", recall, 1, marks=False)]
    drawing = line_chart(
        "precision-recall",
        "Precision and recall by threshold",
        f"At {report['threshold']:.3f}: precision {test['precision']:.3f}, recall {test['recall']:.3f}.",
        [*lines, _line_at(report["threshold"], 100)],
        replace(_SCORE, title="threshold"),
        Axis("%", label=lambda value: f"{value:g}", limits=(0, 100)),
    )
    caption = (
        f"The threshold was chosen by {report['threshold_rule']} on another part, "
        f"{_counted(report, 'calibrate')}; the curves are of the {exact(test['n'])} texts of the test part."
    )
    rows = [
        (f"{row['threshold']:.3f}", f"{row['precision']:.3f}", f"{row['recall']:.3f}")
        for row in curve[:: max(1, len(curve) // 25)]
    ]
    data = table(["threshold", "precision", "recall"], rows, "Precision and recall by threshold")
    yield chart_figure(drawing, caption, data)


def _calibration(test: QualityTest) -> Iterable[Markup]:
    rows = test["calibration"]
    measured = Series(
        "measured",
        [(row["score"], row["target"]) for row in rows],
        0,
        [row["standard_error"] for row in rows],
        notes=[f"score {row['score']:.2f}: {row['target']:.2f} of {exact(row['n'])} texts" for row in rows],
    )
    drawing = line_chart(
        "calibration-curve",
        "How good texts are by their score",
        f"Mean distance from the diagonal: {test['calibration_error']:.3f}.",
        [measured, Series("as promised", [(0, 0), (1, 1)], 5, marks=False)],
        _SCORE,
        Axis("mean target", ticks=_SCORE.ticks, label=_SCORE.label, limits=(0, 1)),
    )
    caption = (
        "Mean target of the texts of each tenth of the scores; bars reach one standard error either way. "
        f"Their distance from the diagonal is {test['calibration_error']:.3f} in the mean over texts."
    )
    cells = [
        (f"{row['score']:.3f}", exact(row["n"]), f"{row['target']:.3f}", f"{row['standard_error']:.3f}")
        for row in rows
    ]
    headers = ["mean score", "texts", "mean target", "standard error"]
    yield chart_figure(drawing, caption, table(headers, cells, "Calibration"))


def _errors(errors: dict[str, list[WrongText]]) -> Iterable[Markup]:
    yield prose(
        "Labels that are wrong, and a model that learned a site's template instead of its text, show here. "
        "Of each text the beginning is given."
    )
    kinds = (("kept_bad", "Bad, but scored highest"), ("lost_good", "Good, but scored lowest"))
    for kind, heading in kinds:
        yield element("h3", heading)
        if not errors[kind]:
            yield absent("There are none.")
            continue
        blocks = [
            element(
                "div",
                element("p", f"score {one['score']:.3f}, target {significant(one['target'])}", class_="id"),
                element("div", one["text"], class_="excerpt", dir="auto", tabindex=0),
            )
            for one in errors[kind]
        ]
        yield element("div", *blocks, class_="groups")


def _making(report: QualityReport) -> Iterable[Markup]:
    parts = {"train": "weights", "calibrate": "penalty, calibration, threshold", "test": "this page"}
    rows = [
        (name, exact(count["good"]), exact(count["bad"]), parts[name])
        for name, count in report["examples"].items()
    ]
    examples = table(["part", "good", "bad", "decides"], rows, "Examples by part")
    tried = [
        (penalty, f"{loss:.5f}", "chosen" if float(penalty) == report["penalty"] else "")
        for penalty, loss in report["calibration_loss"].items()
    ]
    losses = table(["penalty on weights", "loss on the calibration part", ""], tried, "Penalties tried")
    caption = "Divided by their content, so that equal texts fall into one part."
    yield element(
        "div", chart_figure(examples, caption, None, "Examples"),
        chart_figure(losses, "Cross-entropy in nats.", None, "Regularisation"), class_="pair",
    )  # fmt: skip
    files = ("Every number on this page is in ", element("code", "report.json"), ", which lies beside it.")
    yield element("p", *files, class_="small")


def _counted(report: QualityReport, part: str) -> str:
    count = report["examples"][part]
    return f"{exact(count['good'])} good and {exact(count['bad'])} bad texts"
