"""Every script in examples/ runs as its first lines say, on less data."""

import gzip
import re
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from itertools import islice
from pathlib import Path

import orjson
import pytest
import typer
import yaml
from typer.testing import CliRunner

from headstart.cli import app
from headstart.interchange.model_folder import save_model

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
SOON = "--minutes=0.0005"  # so many that a run has a step or two


def run(name: str, *arguments: object) -> str:
    """What a script prints, as it is called."""
    command = [sys.executable, str(EXAMPLES / name), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_here(name: str, *arguments: object) -> str:
    """The same in this process, where its commands need not import torch again."""
    spec = spec_from_file_location(name.removesuffix(".py"), EXAMPLES / name)
    script = module_from_spec(spec)
    spec.loader.exec_module(script)
    said = []

    def headstart(*words: object) -> None:
        done = CliRunner().invoke(app, [str(word) for word in words])
        assert done.exit_code == 0, (words, done.exception)
        said.append(done.stdout)

    script.headstart = headstart
    command = typer.Typer()
    command.command()(script.main)
    done = CliRunner().invoke(command, [str(one) for one in arguments])
    assert done.exit_code == 0, done.exception
    return "".join(said) + done.stdout


@pytest.fixture(scope="module")
def mails(tmp_path_factory) -> Path:
    """A few labelled mails, with a test file beside them."""
    folder = tmp_path_factory.mktemp("mails")
    for part, rows in (("train", 60), ("test", 40)):
        with gzip.open(ROOT / "samples" / "labels" / f"spam.{part}.jsonl.gz") as whole:
            mails = [orjson.loads(line) for line in islice(whole, rows)]
        short = [orjson.dumps(mail | {"text": mail["text"][:200]}) for mail in mails]
        (folder / f"spam.{part}.jsonl").write_bytes(b"\n".join(short))
    return folder


@pytest.fixture(scope="module")
def shelf(documents, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("shelf")
    for number, document in enumerate(documents[:200]):
        (folder / f"{number}.txt").write_text(document["text"], encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> dict[str, Path]:
    """The shipped recipes with models for which a step is nothing."""
    made = {}
    for name in ("encoder", "decoder"):
        recipe = yaml.safe_load((ROOT / "recipes" / f"{name}.yaml").read_text())
        recipe["model"] |= {"layers": 2, "width": 32, "heads": 4, "feedforward_width": 48}
        made[name] = tmp_path_factory.mktemp("recipes") / f"{name}.yaml"
        made[name].write_text(
            yaml.safe_dump(recipe | {"rows": 4, "precision": "float32", "evaluate_rows": 8})
        )
    return made


@pytest.fixture(scope="module")
def encoder(tiny, tokenizer, tmp_path_factory) -> Path:
    """In place of headstart-mini."""
    folder = tmp_path_factory.mktemp("encoder") / "encoder"
    model = tiny("headstart-encoder", vocab_size=tokenizer.vocab_size, context=128)
    save_model(folder, model, tokenizer, "masked", "# An encoder")
    return folder


def test_classify_mails(mails, encoder, tmp_path) -> None:
    given = ["--out", tmp_path / "out", "--labels", 32, "--encoder", encoder]
    said = run_here("classify_mails.py", mails / "spam.train.jsonl", *given)
    assert "on test mails: accuracy" in said
    first, _, again = (
        found[0] or found[1] for found in re.findall(r"(\w+) \(\d+%\)|: (ham|spam)$", said, re.M)
    )
    assert first == again, "the model that was kept says the same"


@pytest.mark.slow
def test_adapt_encoder(mails, shelf, encoder, tmp_path) -> None:
    train, test = (mails / f"spam.{part}.jsonl" for part in ("train", "test"))
    said = run(
        "adapt_encoder.py",
        shelf,
        train,
        test,
        "--out",
        tmp_path / "out",
        SOON,
        "--few",
        32,
        "--encoder",
        encoder,
    )
    assert re.search(r"model - \S*before: accuracy [+-]\d", said), said
    resolved = (tmp_path / "out" / "adapted" / "recipe.yaml").read_text()
    assert f"start: {encoder}" in resolved


def test_bookshelf(shelf, small, tmp_path) -> None:
    pytest.importorskip("openai")
    said = run(
        "bookshelf.py", shelf, "--out", tmp_path / "out", SOON, "--words", 600, "--recipe", small["decoder"]
    )
    assert re.search(r"^bookshelf: It was a\S*.+", said, re.M), said


def test_corpus_extension(tmp_path) -> None:
    texts = tmp_path / "texts"
    texts.mkdir()
    for file in sorted((ROOT / "samples" / "books").glob("*.gz"))[:2]:
        (texts / file.name).write_bytes(file.read_bytes())
    (texts / "draft.txt").write_text("DRAFT of a letter\n" + "The sea was calm and the ship went on. " * 30)
    said = run("corpus_extension.py", texts, tmp_path / "out")
    counts = {stage: int(n) for n, stage in re.findall(r"(\d+) documents after (.+)", said.replace(",", ""))}
    assert {"unfinished", "old_news", "near duplicates"} <= set(counts), said
    assert (tmp_path / "out" / "report.html").exists()


@pytest.mark.slow
def test_does_pretraining_pay(mails, shelf, small, tmp_path) -> None:
    data = mails / "spam.train.jsonl"
    quick = ["--out", tmp_path / "out", SOON, "--labels", 32, "--words", 600, "--recipe", small["encoder"]]
    said = run_here("does_pretraining_pay.py", shelf, data, *quick)
    verdicts = re.findall(
        r"against (.+): (?:pays|costs|cannot be told from) \(([+-]\S+) to ([+-]\S+)\)", said
    )
    assert [other for other, _, _ in verdicts] == ["its first seconds", "no pre-training", "counting words"]
    assert all(float(low) <= float(high) for _, low, high in verdicts)


def test_the_page_names_every_script() -> None:
    page = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\]\((\w+\.py)\)", page)) == {file.name for file in EXAMPLES.glob("*.py")}
    for file in EXAMPLES.glob("*.py"):
        assert f"examples/{file.name}" in file.read_text(encoding="utf-8"), (
            "its first lines say how it is run"
        )
