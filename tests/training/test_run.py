"""The loop: whatever happens to a run, it ends as the uninterrupted one would."""

import json
import math
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from headstart.errors import HeadstartError, Stopped
from headstart.interchange.model_folder import load_model
from headstart.tokenizer.folder import open_tokenizer
from headstart.tokenizer.shards import TokenRows
from headstart.training import checkpoint, control, loop, run_folder, run_frame
from headstart.training.data_loader import RowOrder
from headstart.training.distributed import parallel
from headstart.training.loop import pretrain
from headstart.training.metrics import read_metrics
from headstart.training.recipe import PretrainRecipe

MODEL = {"layers": 2, "width": 32, "heads": 4, "feedforward_width": 48}
KINDS = {"masked": "headstart-encoder", "causal": "headstart-decoder"}


@pytest.fixture(autouse=True)
def _quick(monkeypatch) -> None:
    """The machine's speed is measured once a run; here it is of no interest."""
    monkeypatch.setattr(run_folder, "describe_machine", lambda: {})


@pytest.fixture(scope="module")
def recipe(tokens):
    def make(kind: str = "masked", **changes) -> PretrainRecipe:
        settings = {
            "tokens": tokens,
            "model": MODEL | {"family": KINDS[kind]},
            "objective": {"kind": kind},
            "context": 32,
            "rows": 8,
            "micro_rows": 8,
            "steps": 12,
            "evaluate_every": 4,
            "evaluate_rows": 16,
            "checkpoint_every": 3,
            # Higher rates than the defaults, so that a handful of steps learns something.
            "optimiser": {"matrix_rate": 0.01, "vector_rate": 0.003},
        }
        return PretrainRecipe.model_validate(settings | changes)

    return make


@pytest.fixture(scope="module")
def whole(recipe, tmp_path_factory) -> dict[str, Path]:
    """One uninterrupted run of each objective."""
    runs = {kind: tmp_path_factory.mktemp("whole") / kind for kind in KINDS}
    for kind, run in runs.items():
        pretrain(recipe(kind), run)
    return runs


def steps(run: Path, *fields: str) -> list[tuple]:
    """Of every step that counts: its number, its loss, and the fields asked for."""
    events = [event for event in read_metrics(run) if event["kind"] == "step"]
    return [(event["step"], event["loss"], *(event[field] for field in fields)) for event in events]


def evaluations(run: Path) -> list[tuple[int, float, float]]:
    events = [event for event in read_metrics(run) if event["kind"] == "evaluation"]
    return [(event["step"], event["loss"], event["bits_per_byte"]) for event in events]


def kinds(run: Path, *wanted: str) -> list[str]:
    return [event["kind"] for event in read_metrics(run) if event["kind"] in wanted]


def assert_same_run(run: Path, other: Path) -> None:
    """Bitwise equal weights, equal losses, an account without holes or doubles."""
    ours, theirs = (load_file(folder / "model" / "model.safetensors") for folder in (run, other))
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert torch.equal(ours[name], theirs[name]), name
    assert steps(run, "gradient_norm", "learning_rate") == steps(other, "gradient_norm", "learning_rate")
    assert evaluations(run) == evaluations(other)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_run(whole, recipe, kind) -> None:
    run = whole[kind]
    assert [number for number, _ in steps(run)] == list(range(1, 13))
    assert [number for number, _, _ in evaluations(run)] == [0, 4, 8, 12]
    losses = [loss for _, loss, _ in evaluations(run)]
    assert losses[-1] < losses[0] - 0.1, "it learns"
    assert kinds(run, "resume", "end") == ["end"]
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == ["step-12", "step-9"]
    assert load_model(run / "model").head == kind
    assert PretrainRecipe.load(run / "recipe.yaml", []) == recipe(kind)
    assert json.loads((run / "run.json").read_text())["seed"] == 0
    assert list(run.glob("events.out.tfevents.*"))


