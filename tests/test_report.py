"""The report page: complete, honest about its numbers, well-formed, and closed to hostile text.

All figures here are FIXTURE DATA, made up to look like a run; none was measured.
"""

# The fixture is a table; it stays readable on long lines.
# ruff: noqa: E501

import copy
import itertools
import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pytest

from headstart.page import charts, numbers
from headstart.quickstart.findings import break_even, caveats, for_whom, headline, scores
from headstart.quickstart.report import render, write

SECTIONS = ("head-start", "corpus", "tokenizer", "pre-training", "cost", "making")

# Made-up accuracies by task, system and number of labels; one per seed.
FIXTURE_SCORES = {
    "spam": {
        "fine-tuned": {100: (0.871, 0.884, 0.862), 300: (0.925, 0.918, 0.931), 1000: (0.958, 0.962, 0.955),
                       4000: (0.978, 0.981, 0.979)},
        "from-scratch": {100: (0.713, 0.668, 0.742), 300: (0.842, 0.868, 0.827), 1000: (0.941, 0.948, 0.932),
                         4000: (0.979, 0.975, 0.978)},
        "tf-idf": {100: (0.893, 0.908, 0.884), 300: (0.937, 0.931, 0.942), 1000: (0.961, 0.958, 0.964),
                   4000: (0.977, 0.977, 0.977)},
        "majority": {100: (0.667,) * 3, 300: (0.667,) * 3, 1000: (0.667,) * 3, 4000: (0.667,) * 3},
    },
    "pos": {
        "fine-tuned": {100: (0.841, 0.829, 0.853), 300: (0.887, 0.881, 0.892), 1000: (0.918, 0.921, 0.917),
                       3000: (0.936, 0.938, 0.935)},
        "from-scratch": {100: (0.583, 0.553, 0.613), 300: (0.698, 0.712, 0.689), 1000: (0.812, 0.806, 0.817),
                         3000: (0.878, 0.881, 0.874)},
        "tf-idf": {100: (0.751, 0.744, 0.760), 300: (0.823, 0.828, 0.818), 1000: (0.881, 0.879, 0.884),
                   3000: (0.912, 0.911, 0.913)},
        "majority": {100: (0.138,) * 3, 300: (0.138,) * 3, 1000: (0.138,) * 3, 3000: (0.138,) * 3},
    },
}  # fmt: skip
FIXTURE_TEXTS = (
    "The old man the, of the of a the the in, and",
    "The old man was the one of the first of the house, and the state of the",
    "The old man was a great deal of money, and the people of the country were not",
    "The old man looked at her for a moment, and then he said: ‘I do not know what you mean.’",
    "The old man looked up from his letter and said that he had never seen the place, though his sister had.",
)


