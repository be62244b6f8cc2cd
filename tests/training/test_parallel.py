"""The same run over several processes: the same losses within rounding, checkpoints that change hands."""

import json
import math
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from headstart.training.checkpoint import Stored
from headstart.training.metrics import read_metrics

WORKER = """
import sys
from pathlib import Path
from headstart.errors import HeadstartError, Stopped
from headstart.training import run_folder
from headstart.training.loop import pretrain
from headstart.training.recipe import PretrainRecipe

run_folder.describe_machine = dict
try:
    pretrain(PretrainRecipe.load(Path(sys.argv[1]), []), Path(sys.argv[2]))
except (HeadstartError, Stopped) as error:
    print(error, file=sys.stderr)
    sys.exit(3)
"""

SETTINGS: dict[str, Any] = {
    "context": 32, "rows": 8, "micro_rows": 2, "steps": 6, "evaluate_every": 3, "evaluate_rows": 8,
    "checkpoint_every": 3, "sinks": [], "device": "cpu",
    "model": {"family": "headstart-decoder", "layers": 4, "width": 32, "heads": 4, "feedforward_width": 48},
    "objective": {"kind": "causal"}, "optimiser": {"average": 0.5},
}  # fmt: skip


def launch(recipe: Path, run: Path, size: int) -> list[subprocess.Popen]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    there = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(size)}
    return [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, recipe, run],
            env=os.environ | there | {"RANK": str(rank), "LOCAL_RANK": str(rank), "OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(size)
    ]


def train(tokens: Path, run: Path, size: int, **changes: Any) -> list[float]:
    """The losses of all steps and evaluations of a run over `size` processes."""
    recipe = run.with_suffix(".yaml")
    recipe.write_text(json.dumps(SETTINGS | {"tokens": str(tokens)} | changes))
    started = launch(recipe, run, size)
    ends = [(process.communicate(timeout=240)[1], process.returncode) for process in started]
    assert all(code == 0 for _, code in ends), "\n".join(text for text, _ in ends)
    return [e["loss"] for e in read_metrics(run) if e["kind"] in ("step", "evaluation")]


def norms(run: Path) -> list[float]:
    """The norms of the gradients of all steps, by which they are clipped."""
    return [event["gradient_norm"] for event in read_metrics(run) if event["kind"] == "step"]


