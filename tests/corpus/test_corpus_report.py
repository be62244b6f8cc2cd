"""The report of a corpus: figures that add up, a page that is closed, and what-ifs that are exact."""

import base64
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from raw_files import JAPANESE, THAI, page, prose, rules_off, write_jsonl

from headstart.corpus import CorpusRecipe, build
from headstart.corpus.filters.rules import GOES, NONE, OPERATORS
from headstart.corpus.filters.signal_spans import spans
from headstart.corpus.readers import sources
from headstart.corpus.report.facts import UNDEFINED, difference
from headstart.corpus.report.page import render
from headstart.corpus.report.schema import read_report
from headstart.errors import HeadstartError


def rows() -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    found = [{"id": f"d{n}", "text": prose(n, int(rng.integers(1, 9)))} for n in range(60)]
    found += [{"id": f"page{n}", "html": page(n), "url": f"http://h{n}.org/{{x}}"} for n in range(10)]
    found += [{"id": f"again{n}", "text": found[n]["text"]} for n in range(0, 60, 9)]
    found += [{"id": "braces", "text": prose(900) + " {", "url": "http://a.org"}]
    found += [{"id": "<script>alert(1)</script>", "text": "<script>alert(1)</script> & </script>"}]
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    path = write_jsonl(folder / "a.jsonl", rows())
    evaluation = write_jsonl(folder / "e.jsonl", [{"q": prose(8, 1)}, {"q": prose(5000, 1)}])
    given = [f"decontaminate=[{evaluation}]", "mix.shares={web: 1, report0: 3}", "repeated_substrings=20"]
    name = folder.name
    given[1] = given[1].replace("report0", name)
    build([path], folder / "out", CorpusRecipe.load(None, given), workers=1)
    return folder / "out"


@pytest.fixture
def report(made: Path) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((made / "report.json").read_text())
    return facts


def test_the_report_is_read_back_whole_or_not_at_all(
    made: Path, report: dict[str, Any], tmp_path: Path
) -> None:
    assert read_report(made) == report
    del report["segmenter"]  # as reports had it before there was a choice
    (tmp_path / "report.json").write_text(json.dumps(report))
    assert read_report(tmp_path) == report
    del report["removed_by_language"]
    (tmp_path / "report.json").write_text(json.dumps(report))
    with pytest.raises(HeadstartError, match=r"report\.json: removed_by_language .* is wrong"):
        read_report(tmp_path)


def test_figures_add_up(report: dict[str, Any]) -> None:
    quality, funnel = report["quality"], {row["stage"]: row for row in report["funnel"]}
    assert quality["judged"] == funnel["language"]["documents"]
    assert quality["judged"] - quality["any"]["documents"] == funnel["quality"]["documents"]
    for row, rule in enumerate(quality["rules"]):
        assert quality["together"][row][row] == rule["fires"] >= rule["alone"]
    for groups in report["by"].values():
        for stage in range(len(report["funnel"]) - 1):
            for unit in ("documents", "bytes", "words"):
                total = sum(held[stage][unit] for held in groups.values())
                if report["funnel"][stage + 1]["stage"] != "mix":  # there documents may occur more than once
                    assert total == report["funnel"][stage + 1][unit]
    removed = sum(count for rules in report["removed"].values() for count in rules.values())
    assert len(report["examples"]) <= removed
    assert {one["stage"] for one in report["examples"]} == report["removed"].keys()
    assert [row["found"] for row in report["found"]["files"].values()] == [1]


def recounted(quality: dict[str, Any], moved: dict[str, float | None]) -> tuple[dict[str, int], int]:
    """What the studio computes (its arithmetic is held to the same in `test_twins`) from the sample that lies
    in the report: what each rule removes, and how many go, where some have other thresholds or are off."""
    sample = quality["sample"]
    pages = np.frombuffer(base64.b64decode(sample["pages"]), np.uint8).astype(bool)
    fires = {}
    for rule in quality["rules"]:
        name, signal = rule["rule"], sample["signals"][rule["signal"]]
        places = np.frombuffer(base64.b64decode(signal["places"]), np.uint8).astype(int)
        threshold = moved.get(name, rule["threshold"] if rule["general"] else None)
        if threshold is None:
            goes = np.zeros(len(places), bool)
        else:
            at = 2 * signal["values"].index(threshold)
            goes = OPERATORS[rule["op"]](places, at) & (places != UNDEFINED)
        if name in sample["own"]:
            own = np.frombuffer(base64.b64decode(sample["own"][name]), np.uint8)
            goes = np.where(own == NONE, goes, own == GOES)
        fires[name] = goes & (pages | (not rule["pages"]))
    counts = {name: int(one.sum()) for name, one in fires.items()}
    return counts, int(np.logical_or.reduce(list(fires.values())).sum())


