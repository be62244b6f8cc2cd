"""Quality models: training, calibration, thresholds, the folder, and a signal in a corpus; word lists."""

import json
import random
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from raw_files import prose, write_jsonl
from typer.testing import CliRunner

from headstart.corpus import CorpusRecipe, build
from headstart.corpus.filters.quality_model import buckets, load_model, save_model
from headstart.corpus.filters.quality_page import render
from headstart.corpus.filters.train_quality import (
    choose_threshold,
    hash_examples,
    labelled,
    quality_scores,
    train,
)
from headstart.corpus.filters.word_lists import listed_share
from headstart.corpus.text.words import split_words
from headstart.corpus_folder import corpus_documents
from headstart.errors import HeadstartError

SHOP = """
buy cheap offer now sale price discount free shipping click order deal
"""


def shop(seed: int) -> str:
    """A text of other words than `prose`, with some of them."""
    rng = random.Random(seed)
    words = SHOP.split()
    return " ".join(rng.choice(words) for _ in range(60)) + " " + prose(seed, 3)


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("quality")
    good = write_jsonl(folder / "good.jsonl", [{"text": prose(n, 4)} for n in range(250)])
    bad = write_jsonl(folder / "bad.jsonl", [{"text": shop(n)} for n in range(250)])
    model, report = train(hash_examples(labelled([good], [bad]), seed=0))
    save_model(folder / "model", model, report)
    return folder / "model"


def test_unseen_texts_are_told_apart(model_folder: Path) -> None:
    model = load_model(model_folder)
    good = [model.score(split_words(prose(5_000 + n, 4))) for n in range(50)]
    bad = [model.score(split_words(shop(5_000 + n))) for n in range(50)]
    assert np.mean(good) > 0.95
    assert np.mean(bad) < 0.05
    assert np.isnan(model.score(split_words("...")))
    report = json.loads((model_folder / "report.json").read_text())
    assert report["test"]["f1"] > 0.95
    assert report["test"]["n"] == sum(report["examples"]["test"].values())
    assert sum(row["n"] for row in report["test"]["calibration"]) == report["test"]["n"]


