"""What `--dry-run` says of a recipe is what the run then has."""

import itertools
import time
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from headstart.cli import app
from headstart.folder import read_json
from headstart.scaling.dry_run import dry_run
from headstart.training import run_folder, run_frame
from headstart.training.configuration import configuration
from headstart.training.loop import pretrain
from headstart.training.metrics import read_metrics
from headstart.training.recipe import PretrainRecipe
from headstart.training.step_cost import step_cost

MODEL = {"layers": 2, "width": 32, "heads": 4, "feedforward_width": 48}
KINDS = {"headstart-encoder": "masked", "headstart-decoder": "causal", "t5": "denoising"}


@pytest.mark.parametrize("family", KINDS)
@pytest.mark.parametrize("optimiser", [{"kind": "muon"}, {"kind": "adamw", "average": 0.9}])
def test_the_run_is_what_was_foretold(family, optimiser, tokens, tmp_path, monkeypatch) -> None:
    peak = {"gemm_gflops": {"float32": 100.0}}
    monkeypatch.setattr(run_folder, "describe_machine", lambda: peak)
    recipe = PretrainRecipe.model_validate(
        {
            "tokens": tokens, "context": 32, "rows": 8, "steps": 4, "checkpoint_every": 4, "sinks": [],
            "model": MODEL | {"family": family}, "objective": {"kind": KINDS[family]}, "optimiser": optimiser,
            "rows_warmup": 0.5,
        }
    )  # fmt: skip
    said = dry_run(recipe)
    assert list(tmp_path.iterdir()) == []
    run = tmp_path / "run"
    clock = itertools.count()  # a second between any two looks at it
    times = SimpleNamespace(perf_counter=lambda: float(next(clock)), process_time=time.process_time)
    monkeypatch.setattr(run_frame, "time", times)
    pretrain(recipe, run)
    steps = [event for event in read_metrics(run) if event["kind"] == "step"]
    last = steps[-1]
    assert said["tokens"] == last["tokens"]
    written = sum(f.stat().st_size for f in (run / "checkpoints" / "step-4").glob("*.safetensors"))
    assert said["checkpoint_bytes"] == pytest.approx(written, rel=0.1)
    assert said["parameters"]["all"] == sum(n for part, n in said["parameters"].items() if part != "all")
    assert said["memory"]["weights"] == 4 * said["parameters"]["all"]
    assert said["seconds"] > 0
    times = [
        now["seconds"] - before
        for now, before in zip(steps, [0, *(s["seconds"] for s in steps)], strict=False)
    ]
    done = sum(step["mfu"] * 1e11 * seconds for step, seconds in zip(steps, times, strict=True))
    assert done == pytest.approx(said["flops"], rel=0.1)
    assert configuration(recipe).layers == 2


def test_a_run_that_starts_from_a_model_is_measured_as_that_model(tokens, tmp_path, monkeypatch) -> None:
    """Its sizes and its family, whatever the recipe says of a new one."""
    monkeypatch.setattr(run_folder, "describe_machine", lambda: {})
    settings = {"tokens": tokens, "context": 32, "rows": 8, "steps": 2, "sinks": []}
    small = PretrainRecipe.model_validate(
        settings | {"model": MODEL | {"family": "headstart-decoder"}, "objective": {"kind": "causal"}}
    )
    pretrain(small, tmp_path / "small")
    further = PretrainRecipe.model_validate(
        settings | {"start": tmp_path / "small", "objective": {"kind": "causal"}}
    )
    assert further.model.family == "headstart-encoder"
    assert step_cost(further, 1).parameters == step_cost(small, 1).parameters
    assert dry_run(further)["seconds"] > 0
    assert dry_run(further)["flops"] == dry_run(small)["flops"]


@pytest.mark.parametrize("policy", ["skip", "rollback", "stop", "ignore"])
def test_a_loss_that_is_no_number_is_said_and_measured_all_the_same(
    policy, tokens, tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sizes = [f"model.{name}={value}" for name, value in MODEL.items()]
    rates = ["optimiser.matrix_rate=1e30", "optimiser.vector_rate=1e30"]
    settings = [f"tokens={tokens}", "context=32", "rows=8", f"on_spike={policy}", *sizes, *rates]
    before = sorted(tokens.rglob("*"))
    answer = CliRunner().invoke(app, ["pretrain", "--dry-run", *settings, "--out", "run"])
    assert answer.exit_code == 0, answer.output
    assert "no number: lower optimiser.matrix_rate" in answer.output
    assert "\ntime" in answer.output
    assert sorted(tokens.rglob("*")) == before
    assert list(tmp_path.iterdir()) == []


def test_the_command(tokens, tmp_path) -> None:
    sizes = [f"model.{name}={value}" for name, value in MODEL.items()]
    runner = CliRunner()
    answer = runner.invoke(app, ["pretrain", "--dry-run", f"tokens={tokens}", "context=32", "rows=8", *sizes])
    assert answer.exit_code == 0, answer.output
    for word in ("parameters", "tokens", "operations", "memory", "checkpoint", "time"):
        assert f"\n{word}" in "\n" + answer.output
    many = ["parallel.shard=2", "parallel.tensor=2"]
    answer = runner.invoke(
        app, ["pretrain", "--dry-run", f"tokens={tokens}", "context=32", "rows=8", *sizes, *many]
    )
    assert "in each of 4 processes" in answer.output
    assert "not measured" in answer.output


def test_the_control_command(tmp_path) -> None:
    runner = CliRunner()
    assert runner.invoke(app, ["control", str(tmp_path), "pause"]).exit_code == 0
    assert runner.invoke(app, ["control", str(tmp_path), "set_learning_rate", "0.001"]).exit_code == 0
    sent = read_json(tmp_path / "control.json")
    assert [command["action"] for command in sent] == ["pause", "set_learning_rate"]
    assert sent[1]["rate"] == 0.001
    assert runner.invoke(app, ["control", str(tmp_path), "dance"]).exit_code == 2
