"""A run under somebody's hands: what `control.json` asks for is done, told and outlasts a restart."""

import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from headstart.errors import HeadstartError, Stopped
from headstart.training import control, loop, run_folder, run_frame
from headstart.training.loop import pretrain
from headstart.training.metrics import read_metrics


@pytest.fixture(autouse=True)
def _quick(monkeypatch) -> None:
    """The machine's speed is measured once a run; here it is of no interest."""
    monkeypatch.setattr(run_folder, "describe_machine", lambda: {})


def told(run: Path, kind: str, *fields: str) -> list:
    events = [event for event in read_metrics(run) if event["kind"] == kind]
    return [
        tuple(event.get(field) for field in fields) if len(fields) > 1 else event[fields[0]]
        for event in events
    ]


def during(monkeypatch, act: Callable[[Path, int], None]) -> None:
    """Call `act(run, step)` before every update."""
    update = loop.Run.update

    def acting(self):
        act(self.folder, self.step)
        return update(self)

    monkeypatch.setattr(loop.Run, "update", acting)


def whenever_it_waits(monkeypatch, acts: list[Callable[[], None]]) -> None:
    """Call one function after another, each when the run is paused and has obeyed all that there was."""
    left = iter(acts)
    clock = SimpleNamespace(
        perf_counter=time.perf_counter, process_time=time.process_time, sleep=lambda _: next(left)()
    )
    monkeypatch.setattr(run_frame, "time", clock)


def test_single_steps_while_paused(engine_recipe, tmp_path, monkeypatch) -> None:
    pretrain(engine_recipe(), tmp_path / "whole")
    run = tmp_path / "run"
    run.mkdir()
    control.send(run, "pause")
    before: list[list] = []

    def sends(action: str) -> Callable[[], None]:
        def act() -> None:
            before.append(told(run, "step", "step"))
            control.send(run, action)

        return act

    whenever_it_waits(monkeypatch, [sends(action) for action in ("step", "step", "capture", "resume")])
    pretrain(engine_recipe(), run)
    assert before == [[], [1], [1, 2], [1, 2]], "one step, and it waits again"
    assert [path.name for path in (run / "captures").iterdir()] == ["step-000003"]
    assert told(run, "control", "action") == ["pause", "step", "step", "capture", "resume"]
    assert told(run, "step", "step", "loss") == told(tmp_path / "whole", "step", "step", "loss")
    assert told(run, "end", "changed_by_control") == [False]


def test_a_rate_that_was_set_holds_and_marks_the_run(engine_recipe, tmp_path, monkeypatch) -> None:
    """As the peak of the matrices' rate; set back, it still was another run."""
    recipe = engine_recipe()
    pretrain(recipe, tmp_path / "whole")
    run = tmp_path / "run"

    def act(run: Path, step: int) -> None:
        if step == 3:
            control.send(run, "set_learning_rate", rate=0.002)
        elif step == 6:
            control.send(run, "stop")
        elif step == 9:
            control.send(run, "set_learning_rate", rate=0.01)

    with monkeypatch.context() as patch:
        during(patch, act)
        with pytest.raises(Stopped, match="stopped after step 7"):
            pretrain(recipe, run)
        pretrain(recipe, run)
    plain, set_by_hand = (told(folder, "step", "learning_rate") for folder in (tmp_path / "whole", run))
    factors = [ours / theirs for ours, theirs in zip(set_by_hand, plain, strict=True)]
    assert factors == pytest.approx([1] * 4 + [0.2] * 6 + [1] * 2)
    assert told(run, "control", "action", "rate") == [
        ("set_learning_rate", 0.002), ("stop", None), ("set_learning_rate", 0.01),
    ]  # fmt: skip
    assert told(run, "end", "changed_by_control") == [True]
    assert "learning rate was changed by hand" in (run / "model" / "README.md").read_text()
    assert "by hand" not in (tmp_path / "whole" / "model" / "README.md").read_text()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"garbage",
        b"\x00\xff",
        b'{"seq": 1, "action": "explode"}',
        b'{"seq": 1, "action": "set_learning_rate", "rate": "fast"}',
        b'{"seq": 1, "action": "set_learning_rate", "rate": 1e999}',
        b'[{"seq": 1, "action": "pau',
        b'[[{"seq": 1, "action": "stop"}]]',
    ],
)
def test_a_file_that_says_nothing_changes_nothing(engine_recipe, tmp_path, content) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / control.FILE).write_bytes(content)
    pretrain(engine_recipe(steps=3), run)
    assert told(run, "step", "step") == [1, 2, 3]
    assert told(run, "control", "action") == []
    control.send(run, "checkpoint")  # and the file can be used again
    assert control.next_command(run, 0)["action"] == "checkpoint"


def test_a_checkpoint_on_demand_is_gone_on_from(engine_recipe, tmp_path, monkeypatch) -> None:
    recipe = engine_recipe(checkpoint_every=100)
    pretrain(recipe, tmp_path / "whole")
    run = tmp_path / "run"

    def act(run: Path, step: int) -> None:
        if step == 4:
            control.send(run, "checkpoint")
        elif step == 7:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        during(patch, act)
        with pytest.raises(KeyboardInterrupt):
            pretrain(recipe, run)
    pretrain(recipe, run)
    assert told(run, "resume", "step") == [5]
    assert told(run, "step", "step", "loss") == told(tmp_path / "whole", "step", "step", "loss")
    name = "model/model.safetensors"
    assert (run / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_fine_tuning_is_not_steered(tmp_path: Path) -> None:
    """It reads no commands, so none may be said to be on its way."""
    (tmp_path / "run.json").write_text('{"model": "runs/encoder", "seed": 0}')
    with pytest.raises(HeadstartError, match="is a fine-tuning, which reads no control"):
        control.send(tmp_path, "stop")
    assert not (tmp_path / "control.json").exists()
