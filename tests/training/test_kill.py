"""Real processes that are killed, told to stop, and started again."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from headstart.training import run_folder
from headstart.training.loop import pretrain
from headstart.training.metrics import read_metrics
from headstart.training.recipe import PretrainRecipe

# Loads the engine once and forks a process for every run, so that none waits for imports. Nothing of
# torch has run before the fork. In: a line with recipe and run folder, out: the number of the process; in: an
# empty line, out: how it ended. Until then the number is not given to another.
NURSERY = """
import os, sys, time, traceback
from pathlib import Path
from headstart.errors import Stopped
from headstart.training import loop, run_folder
from headstart.training.recipe import PretrainRecipe

run_folder.describe_machine = dict
update = loop.Run.update
def slow(self):
    time.sleep(0.03)
    order = self.folder.with_suffix(".order")  # a signal, and before which step it comes
    if order.exists():
        number, step = map(int, order.read_text().split())
        if self.step == step:
            os.kill(os.getpid(), number)
    return update(self)
loop.Run.update = slow
print("ready", flush=True)
while line := sys.stdin.readline():
    recipe, run = line.rstrip("\\n").split("\\t")
    child = os.fork()
    if not child:
        code = 1
        try:
            loop.pretrain(PretrainRecipe.load(Path(recipe), []), Path(run))
            code = 0
        except Stopped as stopped:
            Path(run, "said").write_text(str(stopped))
            code = 3
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    print(child, flush=True)
    sys.stdin.readline()
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Nursery:
    """Starts runs in processes of their own."""

    def __init__(self, process: subprocess.Popen) -> None:
        self.process = process

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def _send(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def start(self, recipe: PretrainRecipe, run: Path) -> int:
        """Begin or go on with a run; returns the number of its process."""
        path = run.with_suffix(".yaml")
        recipe.save(path)
        self._send(f"{path}\t{run}")
        return int(self._line())

    def end(self) -> int:
        """Wait for the run; its exit status."""
        self._send("")
        return int(self._line())


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    process = subprocess.Popen(
        [sys.executable, "-c", NURSERY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    yield Nursery(process)
    assert process.stdin is not None
    process.stdin.close()
    process.wait(timeout=600)


def events(run: Path, *kinds: str) -> list[dict]:
    """Those that count, without what differs from run to run."""
    times = (
        "time",
        "seq",
        "seconds",
        "core_seconds",
        "tokens_per_second",
        "mfu",
        "memory_bytes",
        "data_wait",
    )
    return [
        {name: value for name, value in event.items() if name not in times}
        for event in read_metrics(run)
        if event["kind"] in (kinds or ("step", "evaluation", "statistics", "end"))
    ]


def assert_same_run(run: Path, other: Path) -> None:
    """Losses, norms, rates and order of data; weights, optimiser and average."""
    assert events(run) == events(other)
    names = sorted(path.relative_to(other) for path in other.rglob("*.safetensors"))
    assert sorted(path.relative_to(run) for path in run.rglob("*.safetensors")) == names
    for name in names:
        assert (run / name).read_bytes() == (other / name).read_bytes(), name
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
    assert not [path for path in run.rglob("*") if path.name.endswith((".tmp", ".old"))]


def wait_for(run: Path, more: int) -> None:
    """Until the run has written so many lines more of its account, or has ended."""
    before = lines(run)
    while lines(run) < before + more and not (run / "model" / "config.json").exists():
        time.sleep(0.002)


def lines(run: Path) -> int:
    account = run / "metrics.jsonl"
    return account.read_bytes().count(b"\n") if account.exists() else 0


@pytest.mark.parametrize(
    ("kind", "moments"),
    [
        ("masked", 4),
        pytest.param("masked", 50, marks=pytest.mark.slow),
        pytest.param("causal", 30, marks=pytest.mark.slow),
        pytest.param("span-corruption", 30, marks=pytest.mark.slow),
    ],
)
def test_killed_at_any_moment(nursery, engine_recipe, tmp_path, monkeypatch, kind, moments) -> None:
    """Also in the middle of a line, of a checkpoint, before the first one and behind the last step."""
    recipe = engine_recipe(
        kind, steps=16, checkpoint_every=2, statistics_every=4, rows_warmup=0.3, context_warmup=0.3,
        optimiser={"average": 0.9},
    )  # fmt: skip
    monkeypatch.setattr(run_folder, "describe_machine", dict)
    pretrain(recipe, tmp_path / "whole")
    length = lines(tmp_path / "whole")
    chance, kills, number, killed_at = random.Random(kind), 0, 0, set()
    while kills < moments:
        run = tmp_path / f"run-{number}"
        number += 1
        status = -signal.SIGKILL
        while status == -signal.SIGKILL:
            done = (run / "model" / "config.json").exists()
            child = nursery.start(recipe, run)
            if kills < moments and not done:
                wait_for(run, int(length * max(0.0, chance.uniform(-0.2, 1.0))))
                time.sleep(chance.uniform(0, 0.03))
                os.kill(child, signal.SIGKILL)
            status = nursery.end()
            if status == -signal.SIGKILL:
                kills += 1
                steps = events(run, "step")
                killed_at.add(steps[-1]["step"] if steps else 0)
        assert status == 0
        assert_same_run(run, tmp_path / "whole")
    if moments >= 30:
        assert len(killed_at) > 6, "the moments lie all over the run"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_stop(nursery, engine_recipe, tmp_path, monkeypatch, number) -> None:
    recipe = engine_recipe(steps=16, checkpoint_every=100, optimiser={"average": 0.9})
    monkeypatch.setattr(run_folder, "describe_machine", dict)
    pretrain(recipe, tmp_path / "whole")
    run = tmp_path / "run"
    for step in (4, 9):
        run.with_suffix(".order").write_text(f"{int(number)} {step}")
        nursery.start(recipe, run)
        assert nursery.end() == 3
        assert events(run, "step")[-1]["step"] == step + 1, "the step is made"
        name = signal.Signals(number).name
        said = (run / "said").read_text()
        assert f"stopped after step {step + 1}: {name} came; everything is saved" in said
        assert (run / "checkpoints" / f"step-{step + 1}").is_dir()
    nursery.start(recipe, run)
    assert nursery.end() == 0
    ours, theirs = (folder / "model" / "model.safetensors" for folder in (run, tmp_path / "whole"))
    assert ours.read_bytes() == theirs.read_bytes()
    assert events(run) == events(tmp_path / "whole")
