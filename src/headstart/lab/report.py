"""The laboratory's page: one picture of all intervals in units of their margins, then a section a claim.

It reads results alone (`claims/*/result.json`), and marks as stale those whose rule or measure has changed
since.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from headstart import __version__
from headstart.folder import atomic, write_json
from headstart.lab.claim import CHAPTERS, Experiment
from headstart.lab.figures import figure
from headstart.lab.registration import Registrations, rule_hash
from headstart.lab.result import Result, read_results
from headstart.page.document import Chapter, document
from headstart.page.intervals import INTERVALS_STYLE, Interval, interval_chart
from headstart.page.markup import Markup, element, join, key_facts, prose, table
from headstart.page.numbers import duration, exact, significant

INDEX, PAGE = "index.json", "report.html"
LETTERS = {"supported": "S", "contradicted": "C", "not-supported": "–"}
STYLES = {"supported": 2, "contradicted": 1, "not-supported": 3}
WORDS = {
    "supported": "supported",
    "contradicted": "contradicted",
    "not-supported": "not supported at this scale",
}
ORDER = {"contradicted": 0, "not-supported": 1, "supported": 2}
CHECKED = {
    "abstract": "compared with the abstract",
    "text": "compared with the paper's text",
    "memory": "not at hand when this page was written: as usually quoted",
}


def write_report(folder: Path, known: Sequence[Experiment]) -> Path:
    """Write `index.json` and `report.html` from the results that are there; returns the page's path."""
    results = read_results(folder)
    stale = {result["claim"]["id"] for result in results if is_stale(result, known)}
    missing = [one for one in known if one.id not in {result["claim"]["id"] for result in results}]
    write_json(folder / INDEX, [_entry(result, stale) for result in results])
    with atomic(folder / PAGE) as temporary:
        temporary.write_text(render(results, stale, _waiting(folder, missing)), encoding="utf-8")
    return folder / PAGE


def _waiting(folder: Path, missing: Sequence[Experiment]) -> dict[str, list[Experiment]]:
    """Those without a result, by how far they are."""
    registered = {entry["claim"] for entry in Registrations(folder).read()}
    return {
        "Registered, not yet run": [one for one in missing if one.id in registered],
        "Not registered yet": [one for one in missing if one.id not in registered],
    }


def is_stale(result: Result, known: Sequence[Experiment]) -> bool:
    """Whether the rule or the measure of a result is not that of today."""
    found = [one for one in known if one.id == result["claim"]["id"]]
    return bool(found) and rule_hash(found[0], result["level"]) != result["rule_hash"]


def _entry(result: Result, stale: set[str]) -> dict[str, Any]:
    claim = result["claim"]
    return {
        "id": claim["id"],
        "chapter": claim["chapter"],
        "title": claim["title"],
        "verdict": result["verdict"],
        "reason": result["reason"],
        "because": result["because"],
        "level": result["level"],
        "lesson": claim["lesson"],
        "stale": claim["id"] in stale,
        "result": f"claims/{claim['id']}/result.json",
    }


def render(results: Sequence[Result], stale: set[str], waiting: Mapping[str, Sequence[Experiment]]) -> str:
    """The page.

    Args:
        waiting: experiments without a result, by how far they are.
    """
    by_chapter: list[Chapter] = []
    for chapter in CHAPTERS:
        found = [result for result in results if result["claim"]["chapter"] == chapter]
        if found:
            body = [part for result in found for part in _claim(result, result["claim"]["id"] in stale)]
            by_chapter.append((f"chapter-{chapter.lower()}", _heading(chapter), body))
    return document(
        "What the field claims, measured",
        __version__,
        _lead(results),
        [("all", "All verdicts", _all(results, waiting)), *by_chapter],
        aside=_limits(results),
        description=f"{len(results)} claims about language models, each with a rule that is older than its "
        f"run.",
        style=INTERVALS_STYLE.read_text("utf-8"),
    )


def _heading(chapter: str) -> str:
    names = {"all": "All models", "yours": "Your own", "why": "Why pre-train", "choose": "Encoder or decoder"}
    return names.get(chapter, chapter[:1].upper() + chapter[1:])


