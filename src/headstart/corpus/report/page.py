"""The report of a corpus: `report.json` holds every figure, and `report.html` is made from it alone.

The page is one file that needs no network, and has no script.
"""

from collections.abc import Iterable
from pathlib import Path

from headstart.corpus.dedup.recall import RecallRow
from headstart.corpus.report import rules
from headstart.corpus.report.figures import funnel_figure, removed_figure, shares_figure, skipped_figure
from headstart.corpus.report.schema import NearPair, Report, Span
from headstart.corpus.text.segments import LANGUAGES
from headstart.corpus_folder import FunnelRow
from headstart.page.charts import Bar, bar_chart
from headstart.page.document import REPORT_STYLE, document, write_report
from headstart.page.markup import Markup, absent, chart_figure, element, join, prose, table
from headstart.page.numbers import amount, exact, percent, short, significant, size

_FOUND = 50


def write(report: Report, folder: Path) -> None:
    """Write `report.json`, and the `report.html` made from what was written."""
    write_report(report, folder, render)


def render(report: Report) -> str:
    """The page for a report."""
    return document(
        "What became of the documents",
        report["headstart"],
        [element("p", *_lead(report), class_="headline")],
        [
            ("stages", "From raw records to the corpus", _stages(report)),
            ("rules", "Rules", rules.chapter(report["quality"])),
            ("removed-documents", "Removed documents", _examples(report)),
            ("duplicates", "Duplicates", _duplicates(report)),
            ("contamination", "Evaluations", _contamination(report)),
            ("mix", "Mix", _mix(report)),
            ("making", "How it was made", _making(report)),
        ],
        style=REPORT_STYLE.read_text("utf-8"),
    )


def _lead(report: Report) -> Iterable[object]:
    first, last = report["funnel"][0], report["funnel"][-1]
    yield f"Of {amount(first['documents'])} records, {size(first['bytes'])}, the corpus keeps "
    yield element("b", f"{amount(last['documents'])} documents", class_="s0")
    yield f", {size(last['bytes'])}: {amount(last['words'])} words."


# --- stages -------------------------------------------------------------------------------------------


def _stages(report: Report) -> Iterable[Markup]:
    yield element("div", *funnel_figure(report["funnel"]), *removed_figure(report["removed"]), class_="pair")
    for column, title in (("domain", "By domain"), ("language", "By language")):
        yield from _by(report["by"][column], column, title)
    yield from _unspaced(report["removed_by_language"], report["segmenter"])
    yield from _rules_by_language(report["removed_by_language"])
    yield element(
        "div",
        *shares_figure("domains", "Where the text comes from", report["domains"]),
        *shares_figure("languages", "Languages", report["languages"]),
        *skipped_figure(report["skipped"], True),
        *_personal_data(report["personal_data"]),
        class_="pair",
    )
    if renamed := report.get("renamed"):
        yield element(
            "p",
            f"{exact(renamed)} documents had the id of another record; the place of their record stands "
            "behind it, as in 17@b.jsonl:3.",
        )


def _personal_data(replaced: dict[str, int]) -> Iterable[Markup]:
    """How much of what identifies persons was replaced by placeholders."""
    if replaced:
        rows = [(kind, exact(count)) for kind, count in sorted(replaced.items(), key=lambda item: -item[1])]
        data = table(["kind", "replaced"], rows, "Personal data replaced by placeholders")
        yield element("figure", element("h3", "Personal data replaced by placeholders"), data)


def _unspaced(removed: Iterable[str], segmenter: str) -> Iterable[Markup]:
    """What a word is in languages without spaces, if there are any."""
    named = ", ".join(language for language in removed if language in LANGUAGES)
    if named and segmenter == "icu":
        yield element("p", f"Words of {named} are the words of ICU's dictionaries.")
    elif named:
        yield element(
            "p", f"In {named} every character counts as a word; headstart[segmenter] adds ICU's dictionaries."
        )


def _rules_by_language(removed: dict[str, dict[str, int]]) -> Iterable[Markup]:
    """A row for each rule, a column for each language."""
    rules = list(dict.fromkeys(rule for counts in removed.values() for rule in counts))
    if not rules or len(removed) < 2:
        return
    rows = [[rule, *(exact(counts.get(rule, 0)) for counts in removed.values())] for rule in rules]
    title = "Documents removed by rule and language"
    yield chart_figure(table(["rule", *(name or "–" for name in removed)], rows, title), None, None, title)


