"""A claim of one's own, from files of text to the page, with real runs at toy size."""

import gzip
from pathlib import Path

import pytest
from typer.testing import CliRunner

from headstart.cli import app
from headstart.folder import read_json
from headstart.lab.result import Result

ROOT = Path(__file__).parents[2]
BOOKS = ROOT / "samples" / "books"
GENERAL = ("austen-emma", "austen-persuasion")
DOMAIN = ("shakespeare-hamlet", "shakespeare-macbeth")


@pytest.fixture
def texts(tmp_path) -> Path:
    """Pieces of two authors, each a file, enough of them that some are held out."""
    for name, books in (("general", GENERAL), ("domain", DOMAIN)):
        folder = tmp_path / "texts" / name
        folder.mkdir(parents=True)
        for book in books:
            text = gzip.decompress((BOOKS / f"{book}.txt.gz").read_bytes()).decode("utf-8")[:160_000]
            for number in range(0, len(text), 4000):
                (folder / f"{book}-{number:06d}.txt").write_text(
                    text[number : number + 4000], encoding="utf-8"
                )
    return tmp_path / "texts"


@pytest.fixture
def claim(tmp_path) -> Path:
    """The example, with a hundredth of its tokens and a small vocabulary."""
    text = (ROOT / "examples" / "domain_corpus_claim.py").read_text("utf-8")
    for large, small in (("VOCABULARY = 4096", "VOCABULARY = 600"), ("tokens=0.4e6", "tokens=6e3")):
        assert large in text
        text = text.replace(large, small)
    file = tmp_path / "domain_corpus_claim.py"
    file.write_text(text, encoding="utf-8")
    return file


def invoke(*words: object) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


def test_the_example_answers_a_practitioners_question(texts, claim, tmp_path) -> None:
    lab = tmp_path / "lab"
    planned = invoke("lab", "run", claim, "--data", texts, "--lab", lab, "--dry-run")
    assert "2 corpus, 1 tokenizer, 2 tokens, 9 pretrain" in planned
    assert not lab.exists()
    said = invoke("lab", "run", claim, "--data", texts, "--lab", lab)
    result = read_json(lab / "claims" / "domain-1" / "result.json", Result)
    assert result["verdict"] in said
    assert [part["estimate"]["seeds"] for part in result["parts"]] == [3, 3]
    assert all(part["estimate"]["units"] >= 2 for part in result["parts"])
    assert {name: len(ids) for name, ids in result["runs"].items()} == {"general": 3, "domain": 3}
    assert result["data"]["text"] == "your text"
    # With more tokens it comes out for the domain; with three steps a copy already leans to what it read.
    assert result["parts"][0]["estimate"]["mean"] > 0
    page = (lab / "report.html").read_text("utf-8")
    assert "Your own" in page
    assert "our domain corpus is worth continued pre-training" in page
    runs = {file.name: file.stat().st_mtime_ns for file in (lab / "runs").glob("*.json")}
    assert len(runs) == 14, "the base of a seed is one run for both of its copies"
    invoke("lab", "run", claim, "--data", texts, "--lab", lab)
    assert {file.name: file.stat().st_mtime_ns for file in (lab / "runs").glob("*.json")} == runs


def test_the_template_can_be_run_at_once(tmp_path) -> None:
    file = tmp_path / "mine.py"
    invoke("lab", "new", file)
    planned = invoke("lab", "run", file, "--data", BOOKS, "--lab", tmp_path / "lab", "--dry-run")
    assert "1 claims" in planned
    again = CliRunner().invoke(app, ["lab", "new", str(file)])
    assert "is there already" in str(again.exception)


def test_the_list_says_what_is_known() -> None:
    listed = invoke("lab", "--lab", ROOT / "lab")
    assert "C13" in listed
    assert "no token sees the future" in listed


def test_the_list_says_where_it_looked_for_results(tmp_path: Path) -> None:
    assert f"0 of 40 measured in {tmp_path / 'none'};" in invoke("lab", "--lab", tmp_path / "none")
