"""The report of a corpus: `report.json` holds every figure, and `report.html` is made from it alone.

The page is one file that needs no network. Its only script recounts the rules over the sample of documents
that lies in it, when a threshold is moved; without scripts everything else is there.
"""

import hashlib
from base64 import b64encode
from collections.abc import Callable, Iterable
from math import log10
from pathlib import Path
from typing import Any

import orjson

from headstart.corpus.figures import funnel_figure, removed_figure, shares_figure, skipped_figure
from headstart.folder import atomic, read_json, write_json
from headstart.page import STYLE
from headstart.page.charts import (
    Bar,
    Markup,
    absent,
    amount,
    bar_chart,
    chart_figure,
    element,
    exact,
    join,
    prose,
    shapes,
    short,
    significant,
    size,
    table,
)

Report = dict[str, Any]
_HERE = Path(__file__).parent
_PAIRS, _FOUND = 15, 50


def write(report: Report, folder: Path) -> None:
    """Write `report.json`, and the `report.html` made from what was written."""
    write_json(folder / "report.json", report)
    page = render(read_json(folder / "report.json"))
    with atomic(folder / "report.html") as temporary:
        temporary.write_text(page, encoding="utf-8")


def render(report: Report) -> str:
    """The page for a report."""
    style = STYLE.read_text("utf-8") + (_HERE / "report.css").read_text("utf-8")
    script = (_HERE / "report.js").read_text("utf-8")
    digest = b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{digest}'"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", "What became of the documents · headstart"),
        element("link", rel="icon", href="data:,"),
        element("style", Markup(style)),
    )
    chapters: list[tuple[str, str, Callable[[Report], Iterable[Markup]]]] = [
        ("stages", "From raw records to the corpus", _stages),
        ("rules", "Rules, and what if", _rules),
        ("removed-documents", "Documents that went", _examples),
        ("duplicates", "Duplicates", _duplicates),
        ("contamination", "Evaluations", _contamination),
        ("mix", "Mix", _mix),
        ("making", "How it was made", _making),
    ]
    contents = element(
        "nav",
        element("ol", *(element("li", element("a", title, href=f"#{name}")) for name, title, _ in chapters)),
        aria_label="Contents",
    )
    sections = [
        element("section", element("h2", title, id=f"{name}-title"), *chapter(report),
                id=name, aria_labelledby=f"{name}-title")
        for name, title, chapter in chapters
    ]  # fmt: skip
    code = element("script", Markup(script)) if report["quality"]["sample"]["documents"] else None
    body = element("body", shapes(), _masthead(report), contents, element("main", *sections), code)
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def _masthead(report: Report) -> Markup:
    first, last = report["funnel"][0], report["funnel"][-1]
    lead = (
        f"Of {amount(first['documents'])} records, {size(first['bytes'])}, the corpus keeps ",
        element("b", f"{amount(last['documents'])} documents", class_="s0"),
        f", {size(last['bytes'])}: {amount(last['words'])} words.",
    )
    return element(
        "header",
        element("p", element("b", "headstart"), f" {report['headstart']}", class_="wordmark"),
        element("h1", "What became of the documents"),
        element("div", element("div", element("p", *lead, class_="headline")), class_="lead"),
    )


# --- stages -------------------------------------------------------------------------------------------


def _stages(report: Report) -> Iterable[Markup]:
    yield element("div", *funnel_figure(report["funnel"]), *removed_figure(report["removed"]), class_="pair")
    for column, title in (("domain", "By domain"), ("language", "By language")):
        yield from _by(report["by"][column], column, title)
    yield element(
        "div",
        *shares_figure("domains", "Where the text comes from", report["domains"]),
        *shares_figure("languages", "Languages", report["languages"]),
        *skipped_figure(report["skipped"], True),
        *_personal_data(report["personal_data"]),
        class_="pair",
    )


def _personal_data(replaced: dict[str, int]) -> Iterable[Markup]:
    """How much of what identifies persons was replaced by placeholders."""
    if replaced:
        rows = [(kind, exact(count)) for kind, count in sorted(replaced.items(), key=lambda item: -item[1])]
        data = table(["kind", "replaced"], rows, "Personal data replaced by placeholders")
        yield element("figure", element("h3", "Personal data replaced by placeholders"), data)


def _by(groups: dict[str, list[dict[str, Any]]], column: str, title: str) -> Iterable[Markup]:
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


# --- rules --------------------------------------------------------------------------------------------