def _lead(results: Sequence[Result]) -> Iterable[Markup]:
    counts = {word: sum(result["verdict"] == word for result in results) for word in WORDS}
    said = ", ".join(f"{count} {WORDS[word]}" for word, count in counts.items() if count)
    yield element("p", f"{len(results)} claims: {said or 'none measured yet'}.", class_="headline")
    yield element(
        "p",
        "Each claim has a rule with a margin, registered before anything was measured by it. A verdict is "
        "about "
        "these models, this text and this size; nothing here is proved.",
        class_="small",
    )


def _limits(results: Sequence[Result]) -> Markup:
    effects = sum(len(part.get("estimate") or {}) > 0 for result in results for part in result["parts"])
    points = [
        f"About one 95 % interval in twenty misses the truth: of {effects} effects, {max(effects // 20, 1)} "
        f"or so.",
        "A registration shows that a rule is older than its run. It does not show that nobody had looked at "
        "such runs "
        "before; margins were chosen after pilots of other seeds.",
    ]
    late = [result["claim"]["id"] for result in results if result["after_the_fact"]]
    if late:
        points.append(f"Rules of {', '.join(late)} were registered again, or late; each says why.")
    return element(
        "aside",
        element("h2", "What this page cannot say"),
        element("ul", *(element("li", p) for p in points)),
    )


# --- all claims ---------------------------------------------------------------------------------------


def _all(results: Sequence[Result], waiting: Mapping[str, Sequence[Experiment]]) -> Iterable[Markup]:
    yield prose(
        "The chart shows one part of each claim: the part that decides the verdict, since it is nearest to "
        "failing. Zero is the value that the effect is compared with, and one is the margin that was asked "
        "for. The claim holds where the row is shaded. S: supported, C: contradicted, –: not supported at "
        "this scale."
    )
    rows = [_interval(result) for result in results]
    if rows:
        yield interval_chart("all-claims", "All claims", "Intervals in units of their margins.", rows)
    yield table(
        ["claim", "", "verdict", "reason", "n", "core-seconds"],
        [
            [
                element("a", result["claim"]["id"], href=f"#{result['claim']['id']}"),
                result["claim"]["title"],
                _verdict(result),
                result["reason"],
                result["seeds"],
                significant(result["core_seconds"]),
            ]
            for result in results
        ],
        "All verdicts",
        text_columns=4,
    )
    for said, missing in waiting.items():
        if missing:
            yield prose(f"{said}: " + "; ".join(f"{one.id} {one.claim.title}" for one in missing) + ".")


