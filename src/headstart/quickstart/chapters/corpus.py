"""From crawl to corpus: what survived, what went and why."""

from collections.abc import Iterable

from headstart.corpus.report.figures import funnel_figure, removed_figure, shares_figure, skipped_figure
from headstart.page.markup import Markup, absent, element, prose
from headstart.quickstart.facts import Report


def chapter(report: Report) -> Iterable[Markup]:
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