def test_what_if_over_the_sample_is_what_ran(report: dict[str, Any]) -> None:
    quality = report["quality"]
    assert quality["sample"]["documents"] == quality["judged"]
    counts, gone = recounted(quality, {})
    assert counts == {rule["rule"]: rule["fires"] for rule in quality["rules"]}
    assert gone == quality["any"]["documents"]


def _in_many_languages(folder: Path) -> Path:
    """English, Japanese and Thai texts of many lengths, in each some with lines that repeat."""
    rng = np.random.default_rng(7)
    found = []
    for language, text in (("en", prose(1, 40)), ("ja", JAPANESE * 3), ("th", THAI * 3)):
        for n in range(40):
            start = int(rng.integers(0, len(text) // 2))
            cut = text[start : start + int(rng.integers(30, len(text) // 2))]
            again = "\n".join([cut[:40]] * int(rng.integers(0, 4)))
            row = {"id": f"{language}{n}", "text": f"{n} {cut}\n{again}", "language": language}
            found.append(row | ({"url": f"http://h{n}.org/"} if n % 2 else {}))
    return write_jsonl(folder / "a.jsonl", found)


OWN = [
    "languages=any",
    "language_score=0",
    "segmenter=signs",
    "thresholds=fineweb2",
    "exact_duplicates=false",
    "near_duplicates.enabled=false",
    "by_language={ja: {score: 0, rules: {too_few_words: words < 90, short_lines: off, long: words > 300}},"
    " th: {score: 0, rules: {too_few_words: words < 130}}}",
]


def test_what_if_is_what_a_rebuild_gives_where_languages_have_rules_of_their_own(tmp_path: Path) -> None:
    path = _in_many_languages(tmp_path)
    build([path], tmp_path / "first", CorpusRecipe.load(None, OWN), workers=0)
    first = json.loads((tmp_path / "first/report.json").read_text())["quality"]
    ran = {rule["rule"]: rule for rule in first["rules"]}
    assert ran["too_few_words"]["languages"] == ["ja", "th"]
    assert ran["long"]["languages"] == ["ja"]
    assert not ran["long"]["general"]
    assert recounted(first, {})[0] == {name: rule["fires"] for name, rule in ran.items()}
    values = first["sample"]["signals"]
    tried: list[dict[str, float | None]] = [
        {"too_few_words": values["words"]["values"][40]},
        {"too_few_words": None, "repeated_lines": values["duplicate_lines"]["values"][1]},
        {"long": values["words"]["values"][80], "short_lines": values["short_lines"]["values"][3]},
    ]
    counts = [recounted(first, moved) for moved in tried]
    assert len({gone for _, gone in counts} | {first["any"]["documents"]}) == 4
    for number, (moved, (fires, gone)) in enumerate(zip(tried, counts, strict=True)):
        settings = [
            f"{'page_rules' if ran[name]['pages'] else 'rules'}.{name}="
            + ("off" if value is None else f"{ran[name]['signal']} {ran[name]['op']} {value!r}")
            for name, value in moved.items()
        ]
        out = tmp_path / str(number)
        recipe = CorpusRecipe.load(None, [*OWN, *settings])
        build([], out, recipe, workers=0, go_on_from=tmp_path / "first")
        again = json.loads((out / "report.json").read_text())["quality"]
        assert {rule["rule"]: rule["fires"] for rule in again["rules"]} == fires
        assert again["any"]["documents"] == gone
    page = (tmp_path / "first/report.html").read_text(encoding="utf-8")
    assert "not for ja, th, which have a rule of their own" in page


def test_many_rules_over_one_signal_are_told_apart(tmp_path: Path) -> None:
    """A place in the sample is a byte: that there are many thresholds must not let it run over."""
    rows = [{"text": " ".join(["word"] * n), "language": "en"} for n in range(1, 200)]
    further = [f"rules.few{n}=words < {10 * n + 5}" for n in range(1, 20)]
    path = write_jsonl(tmp_path / "a.jsonl", rows)
    given = [*rules_off(), "languages=any", "exact_duplicates=false", "near_duplicates.enabled=false"]
    recipe = CorpusRecipe.load(None, [*given, *further])
    build([path], tmp_path / "out", recipe, workers=0)
    quality = json.loads((tmp_path / "out/report.json").read_text())["quality"]
    assert recounted(quality, {})[0] == {f"few{n}": 10 * n + 4 for n in range(1, 20)}


class _Checker(HTMLParser):
    void = frozenset({"meta", "link", "input", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.scripts = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        for name, value in attrs:
            assert not name.startswith("on")
            assert name not in ("src", "action"), "the page loads nothing"
            if name == "href":
                assert (value or "").startswith(("#", "data:,"))
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_closed(made: Path, report: dict[str, Any]) -> None:
    text = (made / "report.html").read_text(encoding="utf-8")
    checker = _Checker()
    checker.feed(text)
    assert not checker.open
    assert checker.scripts == 0
    assert "<script>alert" not in text
    assert re.search(r"default-src &#x27;none&#x27;", text)
    assert "script-src" not in text
    assert text.count('class="threshold"') == len(report["quality"]["rules"])
    assert "headstart studio export corpus" in text
    assert render(report) == text


def test_the_report_depends_neither_on_tasks_nor_workers(
    made: Path, report: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "MOST_PART", 10_000)
    folder = tmp_path / made.parent.name
    folder.mkdir()
    recipe = CorpusRecipe.load(made / "recipe.yaml", [])
    build([made.parent / "a.jsonl"], folder / "out", recipe, workers=2)
    assert json.loads((folder / "out" / "report.json").read_text()) == report


def test_recall_on_planted_copies(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", [{"id": f"d{n}", "text": prose(n, 40)} for n in range(30)])
    build([path], tmp_path / "out", CorpusRecipe.load(None, rules_off()), workers=1)
    by_share = {
        row["changed"]: row
        for row in json.loads((tmp_path / "out" / "report.json").read_text())["near_duplicates"]["recall"]
    }
    assert list(by_share) == [0.02, 0.05, 0.1, 0.2]
    for row in by_share.values():
        assert row["copies"] == 30
        spread = max((row["expected"] * (1 - row["expected"] / 30)) ** 0.5, 1)
        assert abs(row["found"] - row["expected"]) <= 4 * spread
        assert row["false"] == 0
    assert by_share[0.02]["found"] > 20 > by_share[0.2]["found"]


@pytest.mark.parametrize(
    ("signal", "text", "marked"),
    [
        ("curly_brackets", "a {b} {c}", ["{", "{"]),
        ("duplicate_lines", "one\n two \none\nthree", ["one"]),
        ("duplicate_paragraphs", "one\n\ntwo\n\none", ["one"]),
        ("top_2_gram", "big dog, small cat, big dog", ["big dog", "big dog"]),
        ("duplicate_5_grams", "a b c d e f. A b c d e f", ["A b c d e f"]),
        ("alphabetic_words", "two 22 -- b2", ["22", "--"]),
        ("bullet_lines", "- one\ntwo", ["- one"]),
        ("punctuated_lines", "One.\nTwo", ["Two"]),
        ("words", "One two", []),
    ],
)
def test_evidence(signal: str, text: str, marked: list[str]) -> None:
    assert [text[a:b] for a, b in spans(text, signal)] == marked


def test_difference() -> None:
    assert difference("a b c d", "a x c d") == [["same", "a"], ["kept", "b"], ["gone", "x"], ["same", "c d"]]
    assert difference("a b", "a b c") == [["same", "a b"], ["gone", "c"]]
