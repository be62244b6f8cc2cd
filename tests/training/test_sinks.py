"""Sinks: they get the numbers, a missing one is a sentence, a failing one costs nothing."""

import builtins
import sys
import types

import pytest

from headstart.errors import HeadstartError
from headstart.folder import write_json
from headstart.training import loop, run_folder
from headstart.training.loop import pretrain
from headstart.training.metrics import Metrics, read_metrics
from headstart.training.monitoring import sinks


class Calls(types.ModuleType):
    """Stands for a service's package: notes what it is called with."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.seen: list[tuple[str, tuple, dict]] = []
        self.info = types.SimpleNamespace(run_id="number-7")

    def __getattr__(self, name: str):
        if name.startswith("__"):
            raise AttributeError(name)

        def call(*given, **named):
            self.seen.append((name, given, named))
            return self

        return call

    def all(self, name: str) -> list[tuple[tuple, dict]]:
        return [(given, named) for called, given, named in self.seen if called == name]


@pytest.fixture
def service(monkeypatch):
    def make(name: str) -> Calls:
        calls = Calls(name)
        monkeypatch.setitem(sys.modules, name, calls)
        return calls

    return make


LOGGED = {"wandb": "log", "mlflow": "log_metrics", "trackio": "log"}


@pytest.mark.parametrize("name", LOGGED)
def test_a_service_gets_the_numbers_of_each_event(service, tmp_path, name) -> None:
    calls = service(name)
    write_json(tmp_path / "run.json", {"id": "abcd"})
    metrics = Metrics(tmp_path, 0, [name])
    metrics.write("step", 1, loss=0.5, why="no number", tensors={"x": 1.0}, mfu=None)
    metrics.write("evaluation", 2, loss=0.25, targets=7)
    metrics.close()
    assert calls.all(LOGGED[name]) == [
        (({"step/loss": 0.5},), {"step": 1}),
        (({"evaluation/loss": 0.25, "evaluation/targets": 7.0},), {"step": 2}),
    ]
    assert calls.seen[-1][0] in ("finish", "end_run")


@pytest.mark.parametrize(("name", "opens"), [("wandb", "init"), ("trackio", "init"), ("mlflow", "start_run")])
def test_a_run_that_goes_on_is_the_same_run_there(service, tmp_path, name, opens) -> None:
    calls = service(name)
    for run in ("one", "one", "other"):
        if not (tmp_path / run / "run.json").exists():
            write_json(tmp_path / run / "run.json", {"id": f"id-of-{run}"})
        Metrics(tmp_path / run, 0, [name]).close()
    first, again, other = (named for _, named in calls.all(opens))
    if name == "mlflow":
        assert [named["run_id"] for named in (first, again, other)] == [None, "number-7", None]
        return
    assert first == again
    assert first["resume"] == "allow"
    assert first != other
    assert "id-of-one" in str(first)


@pytest.mark.parametrize("name", sinks.SINKS)
def test_a_service_that_is_not_installed_is_a_sentence(engine_recipe, tmp_path, monkeypatch, name) -> None:
    package = {"tensorboard": "tensorboardX"}.get(name, name)
    honest = builtins.__import__

    def missing(wanted, *rest, **named):
        if wanted == package:
            raise ImportError(wanted, name=package)
        return honest(wanted, *rest, **named)

    monkeypatch.setattr(run_folder, "describe_machine", lambda: {})
    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(HeadstartError, match=rf"sinks: {name} is not installed; pip install {package}"):
        pretrain(engine_recipe(sinks=[name]), tmp_path / "run")


@pytest.mark.parametrize("fails", ["init", "log", "finish"])
def test_a_service_that_fails_costs_its_numbers_and_not_the_run(
    service, engine_recipe, tmp_path, monkeypatch, capsys, fails
) -> None:
    calls = service("wandb")

    def failing(*_: object, **__: object) -> None:
        raise ConnectionError("no network")

    setattr(calls, fails, failing)
    monkeypatch.setattr(run_folder, "describe_machine", lambda: {})
    pretrain(engine_recipe(steps=3, sinks=["wandb", "tensorboard"]), tmp_path / "run")
    assert len([event for event in read_metrics(tmp_path / "run") if event["kind"] == "step"]) == 3
    assert list((tmp_path / "run").glob("events.out.tfevents.*"))
    said = [line for line in capsys.readouterr().err.splitlines() if "no network" in line]
    assert len(said) == 1


def test_a_whole_run_in_a_service(service, engine_recipe, tmp_path, monkeypatch) -> None:
    calls = service("wandb")
    monkeypatch.setattr(run_folder, "describe_machine", lambda: {})
    monkeypatch.setattr(loop, "read_json", lambda path, of: {"machine": {"gemm_gflops": {"float32": 10.0}}})
    pretrain(engine_recipe(steps=3, sinks=["wandb"]), tmp_path / "run")
    logged = [(given[0], named["step"]) for given, named in calls.all("log")]
    steps = [numbers for numbers, _ in logged if "step/loss" in numbers]
    assert [step for numbers, step in logged if "step/loss" in numbers] == [1, 2, 3]
    assert all(numbers["step/mfu"] > 0 for numbers in steps)
    known = {
        "loss",
        "gradient_norm",
        "learning_rate",
        "tokens_per_second",
        "memory_bytes",
        "data_wait",
        "mfu",
    }
    assert {f"step/{name}" for name in known} <= steps[0].keys()
    assert [step for numbers, step in logged if "evaluation/bits_per_byte" in numbers] == [0, 3]