def _by(groups: dict[str, list[FunnelRow]], column: str, title: str) -> Iterable[Markup]:
    """What of each group was left after each stage: documents, and of bytes the share of those extracted."""
    if not groups:
        return
    names = [row["stage"] for row in next(iter(groups.values()))]
    rows = []
    for name, held in groups.items():
        start = held[0]["bytes"] or 1
        cells = [
            f"{exact(row['documents'])} · {significant(100 * row['bytes'] / start, 2)} %" for row in held
        ]
        rows.append([name or "–", *cells])
    caption = "Documents, and bytes in percent of those after extraction; the largest groups."
    yield chart_figure(table([column, *names], rows, title), caption, None, title)


# --- removed documents --------------------------------------------------------------------------------


def _examples(report: Report) -> Iterable[Markup]:
    if not report["examples"]:
        yield absent("No document was removed.")
        return
    yield prose(
        "Random documents for every rule. The text that triggered the rule is marked. Rules about a whole "
        "text, such as its length, mark nothing."
    )
    groups: dict[tuple[str, str], list[Markup]] = {}
    for one in report["examples"]:
        where = " · ".join(part for part in (one["url"] or one["id"], one["domain"], one["language"]) if part)
        text = [*(["…"] if one["start"] else []), *_marked(one["excerpt"], one["spans"])]
        block = element(
            "div", element("p", one["detail"], class_="small"), element("p", where, class_="id"),
            element("div", *text, class_="excerpt", dir="auto", tabindex=0) if one["excerpt"] else None,
        )  # fmt: skip
        groups.setdefault((one["stage"], one["rule"]), []).append(block)
    counts = report["removed"]
    yield element(
        "div",
        *(
            element(
                "details",
                element(
                    "summary",
                    element("b", rule),
                    f" · {stage} · {exact(counts.get(stage, {}).get(rule))} removed",
                ),
                element("div", *blocks, class_="removed"),
            )
            for (stage, rule), blocks in groups.items()
        ),
        class_="groups",
    )


def _marked(text: str, spans: list[Span]) -> Iterable[object]:
    end = 0
    for start, behind in spans:
        if start >= end:
            yield text[end:start]
            yield element("mark", text[start:behind])
            end = behind
    yield text[end:]


# --- duplicates ---------------------------------------------------------------------------------------


def _duplicates(report: Report) -> Iterable[Markup]:
    near = report["near_duplicates"]
    if not near:
        yield absent("Near duplicates were not searched for.")
        return
    left = element("div", _recall(near["recall"]), _sizes(near["sizes"]), class_="removed")
    yield element("div", left, _similarities(near["similarity"]), class_="pair")
    if near["examples"]:
        yield element("h3", "Pairs, and where they differ")
        yield prose(
            "Text that only the kept document has is green; text that only the removed document has is red."
        )
        blocks = [
            element(
                "div",
                element(
                    "p", f"{one['gone']} went for {one['kept']}, similarity {_similar(one)}", class_="id"
                ),
                element("div", *_difference(one["difference"]), class_="excerpt", dir="auto", tabindex=0),
            )
            for one in near["examples"]
        ]
        yield element("div", *blocks, class_="groups")


def _similar(one: NearPair) -> str:
    return significant(one["similarity"], 2)


def _difference(parts: list[list[str]]) -> Iterable[Markup]:
    tags = {"same": "span", "kept": "ins", "gone": "del"}
    return (join([element(tags[kind], text), " "]) for kind, text in parts)


def _recall(rows: list[RecallRow]) -> Markup | None:
    if not any(row["copies"] for row in rows):
        return element(
            "figure", element("h3", "How well copies are found"), absent("No text was long enough.")
        )
    cells = [
        (f"{short(100 * row['changed'])} %", exact(row["copies"]), significant(row["jaccard"], 2),
         percent(row["found"], row["copies"]), percent(row["expected"], row["copies"]), exact(row["false"]))
        for row in rows if row["copies"]
    ]  # fmt: skip
    headers = ["words changed", "copies", "mean similarity", "found", "expected", "false merges"]
    caption = (
        "Copies of random documents with some words replaced were searched for among the keys of this "
        "corpus; they are not part of it. “Expected” follows from MinHash at the copies' true similarities. "
        "A false merge is a link to another document with a true similarity below 0.5."
    )
    return chart_figure(
        table(headers, cells, "Recall on planted copies"), caption, None, "How well copies are found"
    )