def test_a_model_learns_more_than_which_tokens_are_frequent(recipe, tokens, tmp_path) -> None:
    """Without a look at the context no model gets below the entropy of single tokens."""
    counts = np.bincount(np.concatenate([np.load(file) for file in tokens.glob("train-*.npy")]))
    shares = counts[counts > 0] / counts.sum()
    pretrain(recipe("causal", steps=150, rows=32, micro_rows=32, evaluate_rows=64), tmp_path / "run")
    assert evaluations(tmp_path / "run")[-1][1] < -(shares * np.log(shares)).sum() - 0.05


def test_a_static_start_learns_faster(recipe, tmp_path) -> None:
    settings = {"steps": 6, "rows": 32, "micro_rows": 32, "start": "static", "checkpoint_every": 2}
    pretrain(recipe(**settings), tmp_path / "static")
    pretrain(recipe(**settings | {"start": "random"}), tmp_path / "random")
    assert evaluations(tmp_path / "static")[-1][1] < evaluations(tmp_path / "random")[-1][1]


def test_started_again_a_finished_run_does_nothing(whole, recipe) -> None:
    run = whole["masked"]
    before = (run / "metrics.jsonl").read_bytes()
    assert pretrain(recipe(), run) == run / "model"
    assert (run / "metrics.jsonl").read_bytes() == before


def test_the_same_recipe_gives_the_same_run_and_another_seed_does_not(whole, recipe, tmp_path) -> None:
    pretrain(recipe(), tmp_path / "again")
    assert_same_run(tmp_path / "again", whole["masked"])
    pretrain(recipe(seed=1), tmp_path / "other")
    assert steps(tmp_path / "other") != steps(whole["masked"])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("micro_rows", [1, 3])
def test_micro_rows_change_nothing_but_rounding(whole, recipe, tmp_path, kind, micro_rows) -> None:
    pretrain(recipe(kind, micro_rows=micro_rows), tmp_path / "run")
    for ours, theirs in zip(steps(tmp_path / "run"), steps(whole[kind]), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-3)
    for ours, theirs in zip(evaluations(tmp_path / "run"), evaluations(whole[kind]), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-3)
    assert evaluations(tmp_path / "run")[0] == pytest.approx(evaluations(whole[kind])[0], rel=1e-5)


WORKER = """
import os
import sys
import time
from pathlib import Path
from headstart.training import loop, run_folder
from headstart.training.recipe import PretrainRecipe
from headstart.errors import Stopped

run_folder.describe_machine = dict
update = loop.Run.update
number, step = map(int, sys.argv[4:])
def slow(self):
    time.sleep(float(sys.argv[3]))
    if self.step == step:
        os.kill(os.getpid(), number)
    return update(self)
loop.Run.update = slow
print("ready", flush=True)
try:
    loop.pretrain(PretrainRecipe.load(Path(sys.argv[1]), []), Path(sys.argv[2]))
except Stopped as stopped:
    print(stopped, flush=True)
    sys.exit(3)
"""


def start(
    recipe: PretrainRecipe, run: Path, delay: float, number: int = 0, step: int = -1
) -> subprocess.Popen:
    """The run in another process, its steps slowed down; returns once torch is loaded.

    Args:
        number, step: the signal that it gets before the update of this step.
    """
    path = run.with_suffix(".yaml")
    recipe.save(path)
    command = [sys.executable, "-c", WORKER, str(path), str(run), str(delay), str(number), str(step)]
    worker = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert worker.stdout is not None
    assert worker.stdout.readline() == "ready\n"
    return worker


