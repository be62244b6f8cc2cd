"""The main job that ends early: stopped, or by a mistake. A file of its own, so that two workers share."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from quickstart_job import make_raw, quickstart
from typer.testing import CliRunner

from headstart.cli import app
from headstart.errors import HeadstartError, explain
from headstart.quickstart import pipeline
from headstart.quickstart.pipeline import QuickstartRecipe


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("raw")
    make_raw(folder)
    return folder


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_early_it_says_how_to_go_on(raw: Path, number: signal.Signals) -> None:
    process = quickstart(raw, raw / f"interrupted-{number}")
    said = process.stderr.readline()  # the first stage has begun
    os.killpg(process.pid, number)  # as a terminal does: the workers get it too
    said += process.communicate(timeout=600)[1]
    assert process.returncode == 130
    assert "start the same command again" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--data", "nowhere"], "nowhere"),
        (["--data", "{raw}/empty"], "empty"),
        (["--data", "{raw}/text", "--labels", "{raw}/one-class.csv"], "one class"),
        (["--data", "{raw}/text", "--out", "{raw}/offline.py"], "file"),
        (["--data", "{raw}/text", "--out", "/proc/headstart"], "/proc"),
        (["--data", "{raw}/text", "--minutes", "0"], "minutes"),
    ],
)
def test_mistakes_end_in_a_sentence(raw: Path, tmp_path: Path, arguments: list[str], said: str) -> None:
    (raw / "empty").mkdir(exist_ok=True)
    (raw / "one-class.csv").write_text("text,label\n" + "some words,yes\n" * 30)
    arguments = [argument.format(raw=raw) for argument in arguments]
    if "--out" not in arguments:
        arguments += ["--out", str(tmp_path / "never")]
    ended = CliRunner().invoke(app, ["quickstart", *arguments])
    if isinstance(ended.exception, SystemExit):  # an option's own check
        assert ended.exit_code == 2
        assert said in ended.output
    else:
        error = ended.exception
        assert said in str(error if isinstance(error, HeadstartError) else explain(error))


def test_a_mistake_ends_the_process_without_a_traceback(tmp_path: Path) -> None:
    answer = subprocess.run(
        [
            sys.executable,
            "-m",
            "headstart",
            "quickstart",
            "--data",
            "nowhere",
            "--out",
            str(tmp_path / "never"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 2, answer.stderr
    assert "nowhere" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_other_labels_are_another_quickstart(tmp_path) -> None:
    labels, out = tmp_path / "labels.jsonl", tmp_path / "out"
    labels.write_text('{"text": "a", "label": "x"}\n')
    out.mkdir()
    recipe = QuickstartRecipe(minutes=1, data=[tmp_path], labels=labels, seed=0)
    pipeline._claim(recipe, out)
    pipeline._claim(recipe, out)
    labels.write_text('{"text": "b", "label": "x"}\n')
    with pytest.raises(HeadstartError, match=r"labels\.jsonl as it was before"):
        pipeline._claim(recipe, out)