def _rules(report: Report) -> Iterable[Markup]:
    quality = report["quality"]
    sample = quality["sample"]
    if not quality["rules"]:
        yield absent("The recipe has no rules.")
        return
    gone = quality["any"]
    yield prose(
        f"{exact(quality['judged'])} documents came to the rules, and {exact(gone['documents'])} of them "
        f"({_percent(gone['documents'], quality['judged'])}), {size(gone['bytes'])}, broke one or more. "
        "“Alone” counts those that no other rule would have removed: what would be gained without that rule."
    )
    yield _rule_table(quality)
    yield from _together(quality)
    if not sample["documents"]:
        return
    yield element("h3", "What if a threshold were another one?")
    yield prose(
        f"The signals of {exact(sample['documents'])} random documents lie in this page. Move a threshold, "
        "or switch a rule off, and all rules are counted again over them. Bars are documents by the value of "
        "the signal, their heights the square roots of the counts; the coloured side is removed."
    )
    yield element(
        "div", element("span", id="kept"), element("button", "As it ran", id="as-run", type="button"),
        class_="kept try",
    )  # fmt: skip
    yield element("div", *(_card(rule, sample) for rule in quality["rules"]), class_="rules")
    data = {
        "documents": sample["documents"], "judged": quality["judged"], "pages": sample["pages"],
        "signals": sample["signals"],
    }  # fmt: skip
    text = orjson.dumps(data).decode().replace("</", "<\\/")
    yield element("script", Markup(text), id="sample", type="application/json")


def _percent(part: float, whole: float) -> str:
    return f"{significant(100 * part / whole, 2)} %" if whole else "–"


def _rule_table(quality: dict[str, Any]) -> Markup:
    rows = [
        (rule["rule"], _formula(rule), exact(rule["fires"]), _percent(rule["fires"], quality["judged"]),
         size(rule["bytes"]), exact(rule["alone"]), size(rule["alone_bytes"]))
        for rule in sorted(quality["rules"], key=lambda rule: -rule["fires"])
    ]  # fmt: skip
    headers = ["rule", "removes where", "documents", "of all", "bytes", "alone", "bytes alone"]
    return chart_figure(
        table(headers, rows, "What each rule removes", text_columns=2), None, None, "What each rule removes"
    )


def _formula(rule: dict[str, Any]) -> str:
    pages = " (pages)" if rule["pages"] else ""
    return f"{rule['signal']} {rule['op']} {short(rule['threshold'])}{pages}"


def _together(quality: dict[str, Any]) -> Iterable[Markup]:
    """The pairs of rules that fire on the same documents most."""
    names = [rule["rule"] for rule in quality["rules"]]
    fires = [rule["fires"] for rule in quality["rules"]]
    pairs = sorted(
        (-both, names[a], names[b], fires[a], fires[b])
        for a, row in enumerate(quality["together"])
        for b, both in enumerate(row[:a])
        if both
    )[:_PAIRS]
    if not pairs:
        return
    rows = [
        (a, b, exact(-both), _percent(-both, of_a), _percent(-both, of_b)) for both, a, b, of_a, of_b in pairs
    ]
    headers = ["rule", "and rule", "both", "of the first", "of the second"]
    data = table(headers, rows, "Rules that fire together", text_columns=2)
    summary = element("summary", "Rules that fire on the same documents")
    yield element("details", summary, data, class_="numbers")


def _card(rule: dict[str, Any], sample: dict[str, Any]) -> Markup:
    """A rule's histogram with its threshold, and what moves it."""
    signal = sample["signals"][rule["signal"]]
    drawn, values = signal["histogram"], signal["values"]
    most = max(drawn["counts"]) or 1
    width = 100 / len(drawn["counts"])
    columns = [
        element("rect", x=f"{width * at:.2f}%", y=round(60 * (1 - (count / most) ** 0.5), 1),
                width=f"{0.86 * width:.2f}%", height=round(60 * (count / most) ** 0.5, 1), class_="column")
        for at, count in enumerate(drawn["counts"]) if count
    ]  # fmt: skip
    at = 100 * min(
        max((_scaled(rule["threshold"], drawn) - drawn["low"]) / (drawn["high"] - drawn["low"]), 0), 1
    )
    below = rule["op"].startswith("<")
    gone = element(
        "rect", x="0" if below else f"{at:.2f}%", y=0, width=f"{at if below else 100 - at:.2f}%", height=60,
        class_="gone",
    )  # fmt: skip
    line = element("line", x1=f"{at:.2f}%", x2=f"{at:.2f}%", y1=0, y2=60, class_="threshold")
    picture = element(
        "svg", element("title", f"Documents by {rule['meaning'] or rule['signal']}"), *columns, gone, line,
        width="100%", height=60, role="img",
    )  # fmt: skip
    ends = [short(10**end - 1 if drawn["log"] else end) for end in (drawn["low"], drawn["high"])]
    now = min(range(len(values)), key=lambda place: abs(values[place] - rule["threshold"]))
    name = rule["rule"]
    slider = element(
        "input", type="range", min=0, max=len(values) - 1, value=now, aria_label=f"Threshold of {name}",
        data_rule=name, data_signal=rule["signal"], data_op=rule["op"], data_now=now,
        data_pages="1" if rule["pages"] else "",
    )  # fmt: skip
    switch = element("label", element("input", type="checkbox", id=f"off-{name}"), " off")
    return element(
        "div",
        element("h3", name),
        element("code", _formula(rule)),
        picture,
        element("div", element("span", ends[0]), element("span", rule["meaning"]), element("span", ends[1]),
                class_="ends"),
        element("div", slider, element("output"), switch, class_="try"),
        class_="rule",
    )  # fmt: skip