@pytest.mark.parametrize("kind", KINDS)
def test_killed_and_started_again(whole, recipe, tmp_path, kind) -> None:
    chance = random.Random(kind)
    run = tmp_path / "run"
    for attempt in range(4):
        worker = start(recipe(kind), run, 0.01)
        if attempt < 3:
            while not (run / "metrics.jsonl").exists():
                assert worker.poll() is None
                time.sleep(0.005)
            time.sleep(chance.uniform(0, 0.25))
            worker.kill()
            worker.wait()
            if chance.random() < 0.5 and not (run / "model").exists():  # a whole run is not written to again
                with (run / "metrics.jsonl").open("ab") as file:
                    file.write(b'{"seq": 3, "ki')
        else:
            assert worker.wait(timeout=600) == 0
    assert_same_run(run, whole[kind])
    assert not [path for path in run.rglob("*") if path.name.endswith((".tmp", ".old"))]


@pytest.mark.parametrize("place", ["before the first checkpoint", "inside a checkpoint", "before the model"])
def test_dying_at_the_worst_moments(whole, recipe, tmp_path, monkeypatch, place) -> None:
    """An exception nobody catches stands for the kill; it hits where the clock hardly would."""

    class Killed(BaseException):
        pass

    def die(*_: object, **__: object) -> None:
        raise Killed

    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        if place == "before the first checkpoint":
            patch.setattr(checkpoint.Checkpoints, "save", die)
        elif place == "inside a checkpoint":
            patch.setattr(checkpoint, "_sha256", die)
        else:
            patch.setattr(loop, "save_model", die)
        with pytest.raises(Killed):
            pretrain(recipe(), run)
    assert not (run / "model").exists()
    pretrain(recipe(), run)
    assert_same_run(run, whole["masked"])


def stopped_at(recipe: PretrainRecipe, run: Path, step: int, monkeypatch) -> None:
    """Leave the run as a kill right after this step's update would."""

    class Killed(BaseException):
        pass

    update = loop.Run.update

    def limited(self):
        if self.step == step:
            raise Killed
        return update(self)

    with monkeypatch.context() as patch:
        patch.setattr(loop.Run, "update", limited)
        with pytest.raises(Killed):
            pretrain(recipe, run)


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "state.json"])
@pytest.mark.parametrize("damage", ["truncated", "flipped", "missing"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(
    whole, recipe, tmp_path, monkeypatch, name, damage
) -> None:
    run = tmp_path / "run"
    stopped_at(recipe(), run, 8, monkeypatch)
    path = run / "checkpoints" / "step-6" / name
    content = path.read_bytes()
    if damage == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "flipped":
        middle = len(content) // 2 if name != "state.json" else 0
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 0x55]) + content[middle + 1 :])
    else:
        path.unlink()
    pretrain(recipe(), run)
    (resumed,) = [event for event in read_metrics(run) if event["kind"] == "resume"]
    assert resumed["step"] == 3
    assert_same_run(run, whole["masked"])


def test_only_damaged_checkpoints_are_told(recipe, tmp_path, monkeypatch) -> None:
    run = tmp_path / "run"
    stopped_at(recipe(), run, 8, monkeypatch)
    for path in (run / "checkpoints").glob("*/state.json"):
        path.write_text('{"step": 3}')
    with pytest.raises(HeadstartError, match=r"every checkpoint in .* is damaged"):
        pretrain(recipe(), run)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seed": 1}, "seed was 0 and is 1; see"),
        ({"steps": 13, "micro_rows": 1}, r"steps was \d+ and is 13; see"),
        ({"model": MODEL | {"layers": 1}}, r"model\.layers was 2 and is 1; see"),
        ({"objective": {"mask_rate": 0.2}}, r"objective\.mask_rate was [\d.]+ and is 0\.2; see"),
    ],
)
def test_a_run_of_other_settings_is_refused_by_their_names(whole, recipe, change, said) -> None:
    with pytest.raises(HeadstartError, match=rf"other settings or another text \({said}"):
        pretrain(recipe(**change), whole["masked"])


