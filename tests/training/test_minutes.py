"""`minutes=` becomes steps before a run begins, and the run is from then on one of so many steps."""

import pytest
import torch

from headstart.errors import HeadstartError, Stopped
from headstart.folder import read_json
from headstart.scaling import dry_run as dry_running
from headstart.scaling.dry_run import dry_run
from headstart.training import loop, run_folder, step_cost
from headstart.training.loop import pretrain
from headstart.training.metrics import read_metrics
from headstart.training.monitoring import utilisation
from headstart.training.monitoring.utilisation import Utilisation
from headstart.training.recipe import PretrainRecipe
from headstart.training.step_cost import SUSTAINED, StepCost, run_seconds


@pytest.fixture(autouse=True)
def _costs(monkeypatch) -> None:
    """A step takes a second, wherever it is measured."""
    monkeypatch.setattr(run_folder, "describe_machine", lambda: {})
    for module in (step_cost, dry_running):
        monkeypatch.setattr(module, "step_cost", lambda recipe, **_: StepCost(1.0, 1, True))


def test_minutes_become_steps_that_fit_into_them(engine_recipe, tmp_path, capsys) -> None:
    recipe = engine_recipe("causal", minutes=0.1)
    said = dry_run(recipe)
    assert said["steps"] == int(6 * SUSTAINED)
    assert said["seconds"] == run_seconds(1.0, said["steps"]) <= 6
    assert "headstart-decoder" in said["model"]
    assert "float32" in said["model"]
    run = tmp_path / "run"
    pretrain(recipe, run)
    told = capsys.readouterr().err
    assert f"{said['steps']} steps fit into 0.1 minutes" in told
    assert "steps=12 is not used" in told
    assert [event["step"] for event in read_metrics(run) if event["kind"] == "step"] == [1, 2, 3, 4, 5]
    resolved = PretrainRecipe.load(run / "recipe.yaml", [])
    assert (resolved.steps, resolved.minutes) == (5, None), "the file alone repeats the run"


def test_a_run_that_goes_on_keeps_its_steps(engine_recipe, tmp_path, monkeypatch) -> None:
    """Whatever a step takes by now; and it ends bitwise as a run that was given these steps."""
    recipe = engine_recipe("causal", minutes=0.1)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    pretrain(engine_recipe("causal", steps=5), whole)
    update = loop.Run.update

    def stops(self):
        if self.step == 2:
            self._stop("enough")
        return update(self)

    monkeypatch.setattr(loop.Run, "update", stops)
    with pytest.raises(Stopped):
        pretrain(recipe, cut)
    monkeypatch.setattr(loop.Run, "update", update)
    monkeypatch.setattr(step_cost, "step_cost", None)  # it is not asked again
    pretrain(recipe, cut)
    name = "model/model.safetensors"
    assert (cut / name).read_bytes() == (whole / name).read_bytes()
    with pytest.raises(HeadstartError, match=r"began with minutes=0\.1 and goes on with that alone"):
        pretrain(engine_recipe("causal", minutes=0.2), cut)
    with pytest.raises(HeadstartError, match="began with steps=5"):
        pretrain(recipe, whole)
    assert pretrain(engine_recipe("causal", steps=5), cut) == cut / "model"
    assert read_json(cut / "run.json")["minutes"] == 0.1


def test_steps_that_nobody_gave_are_not_spoken_of(engine_recipe, tmp_path, capsys) -> None:
    given = engine_recipe("causal", minutes=0.1).model_dump(exclude={"steps"})
    assert step_cost.with_steps(PretrainRecipe.model_validate(given), tmp_path / "run").steps == 5
    assert "not used" not in capsys.readouterr().err


def test_several_processes_are_given_steps(engine_recipe, tmp_path) -> None:
    with pytest.raises(HeadstartError, match="give steps= to a run of several"):
        step_cost.with_steps(engine_recipe("causal", minutes=1), tmp_path / "run", processes=2)


def test_no_share_of_the_peak_is_over_one(monkeypatch) -> None:
    """Neither where the machine was busy when its peak was measured, nor where a step was faster than it."""
    clock = iter([0.0, 10.0, 100.0, 200.0, 300.0])
    monkeypatch.setattr(utilisation.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(utilisation, "gemm_gflops", lambda dtype, seconds: 5.0)
    found = Utilisation(2e9, torch.float32)
    assert found.share(1e9) == 0.5
    assert found.share(3e9) == 1.0
    assert found.share(1.5e9) == 0.5, "the fastest step is the peak from then on"
    found.look_again()
    assert found.share(1e9) == 0.3333, "measured ten seconds ago"
    found.look_again()
    assert found.share(1e9) == 0.2
    assert Utilisation(None, torch.float32).share(1e9) is None


def test_measuring_the_peak_draws_nothing_from_the_run(monkeypatch) -> None:
    clock = iter([0.0, 100.0, 100.0])
    monkeypatch.setattr(utilisation.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(utilisation, "GLANCE", 0.001)
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    found = Utilisation(1.0, torch.float32)
    found.look_again()
    assert found.peak > 1.0
    assert torch.equal(torch.rand(3), expected)
