"""A whole page: a head that lets nothing in, a masthead, the contents, and the sections."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar, cast

from headstart.folder import atomic, read_json, write_json
from headstart.page.charts import shapes
from headstart.page.markup import Markup, element, join

TOKENS = Path(__file__).with_name("tokens.css")
"""Colours and faces of reports, exports and the studio."""
PAGE_STYLE = Path(__file__).with_name("page.css")
REPORT_STYLE = Path(__file__).with_name("report.css")
"""Rules for the pages about corpora and quality models: funnels and examples of text."""
# Nothing may be loaded and nothing may run, even if hostile text found a way into the page.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"

Facts = TypeVar("Facts")
"""What a report holds: what JSON can hold."""

Chapter = tuple[str, str, Iterable[Markup]]
"""The name of a section in addresses, its title, and what stands in it."""


def page_style() -> str:
    """The rules of all pages."""
    return TOKENS.read_text("utf-8") + PAGE_STYLE.read_text("utf-8")


def document(
    title: str,
    version: str,
    lead: Iterable[object],
    chapters: Sequence[Chapter],
    *,
    byline: Iterable[object] = (),
    aside: Markup | None = None,
    description: str | None = None,
    style: str = "",
) -> str:
    """The text of a page that is one file and needs no network.

    Args:
        version: of the headstart that measured.
        lead: what is said first, with the page's greatest letters.
        byline, aside: small facts under the title, and what stands beside the lead.
        style: rules of CSS beside those of all pages.
    """
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="description", content=description) if description else None,
        element("title", f"{title} · headstart"),
        element("link", rel="icon", href="data:,"),
        element("style", Markup(page_style() + style)),
    )
    small = [element("span", fact) for fact in byline if fact]
    masthead = element(
        "header",
        element("p", element("b", "headstart"), f" {version}", class_="wordmark"),
        element("h1", title),
        element("p", join(small, " "), class_="byline") if small else None,
        element("div", element("div", *lead), aside, class_="lead"),
    )
    entries = (element("li", element("a", heading, href=f"#{name}")) for name, heading, _ in chapters)
    contents = element("nav", element("ol", *entries), aria_label="Contents")
    sections = [
        element("section", element("h2", heading, id=f"{name}-title"), *body,
                id=name, aria_labelledby=f"{name}-title")
        for name, heading, body in chapters
    ]  # fmt: skip
    body = element("body", shapes(), masthead, contents, element("main", *sections))
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def write_report(report: Facts, folder: Path, render: Callable[[Facts], str]) -> None:
    """Write `report.json`, and the `report.html` that `render` makes from what was written."""
    write_json(folder / "report.json", report)
    page = render(cast(Facts, read_json(folder / "report.json", dict)))
    with atomic(folder / "report.html") as temporary:
        temporary.write_text(page, encoding="utf-8")