def test_settings_that_do_not_fit_leave_no_run(recipe, tmp_path) -> None:
    run = tmp_path / "run"
    for change, words in (
        ({"objective": {"kind": "causal"}}, "causal is for decoders, and headstart-encoder is"),
        ({"model": MODEL | {"family": "headstart-encoder", "kv_heads": 2}}, "as many key-value heads"),
        ({"model": MODEL | {"heads": 5}}, "not a multiple"),
        ({"tokens": tmp_path / "none"}, "there is no tokens folder"),
    ):
        with pytest.raises(HeadstartError, match=words):
            pretrain(recipe(**change), run)
        assert not run.exists()


def test_a_loss_that_is_no_number_ends_the_run_with_what_it_had(recipe, tmp_path, monkeypatch) -> None:
    run = tmp_path / "run"
    honest = parallel.loss_sum
    with monkeypatch.context() as patch:

        def failing(model, batch, *rest, **extras):
            return honest(model, batch, *rest, **extras) * (float("nan") if len(steps(run)) >= 6 else 1.0)

        patch.setattr(parallel, "loss_sum", failing)
        with pytest.raises(HeadstartError, match=r"the loss is nan, .* at step 7"):
            pretrain(recipe(on_spike="stop"), run)
    assert [number for number, _ in steps(run)] == list(range(1, 7))
    weights = load_file(run / "checkpoints" / "step-6" / "model.safetensors")
    assert all(torch.isfinite(tensor).all() for tensor in weights.values())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_stops(whole, recipe, tmp_path, number) -> None:
    run = tmp_path / "run"
    said, _ = start(recipe(), run, 0.0, number, 6).communicate()
    assert steps(run)[-1][0] == 7, "the step is made"
    assert f"stopped after step 7: {signal.Signals(number).name} came; everything is saved" in said
    assert (run / "checkpoints" / "step-7").is_dir()
    pretrain(recipe(), run)
    assert_same_run(run, whole["masked"])


def during(monkeypatch, act) -> None:
    """Call `act(run, step)` before every update."""
    update = loop.Run.update

    def acting(self):
        act(self.folder, self.step)
        return update(self)

    monkeypatch.setattr(loop.Run, "update", acting)


def test_a_signal_in_the_last_step_is_not_lost(whole, recipe, tmp_path, monkeypatch) -> None:
    run = tmp_path / "run"
    before = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        during(patch, lambda _, step: os.kill(os.getpid(), signal.SIGTERM) if step == 11 else None)
        with pytest.raises(Stopped, match="stopped after step 12"):
            pretrain(recipe(), run)
    assert signal.getsignal(signal.SIGTERM) is before
    assert not (run / "model").exists()
    pretrain(recipe(), run)
    assert_same_run(run, whole["masked"])


def test_stop_and_go_on(whole, recipe, tmp_path, monkeypatch) -> None:
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        during(patch, lambda run, step: control.send(run, "stop") if step == 4 else None)
        with pytest.raises(Stopped, match="stopped after step 5: the control file asked for it"):
            pretrain(recipe(), run)
    pretrain(recipe(), run)  # the same command lies there still, and is not obeyed again
    assert_same_run(run, whole["masked"])


def test_learning_rate_and_checkpoint_commands(whole, recipe, tmp_path, monkeypatch) -> None:
    run = tmp_path / "run"

    def act(run: Path, step: int) -> None:
        if step == 4:
            control.send(run, "scale_learning_rate", factor=0.5)
        elif step == 6:
            (run / "control.json").write_text("garbage")
        elif step == 9:
            (run / "control.json").write_text('{"seq": 7, "action": "checkpoint", "step": 3, "factor": "x"}')

    during(monkeypatch, act)
    pretrain(recipe(checkpoint_every=100, keep_checkpoints=9), run)
    scaled, plain = steps(run, "learning_rate"), steps(whole["masked"], "learning_rate")
    assert scaled[:5] == plain[:5]
    assert [row[2] for row in scaled[5:]] == pytest.approx([0.5 * row[2] for row in plain[5:]])
    events = [event for event in read_metrics(run) if event["kind"] == "control"]
    assert [(e["action"], e["step"]) for e in events] == [("scale_learning_rate", 5), ("checkpoint", 10)]
    assert events[0]["factor"] == 0.5
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"step-10", "step-12"}