def test_a_model_trained_again_in_the_same_folder_is_read_again(model_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(model_folder, folder)
    before, report = load_model(folder), json.loads((folder / "report.json").read_text())
    shutil.rmtree(folder)
    save_model(folder, replace(before, bias=before.bias + 1, fingerprint="another"), report)
    assert load_model(folder).fingerprint == "another"
    assert load_model(folder) is load_model(folder)


def test_the_report_shows_where_the_model_is_wrong() -> None:
    """Labels that are turned round are found among the most confident errors, with their texts."""
    examples = [(prose(n, 3), 1.0) for n in range(300)]
    examples += [(f"<b>{n}</b> {shop(n)}", 0.0) for n in range(300)]
    turned = [(f"<b>{n}</b> {shop(n)}", 1.0) for n in range(9_000, 9_020)]
    _, report = train(hash_examples(examples + turned, seed=0))
    test = report["test"]
    assert sum(test["scores"]["good"]) == report["examples"]["test"]["good"]
    assert sum(test["scores"]["bad"]) == report["examples"]["test"]["bad"]
    lost = test["errors"]["lost_good"]
    assert lost
    assert all(one["text"].startswith("<b>90") and one["score"] < report["threshold"] for one in lost)
    assert [one["score"] for one in lost] == sorted(one["score"] for one in lost)
    page = render(report)
    assert "&lt;b&gt;90" in page
    assert "<b>90" not in page
    assert f"threshold {report['threshold']:.3f}" in page
    assert "nan" not in page
    for chart in ("scores", "precision-recall", "calibration-curve"):
        assert f'id="{chart}-title"' in page


def test_equal_texts_are_never_in_two_parts() -> None:
    texts = [(prose(n, 3) if n % 2 else shop(n), n % 2) for n in range(300)]
    examples = hash_examples([*texts, *((text.upper(), target) for text, target in texts)], seed=3)
    assert (examples.part[:300] == examples.part[300:]).all()
    assert set(examples.part) == {0, 1, 2}


def test_buckets_are_words_and_pairs() -> None:
    found = buckets(split_words("one two three"), 1 << 18)
    assert len(found) == 5
    assert found.max() < 1 << 18
    assert set(buckets(split_words("One two"), 1 << 18)) <= set(found)


def test_scores_are_calibrated_where_examples_contradict_each_other() -> None:
    """Of texts of the same kind 7 in 10 are good: that is their score."""
    rng = random.Random(0)
    examples = [(prose(n, 3), float(rng.random() < 0.7)) for n in range(600)]
    examples += [(shop(n), float(rng.random() < 0.1)) for n in range(600)]
    _, report = train(hash_examples(examples, seed=0))
    assert report["test"]["calibration_error"] < 0.12
    assert 0.6 < report["test"]["precision"] < 0.85


def test_scores_from_0_to_5_are_targets_between() -> None:
    rng = random.Random(1)
    examples = []
    for n in range(600):
        score = rng.randrange(6)
        words = " ".join("river" if rng.random() < score / 5 else "sale" for _ in range(30))
        examples.append((f"{words} {n}", score / 5))
    model, report = train(hash_examples(examples, seed=0))
    scores = [model.score(split_words("river " * count + "sale " * (30 - count))) for count in (0, 15, 30)]
    assert scores[0] < scores[1] < scores[2]
    assert report["test"]["area_under_roc"] > 0.8


def test_threshold_rules() -> None:
    score = np.linspace(0, 1, 101)
    good = score > 0.6
    good[80] = False
    assert choose_threshold(score, good, "f1") == pytest.approx(0.61)
    assert choose_threshold(score, good, "precision=0.9") == pytest.approx(0.58)
    assert choose_threshold(score, good, "keep=0.1") == pytest.approx(0.9)
    assert quality_scores(score, good.astype(float), good, 0.61)["recall"] == 1
    for rule in ("best", "precision=2", "keep="):
        with pytest.raises(HeadstartError, match="there is no threshold rule"):
            choose_threshold(score, good, rule)
    with pytest.raises(HeadstartError, match="no threshold reaches precision"):
        choose_threshold(score, np.zeros(101, bool), "precision=0.9")


def test_models_and_lists_are_signals_of_a_corpus(tmp_path: Path, model_folder: Path) -> None:
    (tmp_path / "list.txt").write_text("valley\nsilver market\n")
    rows = [{"id": f"g{n}", "text": prose(9_000 + n)} for n in range(8)]
    rows += [{"id": f"b{n}", "text": shop(9_000 + n)} for n in range(8)]
    rows += [{"id": "listed", "text": prose(1) + " valley" * 9 + " silver. Market" * 9}]
    path = write_jsonl(tmp_path / "a.jsonl", rows)
    settings = [
        f"quality_models={{edu: {model_folder}}}",
        f"word_lists={{places: {tmp_path / 'list.txt'}}}",
        "rules={defaults: off, low_quality: edu < 0.4, too_many_places: places > 0.1}",
    ]
    build([path], tmp_path / "out", CorpusRecipe.load(None, settings), workers=1)
    removed = pq.read_table(next(tmp_path.glob("out/removed/*"))).to_pylist()
    reasons = {row["id"]: (row["rule"], row["detail"]) for row in removed}
    assert {row["id"] for row in corpus_documents(tmp_path / "out")} == {f"g{n}" for n in range(8)}
    assert reasons["b0"][0] == "low_quality"
    assert reasons["listed"][0] == "too_many_places"
    assert "> 0.1" in reasons["listed"][1]


def test_share_of_words_in_a_list(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("# a remark\nBad\nvery bad word\n")
    assert listed_share(split_words("A bad day, a very, bad... word; very good"), path) == pytest.approx(
        4 / 9
    )
    assert listed_share(split_words(""), path) == 0
    (tmp_path / "empty.txt").write_text("# nothing\n")
    with pytest.raises(HeadstartError, match="has no words"):
        listed_share(split_words("a"), tmp_path / "empty.txt")


def test_command_line(tmp_path: Path) -> None:
    from headstart.cli import app

    rows = [{"text": prose(n, 4) if n % 2 else shop(n), "score": 4 if n % 2 else 1} for n in range(500)]
    path = write_jsonl(tmp_path / "scored.jsonl", rows)
    command = ["corpus", "train-quality", "--scored", str(path), "--out", str(tmp_path / "model")]
    shown = CliRunner().invoke(app, command)
    assert shown.exit_code == 0, shown.output
    assert "F1" in shown.stdout
    assert CliRunner().invoke(app, command).stdout == shown.stdout  # it is there already
    load_model(tmp_path / "model")
    report = json.loads((tmp_path / "model" / "report.json").read_text())
    assert (tmp_path / "model" / "report.html").read_text("utf-8") == render(report)
    for wrong, sentence in (
        ([*command, "--threshold", "keep=0.1"], "made from other inputs or settings"),
        ([*command[:4], "--out", str(tmp_path / "b"), "--field", "grade"], "'grade' is None"),
        ([*command[:2], "--out", str(tmp_path / "c")], "give either"),
    ):
        error = CliRunner().invoke(app, wrong).exception
        assert isinstance(error, HeadstartError)
        assert sentence in str(error)


def test_too_few_examples_are_a_sentence() -> None:
    with pytest.raises(HeadstartError, match="too few are held out"):
        hash_examples([(prose(n), n % 2) for n in range(30)], seed=0)
