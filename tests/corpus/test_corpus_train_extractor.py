"""Training the line classifier: alignment with the wanted text, trees, the command."""

import gzip
import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from raw_files import prose
from typer.testing import CliRunner

from headstart.cli import app
from headstart.corpus import extract_text
from headstart.corpus.extract import train_extractor
from headstart.corpus.extract.oblivious_trees import ObliviousTrees, boost
from headstart.corpus.extract.train_extractor import label, name_weights, read_labelled, word_f1
from headstart.errors import HeadstartError


def labelled_row(seed: int) -> dict[str, str]:
    """A page whose main text stands in an element of a made-up class, and whose other text looks the same."""
    wanted, other = prose(seed, 6), prose(seed + 1_000, 6)
    lines = "".join(f"<p>{sentence}.</p>" for sentence in wanted.split(".") if sentence)
    others = "".join(f"<p>{sentence}.</p>" for sentence in other.split(".") if sentence)
    return {
        "url": f"https://www.site{seed}.org/a",
        "html": f'<div class="zmain">{lines}</div><div class="zother">{others}</div>',
        "text": wanted,
    }


def write(path: Path, rows: list[dict[str, str]]) -> Path:
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    return path


def test_lines_are_aligned_with_the_wanted_text() -> None:
    html = "<p>Home and away</p><p>One two three four.</p><p>Five</p><p>six seven eight</p>"
    html += "<p>nine ten eleven</p>"
    page = label(html, "https://a.b.co.uk/x", "one two three four five six seven eight")
    assert page.label.tolist() == [0, 1, 1, 1, 0]
    assert page.site == "b.co.uk"
    assert page.weight[1] > page.weight[2] > 0
    pieces = label(html, None, None, ["two three"], ["nine", "Home"])
    assert pieces.label.tolist() == [0, 1, 0, 0, 0]
    assert (pieces.weight > 0).tolist() == [True, True, False, False, True]


def test_each_word_of_the_wanted_text_is_found_on_one_line_of_the_page() -> None:
    contents = "<li>Of old ships</li><li>Of new ships</li>"
    body = "<h2>Of old ships</h2><p>They sailed north.</p><h2>Of new ships</h2><p>They sail south.</p>"
    text = "Of old ships They sailed north. Of new ships They sail south."
    assert label(contents + body, None, text).label.tolist() == [0, 0, 1, 1, 1, 1]
    assert label(body + contents, None, text).label.tolist() == [1, 1, 1, 1, 0, 0]
    assert label(body + body, None, text).label.tolist() == [1] * 4 + [0] * 4
    assert label(body + body, None, f"{text} {text}").label.tolist() == [1] * 8


def test_word_f1_counts_each_word_as_often_as_it_occurs() -> None:
    assert word_f1("a b b", "B a c") == pytest.approx(2 / 3)
    assert word_f1("", "") == 1
    assert word_f1("a", "") == 0


def test_names_weigh_what_they_hold() -> None:
    rows = [labelled_row(seed) for seed in range(8)]
    weights = name_weights([label(row["html"], row["url"], row["text"]) for row in rows]).weights
    assert weights["zmain"] > 1
    assert weights["zother"] < -0.5
    assert name_weights([label(rows[0]["html"], None, rows[0]["text"])]).weights == {}  # one site says little


def test_trees_learn_what_no_single_feature_tells() -> None:
    draw = np.random.default_rng(0)
    rows = draw.random((5, 4_000)).astype(np.float32)
    labels = ((rows[1] > 0.3) != (rows[3] > 0.6)).astype(float)
    trees = boost(rows, labels, np.ones(4_000), trees=60, depth=3, feature_share=1.0)
    fresh = draw.random((5, 3_000)).astype(np.float32)
    wanted = (fresh[1] > 0.3) != (fresh[3] > 0.6)
    assert ((trees.log_odds(fresh) > 0) == wanted).mean() > 0.95


def test_trees_answer_as_one_question_after_the_other() -> None:
    draw = np.random.default_rng(0)
    trees = ObliviousTrees(
        draw.integers(0, 5, (7, 3)).astype(np.int32),
        draw.random((7, 3)).astype(np.float32),
        draw.random((7, 8)).astype(np.float32),
        0.25,
    )
    rows = draw.random((5, 2_500)).astype(np.float32)
    expected = np.full(2_500, 0.25)
    for feature, threshold, value in zip(trees.feature, trees.threshold, trees.value, strict=True):
        leaf = np.zeros(2_500, int)
        for one, limit in zip(feature, threshold, strict=True):
            leaf = 2 * leaf + (rows[one] > limit)
        expected += value[leaf]
    np.testing.assert_allclose(trees.log_odds(rows), expected, rtol=1e-5)


def test_a_classifier_is_trained_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_extractor, "TREES", 30)  # few and eager ones: there are a few hundred lines
    monkeypatch.setattr(train_extractor, "boost", partial(boost, rate=0.5, depth=3))
    pages = write(tmp_path / "pages.jsonl.gz", [labelled_row(seed) for seed in range(32)])
    out = tmp_path / "mine.safetensors"
    done = CliRunner().invoke(app, ["corpus", "train-extractor", str(pages), "--out", str(out), "--json"])
    assert done.exit_code == 0, done.output
    figures = json.loads(done.stdout)
    assert figures["pages"] == 32
    assert figures["held_out"]["word F1"] > 0.95
    scores = []
    for fresh in map(labelled_row, range(100, 105)):
        scores.append(word_f1(extract_text(fresh["html"], extractor=str(out)), fresh["text"]))
    assert np.mean(scores) > 0.95


def test_bad_input_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(HeadstartError, match=r"cannot read .*none\.jsonl"):
        read_labelled([tmp_path / "none.jsonl"])
    bad = tmp_path / "bad.jsonl"
    bad.write_text(json.dumps(labelled_row(0)) + '\n{"text": "x"}\n')
    with pytest.raises(HeadstartError, match=r"bad\.jsonl:2 is no labelled page"):
        read_labelled([bad])
    few = write(tmp_path / "few.jsonl.gz", [labelled_row(0)])
    with pytest.raises(HeadstartError, match="1 labelled pages are of too few sites"):
        train_extractor.train(read_labelled([few]))