def _scaled(value: float, drawn: dict[str, Any]) -> float:
    return log10(1 + max(value, 0)) if drawn["log"] else value


# --- removed documents --------------------------------------------------------------------------------


def _examples(report: Report) -> Iterable[Markup]:
    if not report["examples"]:
        yield absent("No document was removed.")
        return
    yield prose(
        "Random documents for every rule, with what it fired on marked. Rules about the whole of a text, as "
        "its length, mark nothing."
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


def _marked(text: str, spans: list[list[int]]) -> Iterable[object]:
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
        yield absent("Near duplicates were not looked for.")
        return
    left = element("div", _recall(near["recall"]), _sizes(near["sizes"]), class_="removed")
    yield element("div", left, _similarities(near["similarity"]), class_="pair")
    if near["examples"]:
        yield element("h3", "Pairs, and where they differ")
        yield prose("What only the text that stays has is green, what only the one that went has is red.")
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


def _similar(one: dict[str, Any]) -> str:
    return significant(one["similarity"], 2)


def _difference(parts: list[list[str]]) -> Iterable[Markup]:
    tags = {"same": "span", "kept": "ins", "gone": "del"}
    return (join([element(tags[kind], text), " "]) for kind, text in parts)


def _recall(rows: list[dict[str, Any]]) -> Markup | None:
    if not any(row["copies"] for row in rows):
        return element(
            "figure", element("h3", "How well copies are found"), absent("No text was long enough.")
        )
    cells = [
        (f"{short(100 * row['changed'])} %", exact(row["copies"]), significant(row["jaccard"], 2),
         _percent(row["found"], row["copies"]), _percent(row["expected"], row["copies"]), exact(row["false"]))
        for row in rows if row["copies"]
    ]  # fmt: skip
    headers = ["words changed", "copies", "mean similarity", "found", "expected", "false merges"]
    caption = (
        "Copies of random documents with some words replaced were looked for among the keys of this corpus; "
        "they are no part of it. Expected is what MinHash promises at the copies' true similarities. A false "
        "merge is a link to another document with a true similarity below 0.5."
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
    caption = "Share of equal MinHash values with the text that stays. Low ones are linked through others."
    return chart_figure(drawing, caption, None, "How alike removed near duplicates are")


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
        yield absent("No evaluation was named; set decontaminate to files of yours.")
        return
    rows = [
        (name, exact(row["items"]), exact(row["too_short"]), exact(row["found"]),
         _percent(row["found"], row["items"]))
        for name, row in found["files"].items()
    ]  # fmt: skip
    headers = ["file", "items", "too short to look for", "found", "of the items"]
    yield table(headers, rows, "Evaluations found in the raw text")
    items = found["items"]
    if items:
        shown = items[:_FOUND]
        yield element("h3", "What was found where")
        cells = [
            (one["item"], element("q", one["shared"]), one["documents"][0], exact(one["count"]),
             _percent(one["covered"], 1)) for one in shown
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
        (name, _percent(row["share"], 1), size(row["available"]), amount(row["tokens_available"]),
         size(row["wanted"]), size(row["chosen"]), amount(row["tokens_chosen"]),
         significant(row["repeats"], 3), _percent(row["result_share"], 1))
        for name, row in sorted(plan.items(), key=lambda item: -item[1]["share"])
    ]  # fmt: skip
    headers = ["", "asked for", "available", "tokens", "wanted", "planned", "tokens", "epochs", "result"]
    caption = (
        "Tokens by the recipe's bytes per token. What a group cannot give, even repeated, the others give. "
        "The corpus was counted again and holds what was planned."
    )
    yield chart_figure(table(headers, rows, "Plan and result of the mix"), caption, None)


def _making(report: Report) -> Iterable[Markup]:
    yield element(
        "details", element("summary", "Resolved recipe"), element("pre", report["recipe"], tabindex=0)
    )
    files = ("Every number on this page is in ", element("code", "report.json"), ", which lies beside it.")
    yield element("p", *files, class_="small")
