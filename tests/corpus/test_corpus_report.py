"""The report of a corpus: figures that add up, a page that is closed, and what-ifs that are exact."""

import base64
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from raw_files import page, prose, rules_off, write_jsonl

from headstart.corpus import CorpusRecipe, build
from headstart.corpus.filters.rules import OPERATORS
from headstart.corpus.filters.signal_spans import spans
from headstart.corpus.readers import sources
from headstart.corpus.report.facts import UNDEFINED, difference
from headstart.corpus.report.page import render


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


def test_what_if_over_the_sample_is_what_ran(report: dict[str, Any]) -> None:
    """What the studio computes, from the sample that lies in the report, is what the rules did."""
    quality, sample = report["quality"], report["quality"]["sample"]
    assert sample["documents"] == quality["judged"]
    pages = np.frombuffer(base64.b64decode(sample["pages"]), np.uint8).astype(bool)
    hits = np.zeros(sample["documents"], int)
    for rule in quality["rules"]:
        signal = sample["signals"][rule["signal"]]
        places = np.frombuffer(base64.b64decode(signal["places"]), np.uint8).astype(int)
        at = 2 * signal["values"].index(rule["threshold"])
        fires = OPERATORS[rule["op"]](places, at) & (places != UNDEFINED) & (pages | (not rule["pages"]))
        assert fires.sum() == rule["fires"], rule["rule"]
        hits += fires
    assert (hits > 0).sum() == quality["any"]["documents"]


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
