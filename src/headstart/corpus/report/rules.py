"""Rules in the report of a corpus: what each removes, and how its signal is spread around its threshold.

The page has no script. The studio counts what other thresholds would remove, over the same sample.
"""

from collections.abc import Iterable
from math import log10

from headstart.corpus.report.schema import Histogram, Quality, RuleRow, Sample
from headstart.page.markup import Markup, absent, chart_figure, element, prose, table
from headstart.page.numbers import exact, percent, short, size

_PAIRS = 15


def chapter(quality: Quality) -> Iterable[Markup]:
    """The rules of a report, what each removes, and their signals where there is a sample."""
    sample = quality["sample"]
    if not quality["rules"]:
        yield absent("The recipe has no rules.")
        return
    gone = quality["any"]
    yield prose(
        f"{exact(quality['judged'])} documents came to the rules, and {exact(gone['documents'])} of them "
        f"({percent(gone['documents'], quality['judged'])}), {size(gone['bytes'])}, broke one or more. "
        "“Alone” counts those that no other rule would have removed: what would be gained without that rule."
    )
    yield _rule_table(quality)
    yield from _together(quality)
    if not sample["documents"]:
        return
    yield element("h3", "Signals around their thresholds")
    yield prose(
        f"The signals of {exact(sample['documents'])} random documents. Bars are documents by the value of "
        "the signal, their heights the square roots of the counts; the coloured side is removed."
    )
    yield element("div", *(_card(rule, sample) for rule in quality["rules"]), class_="rules")
    yield element(
        "p", "The studio counts at once what a different threshold would remove: ",
        element("code", "headstart studio"), ", or as a page that works offline ",
        element("code", "headstart studio export corpus FOLDER --out thresholds.html"), ".",
    )  # fmt: skip


def _rule_table(quality: Quality) -> Markup:
    rows = [
        (rule["rule"], _formula(rule), exact(rule["fires"]), percent(rule["fires"], quality["judged"]),
         size(rule["bytes"]), exact(rule["alone"]), size(rule["alone_bytes"]))
        for rule in sorted(quality["rules"], key=lambda rule: -rule["fires"])
    ]  # fmt: skip
    headers = ["rule", "removes where", "documents", "of all", "bytes", "alone", "bytes alone"]
    return chart_figure(
        table(headers, rows, "What each rule removes", text_columns=2), None, None, "What each rule removes"
    )


def _formula(rule: RuleRow) -> str:
    pages = " (pages)" if rule["pages"] else ""
    return f"{rule['signal']} {rule['op']} {short(rule['threshold'])}{pages}"


def _together(quality: Quality) -> Iterable[Markup]:
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
        (a, b, exact(-both), percent(-both, of_a), percent(-both, of_b)) for both, a, b, of_a, of_b in pairs
    ]
    headers = ["rule", "and rule", "both", "of the first", "of the second"]
    data = table(headers, rows, "Rules that fire together", text_columns=2)
    summary = element("summary", "Rules that fire on the same documents")
    yield element("details", summary, data, class_="numbers")


def _card(rule: RuleRow, sample: Sample) -> Markup:
    """A rule's histogram with its threshold."""
    signal = sample["signals"][rule["signal"]]
    drawn = signal["histogram"]
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
    return element(
        "div",
        element("h3", rule["rule"]),
        element("code", _formula(rule)),
        element("p", _apart(rule), class_="small") if rule.get("languages") else None,
        picture,
        element("div", element("span", ends[0]), element("span", rule["meaning"]), element("span", ends[1]),
                class_="ends"),
        class_="rule",
    )  # fmt: skip


def _apart(rule: RuleRow) -> str:
    """Which languages the threshold does not hold for."""
    named = ", ".join(rule["languages"])
    return f"not for {named}, which {'has' if len(rule['languages']) == 1 else 'have'} a rule of their own"


def _scaled(value: float, drawn: Histogram) -> float:
    return log10(1 + max(value, 0)) if drawn["log"] else value