def _similarities(counts: list[int]) -> Markup | None:
    if not sum(counts):
        return None
    first = next(at for at, count in enumerate(counts) if count)
    bars = [
        Bar(f"{at / 20:.2f} to {(at + 1) / 20:.2f}", counts[at], exact(counts[at]), 2)
        for at in range(len(counts) - 1, first - 1, -1)
    ]
    drawing = bar_chart("similarity", "Removed near duplicates by similarity", f"{sum(counts)} in all.", bars)
    caption = (
        "Share of equal MinHash values with the kept text. Low values are linked through other documents."
    )
    return chart_figure(drawing, caption, None, "Similarity of removed near duplicates")


def _sizes(sizes: dict[str, int]) -> Markup | None:
    groups: dict[str, int] = {}
    for text, count in sizes.items():
        number = int(text)
        name = next(
            (
                name
                for least, name in ((100, "100 and more"), (10, "10 to 99"), (5, "5 to 9"))
                if number >= least
            ),
            text,
        )
        groups[name] = groups.get(name, 0) + count
    if not groups:
        return None
    bars = [Bar(f"{name} copies", count, exact(count), 3) for name, count in groups.items() if name != "1"]
    drawing = bar_chart("sizes", "Groups of duplicates by size", f"{sum(groups.values())} groups.", bars)
    caption = "Exact and near copies together; a document's number is in its column “copies”."
    return chart_figure(drawing, caption, None, "How many copies there were")


# --- evaluations and mix ------------------------------------------------------------------------------


def _contamination(report: Report) -> Iterable[Markup]:
    found = report["found"]
    if not found:
        yield absent("No evaluation set was named; set decontaminate to your files.")
        return
    rows = [
        (name, exact(row["items"]), exact(row["too_short"]), exact(row["found"]),
         percent(row["found"], row["items"]))
        for name, row in found["files"].items()
    ]  # fmt: skip
    headers = ["file", "items", "too short to search for", "found", "of the items"]
    yield table(headers, rows, "Evaluations found in the raw text")
    items = found["items"]
    if items:
        shown = items[:_FOUND]
        yield element("h3", "What was found where")
        cells = [
            (one["item"], element("q", one["shared"]), one["documents"][0], exact(one["count"]),
             percent(one["covered"], 1)) for one in shown
        ]  # fmt: skip
        headers = ["item", "shared words", "document", "documents", "of the item"]
        yield table(headers, cells, "Items and documents", text_columns=3)
        if len(items) > len(shown):
            yield element(
                "p", f"{len(shown)} of {len(items):,}; all are in contamination.json.", class_="small"
            )


def _mix(report: Report) -> Iterable[Markup]:
    plan = report["mix"]
    if not plan:
        yield absent("No shares were set: every document occurs once, in an order drawn from the seed.")
        return
    rows = [
        (name, percent(row["share"], 1), size(row["available"]), amount(row["tokens_available"]),
         size(row["wanted"]), size(row["chosen"]), amount(row["tokens_chosen"]),
         significant(row["repeats"], 3), percent(row["result_share"], 1))
        for name, row in sorted(plan.items(), key=lambda item: -item[1]["share"])
    ]  # fmt: skip
    headers = ["", "asked for", "available", "tokens", "wanted", "planned", "tokens", "epochs", "result"]
    caption = (
        "Tokens by the recipe's bytes per token. If a group cannot give its share, even repeated, the other "
        "groups give it. The corpus was counted again and equals the plan."
    )
    yield chart_figure(table(headers, rows, "Plan and result of the mix"), caption, None)


def _making(report: Report) -> Iterable[Markup]:
    yield element(
        "details", element("summary", "Resolved recipe"), element("pre", report["recipe"], tabindex=0)
    )
    files = ("Every number on this page is in ", element("code", "report.json"), ", in the same folder.")
    yield element("p", *files, class_="small")
