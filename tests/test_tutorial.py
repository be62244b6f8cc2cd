"""The tutorial's commands run as they stand and print what the page says, but for figures."""

import gzip
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from typer.testing import CliRunner

from headstart.cli import app

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "tutorial.md").read_text()
BLOCKS = re.findall(r"```sh\n(.*?)```\n\n(?:```text\n(.*?)```)?", PAGE, re.DOTALL)
"""Commands, and what they print."""


def shape(line: str) -> str:
    """A line without its figures, the labels that a model gave, and the spaces that align them."""
    line = re.sub(r'"label":"\w+"', '"label":"#"', line)
    return re.sub(r"\s+", " ", re.sub(r"\d[\d,.]*(e-?\d+)?", "#", line)).strip()


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("tutorial")
    labels = place / "samples" / "labels"
    labels.mkdir(parents=True)
    for part, rows in (("train", 200), ("test", 40)):  # a few mails: the test is about the page
        name = f"spam.{part}.jsonl.gz"
        with gzip.open(ROOT / "samples" / "labels" / name) as whole, gzip.open(labels / name, "wb") as few:
            few.writelines(islice(whole, rows))
    return place


@pytest.fixture(scope="module")
def started() -> Iterator[list[subprocess.Popen]]:
    servers: list[subprocess.Popen] = []
    yield servers
    for server in servers:
        server.terminate()
        server.wait()


def run(words: list[str], port: int, started: list[subprocess.Popen]) -> str:
    """What a command of the page prints; it trains on 32 mails, once."""
    verb, *arguments = words
    if verb == "printf":
        Path(arguments[-1]).write_text(arguments[0].replace("\\n", "\n"))
        return ""
    if verb == "curl":
        body = arguments[arguments.index("-d") + 1].encode()
        url = f"http://{arguments[0]}".replace("8000", str(port))
        return urlopen(Request(url, body, {"content-type": "application/json"}), timeout=600).read().decode()
    if arguments[0] == "serve":
        command = [sys.executable, "-m", "headstart", *arguments, "--port", str(port)]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
        return "".join(started[-1].stdout.readline() for _ in range(3))
    quick = ["32" if given == "300" else given for given in arguments]
    done = CliRunner().invoke(app, quick + (["epochs=1"] if arguments[0] == "finetune" else []))
    assert done.exit_code == 0, (words, done.exception)
    return done.stdout + done.stderr


def test_every_command_prints_what_the_page_says(place, started, monkeypatch) -> None:
    monkeypatch.chdir(place)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for commands, printed in BLOCKS:
        said = [
            run(shlex.split(command), port, started) for command in commands.replace("\\\n", "").splitlines()
        ]
        lines = [shape(line) for line in "".join(said).splitlines()]
        expected = [shape(line) for line in printed.splitlines() if line.strip() != "…"]
        assert [line for line in expected if line not in lines] == [], commands
