"""The main job from end to end on a little real text: what it writes, without a network, despite kills."""

import gzip
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import orjson
import pytest

SAMPLES = Path(__file__).parents[1] / "samples"

# Any connection but those between our own processes ends the job.
OFFLINE = """
import socket
def refuse(self, address, *rest):
    if self.family != socket.AF_UNIX:
        raise SystemExit(f"somebody tried to reach {address}")
    return connect(self, address, *rest)
connect = socket.socket.connect
socket.socket.connect = refuse
socket.getaddrinfo = lambda *where, **how: refuse(socket.socket(), where)
from headstart.cli import main
if __name__ == "__main__":
    main()
"""


def lines(name: str, count: int) -> bytes:
    with gzip.open(SAMPLES / "labels" / name) as file:
        return b"".join(line for line, _ in zip(file, range(count), strict=False))


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small pile of text with some broken files in it, and two small tasks."""
    folder = tmp_path_factory.mktemp("raw")
    text = folder / "text"
    text.mkdir()
    for name in ("austen-persuasion", "milton-areopagitica"):
        shutil.copy(SAMPLES / "books" / f"{name}.txt.gz", text)
    shutil.copy(SAMPLES / "crawl" / "headstart-sample-00003.warc.gz", text)  # the one with broken records
    (text / "binary.jsonl").write_bytes(bytes(range(256)) * 40)
    (text / "cut.txt.gz").write_bytes((text / "austen-persuasion.txt.gz").read_bytes()[:5000])
    labels = folder / "labels"
    labels.mkdir()
    for task in ("spam", "pos"):
        (labels / f"{task}.train.jsonl").write_bytes(lines(f"{task}.train.jsonl.gz", 150))
        (labels / f"{task}.test.jsonl").write_bytes(lines(f"{task}.test.jsonl.gz", 40))
    (folder / "offline.py").write_text(OFFLINE)
    return folder


def quickstart(raw: Path, out: Path) -> subprocess.Popen[str]:
    command = [sys.executable, str(raw / "offline.py"), "quickstart", "--minutes", "0.5", "--out", str(out)]
    command += ["--data", str(raw / "text"), "--labels", str(raw / "labels")]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)


@pytest.fixture(scope="module")
def finished(raw: Path) -> Path:
    out = raw / "finished"
    process = quickstart(raw, out)
    _, said = process.communicate(timeout=600)
    assert process.returncode == 0, said
    return out


def report_of(out: Path) -> dict:
    return orjson.loads((out / "report.json").read_bytes())


def test_the_report_holds_every_stage(finished: Path) -> None:
    report = report_of(finished)
    stages = [row["stage"] for row in report["funnel"]]
    assert stages[0] == "read"
    assert stages[-1] == "mix"
    assert all(row["tokens"] > 0 and row["bytes"] > 0 and row["documents"] > 0 for row in report["funnel"])
    assert report["skipped"]  # the binary, the cut file, the broken records
    assert {row["model"] for row in report["pretraining"]} == {"encoder", "decoder"}
    for row in report["pretraining"]:
        assert row["evals"][-1]["loss"] < row["evals"][0]["loss"]
        assert row["tokens"] > 0
    points = {(p["task"], p["labels"], p["system"], p["seed"]) for p in report["head_start"]}
    systems = ("fine-tuned", "static-start", "from-scratch", "tf-idf", "majority")
    for task in ("spam", "pos"):
        for system in systems:
            for seed in (0, 1):
                assert (task, 100, system, seed) in points
    assert all(0 <= point["score"] <= 1 for point in report["head_start"])
    assert (finished / "report.html").read_text().startswith("<!doctype html>")


def test_the_tokens_of_the_funnel_add_up(finished: Path) -> None:
    """What the corpus holds at the end is what the shards hold, less two special tokens a document."""
    end = report_of(finished)["funnel"][-1]
    splits = orjson.loads((finished / "tokens" / "manifest.json").read_bytes())["splits"].values()
    assert end["documents"] == sum(split["documents"] for split in splits)
    assert end["tokens"] == sum(split["tokens"] - 2 * split["documents"] for split in splits)


def test_model_folders_load(finished: Path) -> None:
    """Those of tasks with headstart, for counted words may answer beside the network; a pre-trained one
    everywhere."""
    import transformers

    import headstart as hs

    assert hs.load(finished / "tasks" / "spam").predict("You have won a prize")["label"] in ("ham", "spam")
    folder = str(finished / "decoder" / "model")
    write = transformers.pipeline("text-generation", model=folder, tokenizer=folder)
    assert write("She was", max_new_tokens=4)[0]["generated_text"].startswith("She was")


def test_a_second_call_only_writes_the_report_again(raw: Path, finished: Path) -> None:
    weights = finished / "encoder" / "model" / "model.safetensors"
    before = weights.stat().st_mtime_ns, report_of(finished)["head_start"]
    process = quickstart(raw, finished)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert (weights.stat().st_mtime_ns, report_of(finished)["head_start"]) == before


def test_other_settings_are_refused(raw: Path, finished: Path) -> None:
    command = [sys.executable, "-m", "headstart", "quickstart", "--minutes", "3", "--out", str(finished)]
    command += ["--data", str(raw / "text")]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 2
    assert "other settings" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_killed_anywhere_it_ends_the_same(raw: Path, finished: Path) -> None:
    """Kills at random moments; the plan is given, because it is measured anew on every fresh start."""
    out = raw / "killed"
    out.mkdir()
    for name in ("quickstart.json", "quickstart.yaml", "plan.yaml"):
        text = (finished / name).read_text().replace(str(finished), str(out))
        (out / name).write_text(text)
    seconds = sum(row["seconds"] for row in report_of(finished)["stages"])
    moments = random.Random(int(os.environ.get("HEADSTART_SEED", "0")))
    for _ in range(6):
        process = quickstart(raw, out)
        try:
            process.communicate(timeout=3 + moments.random() * seconds / 3)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    process = quickstart(raw, out)
    _, said = process.communicate(timeout=600)
    assert process.returncode == 0, said
    whole, mended = report_of(finished), report_of(out)
    assert mended["funnel"] == whole["funnel"]

    def scores(report: dict) -> list[tuple]:
        return [(p["task"], p["labels"], p["system"], p["seed"], p["score"]) for p in report["head_start"]]

    assert scores(mended) == scores(whole)
    for one, other in zip(mended["pretraining"], whole["pretraining"], strict=True):
        assert [(e["step"], e["loss"]) for e in one["evals"]] == [
            (e["step"], e["loss"]) for e in other["evals"]
        ]
        assert one["samples"] == other["samples"]
    for model in ("encoder", "decoder"):
        name = Path(model) / "model" / "model.safetensors"
        assert (finished / name).read_bytes() == (out / name).read_bytes()


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
def test_mistakes_end_in_a_sentence(raw: Path, arguments: list[str], said: str) -> None:
    (raw / "empty").mkdir(exist_ok=True)
    (raw / "one-class.csv").write_text("text,label\n" + "some words,yes\n" * 30)
    arguments = [argument.format(raw=raw) for argument in arguments]
    if "--out" not in arguments:
        arguments += ["--out", str(raw / f"never-{time.time_ns()}")]
    answer = subprocess.run(
        [sys.executable, "-m", "headstart", "quickstart", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 2, answer.stderr
    assert said in answer.stderr
    assert "Traceback" not in answer.stderr