def deciding(parts: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The part that decides a verdict: contradicted before open before supported, and then the nearest to
    fail."""
    return min(parts, key=lambda part: (ORDER[part["verdict"]], _clearance(part)))


def _clearance(part: Mapping[str, Any]) -> float:
    """How far the interval lies inside the range asked for, in margins."""
    mean, low, high = _scaled(part)
    if mean is None:
        return -9.0
    lower, upper = _holds(part)
    found = []
    if lower is not None:
        found.append((mean if low is None else low) - lower)
    if upper is not None:
        found.append(upper - (mean if high is None else high))
    return min(found, default=9.0)


def _scaled(part: Mapping[str, Any]) -> tuple[float | None, float | None, float | None]:
    """Mean and outer interval in margins."""
    estimate, margin = part["estimate"], part["margin"]
    if not estimate:
        return None, None, None
    if not margin:  # exactly, or not: off by any amount is off the picture
        off = estimate["mean"] - part["centre"]
        return (0.0 if not off else math.copysign(math.inf, off)), None, None
    intervals = [one for one in (estimate["interval"], estimate["unit_interval"]) if one]
    low = min((one[0] for one in intervals), default=None)
    high = max((one[1] for one in intervals), default=None)
    scaled = [
        None if value is None else (value - part["centre"]) / margin
        for value in (estimate["mean"], low, high)
    ]
    return scaled[0], scaled[1], scaled[2]


def _holds(part: Mapping[str, Any]) -> tuple[float | None, float | None]:
    margin = part["margin"] or 1.0
    low, high = (None if end is None else (end - part["centre"]) / margin for end in part["holds"])
    return low, high


def _interval(result: Result) -> Interval:
    part = deciding(result["parts"])
    mean, low, high = _scaled(part)
    return Interval(
        f"{result['claim']['id']}  {_cut(part['effect'], 46)}",
        WORDS[result["verdict"]].replace(" at this scale", ""),
        LETTERS[result["verdict"]],
        STYLES[result["verdict"]],
        mean,
        low,
        high,
        (None, None) if mean is None else _holds(part),
        f"{result['claim']['title']}: {part['because']}",
        f"#{result['claim']['id']}",
    )


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _verdict(result: Result) -> Markup:
    return element("span", WORDS[result["verdict"]], class_=f"verdict s{STYLES[result['verdict']]}")


# --- one claim ----------------------------------------------------------------------------------------


def _claim(result: Result, stale: bool) -> Iterable[Markup]:
    claim = result["claim"]
    yield element("h3", f"{claim['id']}  {claim['title']}", id=claim["id"])
    yield prose(claim["statement"])
    reason = f" ({result['reason']})" if result["reason"] else ""
    yield element("p", _verdict(result), reason, ". ", _sentence(result["because"]))
    if stale:
        yield element("p", "Stale: its rule or measure has changed since; run it again.", class_="absent")
    if result["after_the_fact"]:
        yield element("p", f"Registered again, or late, because: {result['after_the_fact']}", class_="small")
    yield _effects(result)
    for number, drawn in enumerate(result["figures"]):
        yield figure(f"{claim['id']}-{number}", drawn)
    if claim["lesson"]:
        yield element("p", element("b", "What is usually told. "), claim["lesson"])
    if claim["scale"]:
        yield element("p", element("b", "Where it would show. "), claim["scale"])
    yield element("p", element("b", "Measured: "), claim["quantity"], ".", class_="small")
    yield _details(result)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."


def _effects(result: Result) -> Markup:
    rows = []
    for part in result["parts"]:
        found = part["estimate"] or {}
        intervals = [one for one in (found.get("interval"), found.get("unit_interval")) if one]
        shown = "; ".join(f"{_value(one[0])} to {_value(one[1])}" for one in intervals)
        n = f"{found['seeds']}" + (f" × {found['units']}" if found.get("units") else "") if found else "–"
        rows.append(
            [
                part["effect"],
                element(
                    "span",
                    WORDS[part["verdict"]].replace(" at this scale", ""),
                    class_=f"verdict s{STYLES[part['verdict']]}",
                ),
                f"{_value(found.get('mean'))} {part['unit']}".strip(),
                shown or "–",
                n,
                _value(found.get("deviation")),
                _value(part["margin"]) if part["margin"] else "–",
                _value(found.get("visible")),
            ]
        )
    headers = [
        "effect",
        "",
        "mean, or furthest off",
        "95 % interval, seeds; units",
        "n seeds × units",
        "deviation",
        "margin",
        "smallest visible",
    ]
    return table(headers, rows, f"Effects of {result['claim']['id']}", text_columns=2)


def _value(value: float | None) -> str:
    if value is None:
        return "–"
    if value == int(value) and abs(value) >= 1000:
        return exact(int(value))
    return f"{value:.2g}".replace("-", "−") if value and abs(value) < 1e-3 else significant(value)


def _details(result: Result) -> Markup:
    claim = result["claim"]
    sources = [
        element("li", f"{source['name']} ({source['where']}): {source['says']}; {CHECKED[source['checked']]}")
        for source in claim["sources"]
    ]
    doubts = [element("li", doubt) for doubt in claim["confounders"]]
    facts = key_facts(
        ("Level", f"{result['level']}, {result['seeds']} seed{'s' if result['seeds'] != 1 else ''}"),
        ("Registered", f"{result['registered'][:19]} UTC, {result['registration'][:12]}"),
        ("Rule", result["rule_hash"][:12]),
        ("Measured", f"{result['made'][:19]} UTC, {duration(result['core_seconds'])} of one core"),
        ("Runs shared", duration(result["shared_core_seconds"])),
        ("Text", f"{result['data']['text']}: {', '.join(result['data']['files'])}"),
        ("Machine", result["machine"]),
        ("Commit", (result["commit"] or "–")[:18]),
    )
    runs = ", ".join(f"{arm} {' '.join(ids)}" for arm, ids in result["runs"].items())
    return element(
        "details",
        element("summary", "Rule, confounders, sources, provenance"),
        element("p", element("b", "Rule. "), _sentence(result["rule"])),
        join([element("p", element("b", "What else could make the difference")), element("ul", *doubts)])
        if doubts
        else None,
        join([element("p", element("b", "Sources")), element("ul", *sources)]) if sources else None,
        element("p", element("code", result["command"])),
        facts,
        element("p", f"Runs: {runs}.", class_="small") if runs else None,
        class_="claim-details",
    )
