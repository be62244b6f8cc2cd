"""The main job from end to end on a little real text: what it writes, without a network, despite kills."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import orjson
import pytest
from quickstart_job import make_raw, quickstart

from headstart.quickstart.budget import Plan
from headstart.quickstart.finetune_budget import FinetunePlan


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("raw")
    make_raw(folder)
    return folder


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
    plan = FinetunePlan.load(finished / "finetune-plan.yaml", [])
    assert plan.seeds[0] == 0
    assert plan.labels[0] == 100
    for task in ("spam", "pos"):
        for system in systems:
            for seed in plan.seeds:
                assert (task, 100, system, seed) in points
    assert all(warning in report["warnings"] for warning in plan.warnings)
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


def test_the_model_that_is_kept_is_the_one_that_was_scored(raw: Path, finished: Path) -> None:
    import headstart as hs

    rows = [orjson.loads(line) for line in (raw / "labels" / "spam.test.jsonl").read_bytes().splitlines()]
    said = hs.load(finished / "tasks" / "spam").predict([row["text"] for row in rows])
    right = sum(answer["label"] == row["label"] for answer, row in zip(said, rows, strict=True))
    static = Plan.load(finished / "plan.yaml", []).keeps_static
    kept = "static-start" if static else "fine-tuned"
    wanted = [
        point["score"]
        for point in report_of(finished)["head_start"]
        if (point["task"], point["system"], point["seed"], point["labels"]) == ("spam", kept, 0, 100)
    ]
    assert wanted == [right / len(rows)]


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
    said = " ".join(answer.stderr.split())
    assert "with other settings (minutes was" in said
    assert "see" in said, "the file with all of them"
    assert "Traceback" not in answer.stderr


def test_killed_anywhere_it_ends_the_same(raw: Path, finished: Path) -> None:
    """Kills at random moments; the plan is given, because it is measured anew on every fresh start."""
    out = raw / "killed"
    out.mkdir()
    for name in ("quickstart.json", "quickstart.yaml", "plan.yaml", "finetune-plan.yaml"):
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