def fixture_report() -> dict[str, Any]:
    """A whole report with made-up numbers in the shape that the quickstart writes."""
    vocabulary = 6000

    def curve(start: float, floor: float, tokens: int) -> list[dict[str, float]]:
        points = []
        for step in range(1, 601):
            seen = step / 600
            noise = 0.06 * math.sin(step * 12.9898) * math.cos(step * 4.1)
            points.append({
                "step": step, "tokens": round(tokens * seen), "seconds": 150 * seen,
                "loss": floor + (start - floor) * math.exp(-5 * seen**0.6) + noise,
            })  # fmt: skip
        return points

    def pretrained(name: str, objective: str, floor: float, tokens: int) -> dict[str, Any]:
        points = curve(math.log(vocabulary), floor, tokens)
        evals = [
            dict(points[index], bits_per_byte=points[index]["loss"] / 4.1 / math.log(2))
            for index in range(59, 600, 60)
        ]
        return {
            "model": name, "family": f"headstart-{name}", "objective": objective, "parameters": 4_412_160,
            "tokens": tokens, "seconds": 151.3, "flops": 6.0 * 4_412_160 * tokens, "loss": evals[-1]["loss"],
            "bits_per_byte": evals[-1]["bits_per_byte"], "first_loss": points[0]["loss"],
            "ln_vocab": math.log(vocabulary), "curve": points, "evals": evals, "samples": [], "fills": [],
        }  # fmt: skip

    encoder = pretrained("encoder", "masked", 3.4, 5_210_112)
    encoder["fills"] = [
        {"text": "It is a truth universally [MASK], that a single man must be in want of a wife.",
         "predictions": [{"token": " known", "probability": 0.41}, {"token": " acknowledged", "probability": 0.22},
                         {"token": " understood", "probability": 0.08}, {"token": " said", "probability": 0.04},
                         {"token": ",", "probability": 0.02}]},
        {"text": "Everyone has the [MASK] to freedom of thought.",
         "predictions": [{"token": " right", "probability": 0.93}, {"token": " power", "probability": 0.02},
                         {"token": " way", "probability": 0.01}, {"token": " time", "probability": 0.006},
                         {"token": " same", "probability": 0.004}]},
    ]  # fmt: skip
    decoder = pretrained("decoder", "causal", 3.1, 4_734_976)
    decoder["samples"] = [
        {"step": step, "tokens": 7891 * step, "prompt": text[:11], "text": text[11:]}
        for step, text in zip((1, 100, 200, 400, 600), FIXTURE_TEXTS, strict=True)
    ]
    head_start = [
        {"task": task, "metric": "accuracy", "labels": labels, "system": system, "seed": seed, "score": value,
         "seconds": {"tf-idf": 0.2, "majority": 0.01}.get(system, 3.0 + labels / 220), "test_examples": 600}
        for task, systems in FIXTURE_SCORES.items()
        for system, by_labels in systems.items()
        for labels, values in by_labels.items()
        for seed, value in enumerate(values)
    ]  # fmt: skip
    return {
        "headstart": "0.1.0", "created": "2025-11-22T19:40:12+00:00", "seconds": 611.4, "minutes_asked": 10,
        "machine": {"cpu": "AMD EPYC 7B13", "cores": 2, "memory_gb": 7.8, "gemm_gflops": {"float32": 98.2, "bfloat16": 41.7},
                    "precision": "float32", "torch": "2.9.1+cpu", "python": "3.12.3", "platform": "Linux-6.8-x86_64"},
        "stages": [{"stage": stage, "seconds": seconds} for stage, seconds in (
            ("corpus", 31.2), ("tokenizer", 4.8), ("tokens", 6.1), ("pretrain encoder", 155.0),
            ("pretrain decoder", 154.2), ("finetune", 256.7), ("report", 0.4))],
        "funnel": [{"stage": stage, "documents": documents, "bytes": size, "tokens": tokens}
                   for stage, documents, size, tokens in (
            ("read", 6412, 148_200_311, None), ("extract", 6371, 31_118_240, None),
            ("language", 3924, 19_870_112, 4_712_000), ("quality", 2871, 17_002_938, 4_021_870),
            ("exact duplicates", 2544, 15_410_007, 3_640_100), ("near duplicates", 1987, 12_940_551, 3_051_442),
            ("mix", 1987, 12_940_551, 3_051_442))],
        "removed": {
            "extract": {"empty text": 41},
            "language": {"not en": 2290, "confidence below 0.65": 157},
            "quality": {"gopher: too few words": 412, "gopher: too many short lines": 203, "c4: lorem ipsum": 2,
                        "c4: curly bracket": 118, "fineweb: lines without punctuation": 231, "gopher: repeated lines": 87},
            "exact duplicates": {"same text": 327}, "near duplicates": {"similar above 0.8": 557}},
        "skipped": {"truncated record": 3, "not HTTP 200": 18, "invalid UTF-8": 2},
        "domains": {f"{name}.example.org": {"documents": n, "bytes": n * 6510, "tokens": n * 1535} for name, n in (
            ("handbook", 811), ("books", 402), ("docs", 371), ("encyclopaedia", 214), ("mail", 102), ("rights", 41),
            ("essays", 22), ("declarations", 14), ("misc", 10))},
        "languages": {"en": 3924, "de": 611, "fr": 512, "es": 430, "ja": 212, "pt": 188},
        "tokenizer": {"vocab_size": vocabulary, "bytes_per_token": 4.24, "examples": [
            {"text": "The old man looked at her for a moment.",
             "tokens": ["The", " old", " man", " looked", " at", " her", " for", " a", " moment", "."]},
            {"text": "Pre-training is unreasonably effective",
             "tokens": ["P", "re", "-", "train", "ing", " is", " un", "reason", "ably", " effective"]}]},
        "pretraining": [encoder, decoder],
        "head_start": head_start,
        "tasks": {
            "spam": {"kind": "classification", "labels": ["ham", "spam"], "train_examples": 4000, "test_examples": 600,
                     "metric": "accuracy", "notes": ["Mails of SpamAssassin, split by sender."]},
            "pos": {"kind": "tagging", "labels": [f"T{index}" for index in range(12)], "train_examples": 3000,
                    "test_examples": 600, "metric": "accuracy", "notes": ["Labels are sentences; the score counts words."]}},
        "cost": {"shared": {"seconds": 151.3, "flops": 1.38e14}, "per_task": [
            {"task": task, "labels": labels, "seconds": 3.0 + labels / 220, "flops": 4.1e9 * labels}
            for task, most in (("spam", 4000), ("pos", 3000)) for labels in (100, 300, 1000, most)]},
        "recipe": "seed: 0\nencoder:\n  layers: 4\n  width: 256\n  masking: 0.3\n",
        "versions": {"torch": "2.9.1+cpu", "tokenizers": "0.22.1", "numpy": "2.3.4"},
        "notes": ["The machine ran something else meanwhile."],
    }  # fmt: skip


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    return fixture_report()


