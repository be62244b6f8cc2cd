"""The report: `report.json` holds every figure, and `report.html` is made from it alone.

The page is one file that needs no network and no scripts. It says first what the head start was worth
and where it was worth nothing, both computed from the scores; then how the models came about. A part
that is missing from the report (no decoder, no labels) leaves a sentence that says so.
`fixture_report` in `tests/test_report.py` shows every key that the page knows.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.page.document import document, write_report
from headstart.page.markup import Markup, element
from headstart.page.numbers import duration, known
from headstart.quickstart.chapters import corpus, cost, head_start, making, pretraining, tokenizer
from headstart.quickstart.chapters.head_start import comparison
from headstart.quickstart.chapters.making import moment
from headstart.quickstart.facts import Report
from headstart.quickstart.findings import (
    Headline,
    ShownScore,
    caveats,
    headline,
)

if TYPE_CHECKING:  # it loads torch
    from headstart.training.machine import Machine


def write(report: Report, folder: Path) -> None:
    """Write `report.json`, and the `report.html` made from what was written."""
    write_report(report, folder, render)


def render(report: Report) -> str:
    """The page for a report."""
    best = headline(report)
    doubts = [element("li", sentence) for sentence in caveats(report)]
    heading = element("h2", "And where it is worth less", id="caveats")
    aside = element("aside", heading, element("ul", *doubts), aria_labelledby="caveats")
    return document(
        "What the head start was worth",
        report.get("headstart") or "",
        _lead(report, best),
        [
            ("head-start", "Head start", head_start.chapter(report)),
            ("corpus", "From crawl to corpus", corpus.chapter(report)),
            ("tokenizer", "Tokenizer", tokenizer.chapter(report)),
            ("pre-training", "Pre-training", pretraining.chapter(report)),
            ("cost", "What it cost", cost.chapter(report)),
            ("making", "How it was made", making.chapter(report)),
        ],
        byline=_byline(report),
        aside=aside if doubts else None,
        description=best.sentence() if best else "How these models came about, with measured numbers.",
    )


def _byline(report: Report) -> Iterable[object]:
    machine: Machine = report.get("machine") or {}
    cores, seconds = machine.get("cores"), report.get("seconds")
    yield moment(report.get("created"))
    yield f"{duration(seconds)} in all" if known(seconds) else None
    yield f"{cores} core{'' if cores == 1 else 's'}" if cores else None
    yield machine.get("cpu")


def _lead(report: Report, best: Headline | None) -> Iterable[Markup]:
    """The finding in a sentence, and the headline's numbers beside those of the other systems."""
    if best is None:
        silence = "No labelled set was given to fine-tune on, so what a head start is worth was not measured."
        yield element("p", silence, class_="headline")
        return
    pieces = [
        element("b", piece, class_=f"s{0 if piece is best.tuned else 1}")
        if isinstance(piece, ShownScore)
        else piece
        for piece in best.parts()
    ]
    yield element("p", *pieces, class_="headline")
    yield from comparison(report, best)