def test_a_scaled_rate_survives_a_restart(recipe, tmp_path, monkeypatch) -> None:
    def act(run: Path, step: int) -> None:
        if step == 4:
            control.send(run, "scale_learning_rate", factor=0.5)

    during(monkeypatch, act)
    pretrain(recipe(), tmp_path / "whole")
    stopped_at(recipe(), tmp_path / "cut", 8, monkeypatch)
    pretrain(recipe(), tmp_path / "cut")
    assert_same_run(tmp_path / "cut", tmp_path / "whole")


def test_a_pause_lasts_until_it_is_lifted(whole, recipe, tmp_path, monkeypatch) -> None:
    """In another thread than the main one, too, where no signal can be caught."""
    run = tmp_path / "run"
    run.mkdir()
    control.send(run, "pause")
    waits = iter(["checkpoint", None, None, "resume"])
    made: list[int] = []

    def sleep(_: float) -> None:
        made.append(len(steps(run)))
        if action := next(waits):
            control.send(run, action)

    clock = SimpleNamespace(perf_counter=time.perf_counter, process_time=time.process_time, sleep=sleep)
    monkeypatch.setattr(run_frame, "time", clock)
    worker = threading.Thread(target=pretrain, args=(recipe(), run))
    worker.start()
    worker.join()
    assert made == [0, 0, 0, 0], "a checkpoint is written, and the pause goes on"
    told = [e["action"] for e in read_metrics(run) if e["kind"] == "control"]
    assert told == ["pause", "checkpoint", "resume"]
    assert_same_run(run, whole["masked"])


def test_a_paused_run_can_be_stopped(recipe, tmp_path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    control.send(run, "pause")
    worker = start(recipe(), run, 0.0)
    while not kinds(run, "control"):
        assert worker.poll() is None
        time.sleep(0.02)
    worker.terminate()
    said, _ = worker.communicate(timeout=600)
    assert worker.returncode == 3
    assert "stopped after step 0" in said


def test_samples_over_training(recipe, tmp_path) -> None:
    run = tmp_path / "run"
    pretrain(recipe("causal", prompts=["The", ""]), run, sample=lambda model, tokenizer, prompt: prompt + "!")
    files = sorted((run / "samples").iterdir())
    assert [file.name for file in files] == [f"step-{step:06d}.json" for step in (0, 4, 8, 12)]
    first = json.loads(files[0].read_text())
    assert first == {"step": 0, "samples": [{"prompt": "The", "text": "The!"}, {"prompt": "", "text": "!"}]}


def test_bits_per_byte_counts_the_bytes_of_the_targets(whole, recipe, tokens) -> None:
    tokenizer = open_tokenizer(tokens)
    heldout = TokenRows(tokens, "heldout", 33)
    ids, segments = heldout.read(np.arange(16) * len(heldout) // 16)
    inside = segments[:, 1:] == segments[:, :-1]
    targets = ids[:, 1:][inside]
    size = sum(len(tokenizer.pieces[target]) for target in targets)
    for _, loss, bits in evaluations(whole["causal"]):
        assert bits == pytest.approx(loss * len(targets) / math.log(2) / size)


def test_rows_of_a_pass_come_once_each_and_passes_differ() -> None:
    order = RowOrder(103, seed=3)
    rows = [int(row) for step in range(60) for row in order.rows(7 * step, 7 * step + 7)]
    passes = [rows[start : start + 103] for start in range(0, 412, 103)]
    for one in passes:
        assert sorted(one) == list(range(103))
    assert passes[0] != passes[1]
    assert RowOrder(103, seed=3).rows(280, 287).tolist() == order.rows(280, 287).tolist()
    assert RowOrder(103, seed=4).rows(0, 7).tolist() != order.rows(0, 7).tolist()