@pytest.fixture(scope="module")
def alone_folder(tokens, tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("alone") / "run"
    train(tokens, run, 1)
    return run


@pytest.fixture(scope="module")
def alone(alone_folder) -> list[float]:
    return [e["loss"] for e in read_metrics(alone_folder) if e["kind"] in ("step", "evaluation")]


LAYOUTS = [
    {"replicate": 2},
    {"shard": 2},
    {"tensor": 2},
    {"pipeline": 2},
    pytest.param({"shard": 2, "tensor": 2}, marks=pytest.mark.slow),
    pytest.param({"replicate": 2, "shard": 2}, marks=pytest.mark.slow),
    pytest.param({"replicate": 2, "tensor": 2}, marks=pytest.mark.slow),
    pytest.param({"pipeline": 2, "replicate": 2}, marks=pytest.mark.slow),
    pytest.param({"pipeline": 2, "shard": 2}, marks=pytest.mark.slow),
    pytest.param({"pipeline": 2, "tensor": 2}, marks=pytest.mark.slow),
    pytest.param({"pipeline": 4}, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(
    "parallel", LAYOUTS, ids=lambda layout: "-".join(f"{k}{v}" for k, v in layout.items())
)
def test_every_layout_goes_the_same_way(parallel, alone, alone_folder, tokens, tmp_path) -> None:
    losses = train(tokens, tmp_path / "run", math.prod(parallel.values()), parallel=parallel)
    assert losses == pytest.approx(alone, rel=2e-4)
    assert norms(tmp_path / "run") == pytest.approx(norms(alone_folder), rel=2e-3)
    assert (tmp_path / "run" / "model" / "model.safetensors").exists()


MOVES = [
    ({"shard": 2}, {}),
    ({}, {"tensor": 2}),
    ({"pipeline": 2}, {"shard": 2}),
    pytest.param({"shard": 2, "tensor": 2}, {"pipeline": 4}, marks=pytest.mark.slow),
    pytest.param({"replicate": 2}, {"replicate": 4}, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("before", "after"), MOVES)
def test_a_checkpoint_goes_on_under_another_layout(before, after, alone, tokens, tmp_path) -> None:
    run = tmp_path / "run"
    train(tokens, run, math.prod(before.values()), parallel=before)
    shutil.rmtree(run / "model")
    shutil.rmtree(run / "checkpoints" / "step-6")
    losses = train(tokens, run, math.prod(after.values()), parallel=after)
    assert losses[-4:] == pytest.approx(alone[-4:], rel=2e-4)


COUNTING = """
import json, sys
from pathlib import Path
from headstart.training import checkpoint

class Counted:
    read, hashed = 0, 0
    def __init__(self, stored): self.stored = stored
    def __enter__(self):
        self.stored.__enter__()
        return self
    def __exit__(self, *given): return self.stored.__exit__(*given)
    def keys(self): return self.stored.keys()
    def get_tensor(self, name): return self.count(self.stored.get_tensor(name))
    def get_slice(self, name):
        part = self.stored.get_slice(name)
        return type("Slice", (), {
            "get_shape": lambda _: part.get_shape(), "__getitem__": lambda _, at: self.count(part[at])})()
    def count(self, tensor):
        Counted.read += tensor.nbytes
        return tensor

honest, sha256 = checkpoint.safe_open, checkpoint._sha256
checkpoint.safe_open = lambda *given: Counted(honest(*given))
def hashed(path):
    Counted.hashed += path.stat().st_size
    return sha256(path)
checkpoint._sha256 = hashed
load_last = checkpoint.Checkpoints.load_last
def loaded(self, restore):
    found = load_last(self, restore)
    Path(sys.argv[2] + f".{self.rank}").write_text(json.dumps([Counted.read, Counted.hashed]))
    return found
checkpoint.Checkpoints.load_last = loaded
"""


@pytest.mark.parametrize(
    ("before", "after"),
    [({"shard": 2}, {"shard": 2}), ({"shard": 2}, {"tensor": 2}), ({}, {"pipeline": 2})],
    ids=["same", "another", "from one process"],
)
def test_every_process_reads_its_own_part_of_a_checkpoint(
    before, after, alone, tokens, tmp_path, monkeypatch
) -> None:
    """Of 840 GB nobody reads more: the blocks of its own weights and moments, and its share of the hashes."""
    run = tmp_path / "run"
    train(tokens, run, math.prod(before.values()), parallel=before)
    shutil.rmtree(run / "model")
    shutil.rmtree(run / "checkpoints" / "step-6")
    files = list((run / "checkpoints" / "step-3").glob("*.safetensors"))
    size = sum(file.stat().st_size for file in files)
    monkeypatch.setattr(sys.modules[__name__], "WORKER", COUNTING + WORKER)
    losses = train(tokens, run, 2, parallel=after)
    assert losses[-4:] == pytest.approx(alone[-4:], rel=2e-4)
    counts = [json.loads(Path(f"{run}.{rank}").read_text()) for rank in (0, 1)]
    for read, hashed in counts:
        assert 0.3 * size < read < 0.75 * size, "tied embeddings and norms are in both"
        assert hashed < (0.6 if before else 0.99) * size
    if before == after:
        assert sum(read for read, _ in counts) < 1.05 * size


@pytest.mark.parametrize("parallel", [{"replicate": 2}, {"shard": 2}])
def test_a_dead_process_ends_the_others_with_a_sentence(parallel, alone, tokens, tmp_path) -> None:
    run = tmp_path / "run"
    recipe = tmp_path / "run.yaml"
    settings = SETTINGS | {"tokens": str(tokens), "parallel": parallel, "steps": 5000}
    recipe.write_text(json.dumps(settings))
    living, dying = launch(recipe, run, 2)
    deadline = time.monotonic() + 600
    while not list((run / "checkpoints").glob("step-*")):
        assert living.poll() is None, living.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.1)
    dying.kill()
    said = living.communicate(timeout=600)[1]
    dying.communicate()
    assert living.returncode == 3, said
    assert "process 0 of 2 lost contact with another (" in said
    assert ".cc:" not in said, "a place in PyTorch's sources helps nobody"
    assert "start the same again" in said
    reached = max(int(folder.name.removeprefix("step-")) for folder in (run / "checkpoints").glob("step-*"))
    with Stored(run / "checkpoints" / f"step-{reached}") as stored:
        stored.verify()
        assert stored.whole("model.safetensors")


def test_a_layout_that_does_not_fit_is_a_sentence(tokens, tmp_path) -> None:
    recipe = tmp_path / "run.yaml"
    for parallel, changes, sentence in [
        ({"shard": 3}, {}, "is not the number of processes, 1"),
        ({"pipeline": 2}, {}, "is not the number of processes, 1"),
        ({"replicate": 2}, {}, "is not the number of processes, 1"),
    ]:
        recipe.write_text(json.dumps(SETTINGS | {"tokens": str(tokens), "parallel": parallel} | changes))
        (process,) = launch(recipe, tmp_path / "run", 1)
        said = process.communicate(timeout=600)[1]
        assert process.returncode == 3
        assert sentence in said


MISFITS = [
    ({"tensor": 2}, {"model": SETTINGS["model"] | {"heads": 1}}, "must divide heads"),
    ({"replicate": 2}, {"rows": 9}, "cannot be shared by 2 processes"),
    ({"pipeline": 2}, {"micro_rows": 8}, "needs at least as many micro-batches"),
    ({"pipeline": 2}, {"model": SETTINGS["model"] | {"layers": 1}}, "more than there are layers"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("parallel", "changes", "sentence"), MISFITS)
def test_a_model_that_cannot_be_split_so_is_a_sentence(parallel, changes, sentence, tokens, tmp_path) -> None:
    recipe = tmp_path / "run.yaml"
    recipe.write_text(json.dumps(SETTINGS | {"tokens": str(tokens), "parallel": parallel} | changes))
    ends = [(p.communicate(timeout=600)[1], p.returncode) for p in launch(recipe, tmp_path / "run", 2)]
    assert all(code == 3 for _, code in ends), ends
    assert any(sentence in said for said, _ in ends)