class Page(HTMLParser):
    """Reads a page, checks that every element is closed in order, and collects what is on it."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(page)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), f"an attribute twice in {tag}"
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "input", "br", "hr"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return "".join(self.words)

    def ids(self) -> list[str]:
        return [str(attributes["id"]) for _, attributes in self.tags if "id" in attributes]


def _without(report: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in report.items() if key not in keys}


def test_page_is_well_formed_and_has_every_section(report: dict[str, Any]) -> None:
    page = Page(render(report))
    assert set(SECTIONS) <= set(page.ids())
    assert len(page.ids()) == len(set(page.ids())), "an id twice"
    for figure in (
        "Survivors by stage",
        "Loss of the encoder",
        "Loss of the decoder",
        "Scores on pos in percent",
    ):
        assert any(figure in str(attributes.get("aria-label")) for _, attributes in page.tags)
    for words in (
        "universally",
        FIXTURE_TEXTS[-1][11:],
        "handbook.example.org",
        "gopher: too few words",
        "masking: 0.3",
    ):
        assert words in page.text


def test_every_chart_has_a_title_and_a_description(report: dict[str, Any]) -> None:
    page = Page(render(report))
    images = [attributes for tag, attributes in page.tags if tag == "svg" and attributes.get("role") == "img"]
    assert len(images) >= 10
    for attributes in images:
        assert attributes["aria-labelledby"] in page.ids()
        assert attributes["aria-describedby"] in page.ids()


def test_nothing_is_loaded_from_anywhere(report: dict[str, Any]) -> None:
    html = render(report)
    page = Page(html)
    assert "script" not in {tag for tag, _ in page.tags}
    for tag, attributes in page.tags:
        for name in ("src", "href", "xlink:href", "srcset", "action", "poster", "data"):
            target = attributes.get(name)
            assert target is None or target.startswith(("#", "data:")), f"{tag} {name}={target}"
        if (attributes.get("href") or "").startswith("#"):
            assert str(attributes["href"])[1:] in page.ids()
    assert not re.search(r"@import|url\(|https?://", html)
    policy = next(attributes for _, attributes in page.tags if attributes.get("http-equiv"))
    assert "default-src 'none'" in str(policy["content"])


HOSTILE = (
    "</style></svg><script>alert(1)</script>\" onload='x' <img src=http://a.example/b>&amp;\x00\u202e\ud800"
)


def test_hostile_text_stays_text(report: dict[str, Any]) -> None:
    bad = copy.deepcopy(report)
    bad["pretraining"][1]["samples"][0].update(prompt=HOSTILE, text=HOSTILE)
    bad["pretraining"][0]["fills"][0].update(text=f"a [MASK] {HOSTILE}")
    bad["pretraining"][0]["fills"][0]["predictions"][0]["token"] = HOSTILE
    bad["pretraining"][0].update(family=HOSTILE, objective=HOSTILE)
    bad["removed"][HOSTILE] = {HOSTILE: 5000}
    bad["skipped"][HOSTILE] = 5
    bad["domains"][HOSTILE] = {"documents": 9, "bytes": 10**9, "tokens": 1}
    bad["tokenizer"]["examples"][0]["tokens"] = ["<script>", HOSTILE, " <b"]
    bad["funnel"][1]["stage"] = HOSTILE
    bad["stages"][0]["stage"] = HOSTILE
    bad["tasks"][HOSTILE] = dict(
        bad["tasks"].pop("pos"), labels=[HOSTILE] * 3, notes=[HOSTILE], metric=HOSTILE
    )
    for entry in bad["head_start"]:
        entry["task"] = HOSTILE if entry["task"] == "pos" else entry["task"]
        entry["system"] = HOSTILE if entry["system"] == "tf-idf" else entry["system"]
    bad["cost"]["per_task"][0]["task"] = HOSTILE
    bad["versions"][HOSTILE] = HOSTILE
    bad["notes"].append(HOSTILE)
    bad["recipe"] = HOSTILE
    bad["machine"]["cpu"] = HOSTILE
    html = render(bad)
    html.encode("utf-8")  # lone surrogates would not go
    page = Page(html)
    clean = Page(render(report))
    assert {tag for tag, _ in page.tags} == {tag for tag, _ in clean.tags}
    assert html.count("<style") == html.count("</style") == 1
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert page.text.count("<script>alert(1)</script>") >= 12
    assert "\x00" not in html


def test_headline_numbers_are_those_of_the_scores(report: dict[str, Any]) -> None:
    best = headline(report)
    assert best is not None
    found = re.search(
        r"With ([\d,]+) labels, the pre-trained encoder scores ([\d.]+)\s±\s([\d.]+)\s% on (\w+); "
        r"the same network from random weights ([\d.]+)\s±\s([\d.]+)\s%: a head start of ([\d.]+) points\.",
        Page(render(report)).text,
    )
    assert found
    labels, tuned, tuned_spread, task, scratch, scratch_spread, gap = found.groups()
    assert (task, int(labels)) == ("pos", 100)
    ours = [100 * value for value in FIXTURE_SCORES["pos"]["fine-tuned"][100]]
    theirs = [100 * value for value in FIXTURE_SCORES["pos"]["from-scratch"][100]]
    for shown, value in (
        (tuned, mean(ours)), (tuned_spread, stdev(ours)), (scratch, mean(theirs)), (scratch_spread, stdev(theirs)),
        (gap, mean(ours) - mean(theirs)),
    ):  # fmt: skip
        assert float(shown) == pytest.approx(value, abs=0.0501)


def test_spread_is_the_sample_standard_deviation(report: dict[str, Any]) -> None:
    for task, systems in FIXTURE_SCORES.items():
        for system, by_labels in systems.items():
            for labels, values in by_labels.items():
                score = scores(report)[task][labels][system]
                assert score.mean == pytest.approx(100 * mean(values))
                assert score.spread == pytest.approx(100 * stdev(values))
    alone = dict(report, head_start=[entry for entry in report["head_start"] if entry["seed"] == 0])
    assert str(scores(alone)["pos"][100]["fine-tuned"]) == "84.1\u00a0%"
    text = Page(render(alone)).text
    assert "1 seed, on" in text
    assert "deviation over 1 seed" not in text


def test_one_seed_is_as_sure_as_its_test_examples(report: dict[str, Any]) -> None:
    """Two scores a point apart on some hundred examples are called no head start without a doubt."""
    first = report["head_start"][0]["seed"]
    points = [dict(entry) for entry in report["head_start"] if entry["seed"] == first]
    for entry in points:
        entry["score"] = 0.81 if entry["system"] == "fine-tuned" else 0.80
        entry["interval"] = [entry["score"] - 0.05, entry["score"] + 0.05]
    found = headline(dict(report, head_start=points))
    assert found is not None
    assert found.tuned.spread == pytest.approx(5 / 1.96)
    assert "within the error of so few test examples" in found.sentence()


def test_caveats_say_where_the_head_start_ends_and_who_wins(report: dict[str, Any]) -> None:
    text = " ".join(caveats(report))
    assert "On spam the head start is gone with 4,000 labels" in text
    assert "without any network, does as well on spam with 100, 300 and 1,000 labels (89.5" in text
    assert "On pos the head start shrinks from 25.8 points with 100 labels to 5.9 with 3,000." in text
    assert "on word windows, without any network, comes closest on pos with 3,000 labels" in text
    assert all(sentence in Page(render(report)).text for sentence in caveats(report))
    surer = [
        dict(entry, score=entry["score"] + 0.02)
        if (entry["task"], entry["system"], entry["labels"]) == ("spam", "tf-idf", 300)
        else entry
        for entry in report["head_start"]
    ]
    ahead = " ".join(caveats(dict(report, head_start=surer)))
    assert "beats the pre-trained encoder on spam with 300 labels by 3.2 points" in ahead


def test_a_head_start_that_grows_with_the_labels_is_said_to_grow() -> None:
    report = fixture_report()
    pos = [entry for entry in report["head_start"] if entry["task"] == "pos"]
    most = max(entry["labels"] for entry in pos)
    for entry in pos:
        if entry["system"] == "fine-tuned" and entry["labels"] == most:
            entry["score"] += 0.5
    assert any(line.startswith("On pos the head start grows from 25.8 points") for line in caveats(report))


def test_a_lost_head_start_is_not_called_one(report: dict[str, Any]) -> None:
    swap = {"fine-tuned": "from-scratch", "from-scratch": "fine-tuned"}
    worse = [dict(entry, system=swap.get(entry["system"], entry["system"])) for entry in report["head_start"]]
    best = headline(dict(report, head_start=worse))
    assert best is not None
    assert best.gap < 0
    assert "no head start, but" in best.sentence()
    assert any(
        "is gone from 100 labels on" in sentence for sentence in caveats(dict(report, head_start=worse))
    )


def test_an_encoder_no_better_than_the_most_frequent_answer_is_named(report: dict[str, Any]) -> None:
    weak = [dict(entry, score=0.138) if entry["task"] == "pos" else entry for entry in report["head_start"]]
    assert any(
        "no better than always giving" in sentence for sentence in caveats(dict(report, head_start=weak))
    )


def test_break_even_follows_from_the_costs(report: dict[str, Any]) -> None:
    text = " ".join(break_even(report))
    assert (
        "On pos, the pre-trained encoder's 84.1\u00a0±\u00a01.2\u00a0% with 100 labels needs 3,000 labels from random "
        "weights" in text
    )
    few, spam, pos = 3.0 + 100 / 220, 3.0 + 1000 / 220, 3.0 + 3000 / 220
    tasks = math.ceil(151.3 / mean([spam - few, pos - few]))
    assert f"after {tasks} such tasks" in text
    free = [dict(entry, seconds=1.0) for entry in report["head_start"]]
    assert "no number of tasks" in " ".join(break_even(dict(report, head_start=free)))
    assert break_even({}) == []


def test_an_empty_report_says_what_is_absent() -> None:
    page = Page(render({}))
    assert set(SECTIONS) <= set(page.ids())
    assert page.text.count("No ") >= 6


@pytest.mark.parametrize("key", sorted(fixture_report()))
def test_any_part_may_be_missing_or_empty(report: dict[str, Any], key: str) -> None:
    Page(render(_without(report, key)))
    Page(render(dict(report, **{key: None})))
    if isinstance(report[key], dict | list | str):
        Page(render(dict(report, **{key: type(report[key])()})))


def test_partial_parts_render(report: dict[str, Any]) -> None:
    only_encoder = dict(report, pretraining=report["pretraining"][:1])
    assert "No decoder was pre-trained" in Page(render(only_encoder)).text
    uncounted = copy.deepcopy(report)
    for stage in uncounted["funnel"]:
        stage["tokens"] = None
    assert "Tokens were not counted" in Page(render(uncounted)).text
    broken = copy.deepcopy(report)
    for model in broken["pretraining"]:
        model.update(
            curve=[], evals=[], bits_per_byte=None, loss=None, flops=None, ln_vocab=None, samples=None
        )
    broken["cost"]["shared"] = {}
    broken["head_start"] = [entry for entry in report["head_start"] if entry["system"] == "tf-idf"]
    broken["tasks"] = {}
    Page(render(broken))
    diverged = copy.deepcopy(report)
    diverged["pretraining"][0]["curve"][5]["loss"] = float("nan")
    diverged["pretraining"][0].update(loss=float("inf"), bits_per_byte=float("nan"))
    assert "nan" not in re.findall(r'[dxy12]="([^"]*)"', render(diverged))
    one = [entry for entry in report["head_start"] if entry["labels"] == 100]
    Page(render(dict(report, head_start=one)))
    Page(render(dict(report, domains={"a": 3, "b": 0}, languages={"en": {"documents": 2}})))


def test_written_files_agree(report: dict[str, Any], tmp_path: Path) -> None:
    write(report, tmp_path / "run")
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["report.html", "report.json"]
    assert json.loads((tmp_path / "run/report.json").read_text("utf-8")) == report
    assert (tmp_path / "run/report.html").read_text("utf-8") == render(report)


def test_undefined_losses_survive_the_file(report: dict[str, Any], tmp_path: Path) -> None:
    diverged = copy.deepcopy(report)
    diverged["pretraining"][0].update(loss=float("nan"))
    write(diverged, tmp_path)
    Page((tmp_path / "report.html").read_text("utf-8"))


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (numbers.amount(0), "0"), (numbers.amount(2048), "2,048"), (numbers.amount(12_345), "12.3k"),
        (numbers.amount(999_999), "1M"), (numbers.amount(None), "–"), (numbers.amount(float("nan")), "–"),
        (numbers.amount(0.01234), "0.0123"), (numbers.amount(-3), "−3"), (numbers.size(12_940_551), "12.9 MB"),
        (numbers.size(812), "812 B"), (numbers.power(1.381e14), "1.38 × 10¹⁴"), (numbers.power(0), "0"),
        (numbers.duration(0.4219), "0.422 s"), (numbers.duration(59.7), "1 min"), (numbers.duration(252), "4 min 12 s"),
        (numbers.duration(3780), "1 h 3 min"), (numbers.duration(3599.9), "1 h"), (numbers.duration(54.2 * 86_400), "54.2 days"),
        (numbers.duration(7e7), "2.22 years"), (numbers.amount(70.6e9), "70.6B"), (numbers.amount(1e21), "1.00e+21"),
        (numbers.amount(1.5e9, "FLOP/s"), "1.5 GFLOP/s"), (numbers.power(1e24), "10²⁴"),
    ],
)  # fmt: skip
def test_numbers_are_short(shown: str, expected: str) -> None:
    assert shown == expected


def test_ticks_are_round_and_cover_the_data() -> None:
    for low, high in ((0, 1), (3.07, 8.7), (0, 5_210_112), (55.3, 98.1), (2, 2), (0, 0), (-0.3, 1e-3)):
        ticks = charts.nice_ticks(low, high)
        assert 3 <= len(ticks) <= 8
        assert ticks[0] <= low
        assert ticks[-1] >= high
        assert len({round(b - a, 9) for a, b in itertools.pairwise(ticks)}) == 1


def test_labels_keep_their_distance() -> None:
    placed = charts.spread_apart([10, 11, 12, 100], 15, 0, 110)
    assert all(b - a >= 15 for a, b in itertools.pairwise(placed))
    assert charts.spread_apart([100, 99, 20], 15, 0, 100) == [100, 85, 20]


def test_colours_can_be_read_on_both_pages() -> None:
    """4.5 to 1 for everything that text is set in, by the formula of WCAG 2."""

    def luminance(colour: str) -> float:
        parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        red, green, blue = (
            part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
        )
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    def contrast(one: str, other: str) -> float:
        dark, light = sorted((luminance(one), luminance(other)))
        return (light + 0.05) / (dark + 0.05)

    style = Path(charts.__file__).with_name("tokens.css").read_text("utf-8")
    roles = ("attention", "draw", "query", "key", "value", "stream", "gradient")
    families = ("encoder", "decoder", "encoder-decoder", "elmo", "static")
    themes = [
        dict(re.findall(r"--([\w-]+): (#\w{6})", block))
        for block in re.findall(r":root {(.*?)}", style, re.S)
    ]
    assert len(themes) == 2
    for theme in themes:
        plain = ("ink", "muted", "blue", "vermillion", "green", "grey", "purple", "amber")
        for name in (*plain, *roles, *families):
            assert contrast(theme[name], theme["page"]) >= 4.5, name
            assert contrast(theme[name], theme["wash"]) >= 4.5, name
        for tint in ("raised", "tint-0", "tint-1", "tint-2", "tint-3"):
            assert contrast(theme["muted"], theme[tint]) >= 4.5, tint


def test_who_is_served_by_what() -> None:
    """By the mean over tasks, at each number of labels that all tasks have; the static start is named where
    training adds nothing to it."""
    report = fixture_report()
    assert for_whom(report) == (
        "On the mean of all tasks, the best choice is your own pre-training with 100, 300 and 1,000 labels."
    )
    static = [
        entry
        | {"system": "static-start", "score": entry["score"] + (0.05 if entry["labels"] < 300 else -0.05)}
        for entry in report["head_start"]
        if entry["system"] == "fine-tuned"
    ]
    report["head_start"] += static
    assert "static start alone, counted in seconds, with 100 labels" in for_whom(report)
    assert any(
        "On pos the static start alone, without a step of training, does as well with 100 labels" in line
        for line in caveats(report)
    )
    assert "static start" in render(report)
    assert for_whom(report | {"head_start": []}) is None


def test_a_warning_of_the_plan_is_shown() -> None:
    report = fixture_report() | {"warnings": ["This machine is too slow for it."]}
    assert caveats(report)[0] == "This machine is too slow for it."
    assert "too slow for it" in render(report)
