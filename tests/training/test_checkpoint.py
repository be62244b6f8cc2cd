"""Checkpoints: whole or not there, of the moment of saving, the right ones kept, nothing pickled."""

import errno
import io
import itertools
import os
import pickle
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.errors import HeadstartError
from headstart.training import checkpoint, control, loop, run_folder
from headstart.training.checkpoint import Checkpoints, TensorShard
from headstart.training.loop import pretrain
from headstart.training.metrics import read_metrics
from headstart.training.monitoring import capture


@pytest.fixture(autouse=True)
def _quick(monkeypatch) -> None:
    """The machine's speed is of no interest here, and no power fails that `fsync` would be for."""
    monkeypatch.setattr(run_folder, "describe_machine", lambda: {})
    monkeypatch.setattr(os, "fsync", lambda _: None)


def tensors(value: float) -> checkpoint.Files:
    return {"a.safetensors": {"x": torch.full((3, 5), value), "y": torch.tensor(value)}}


def restored(run: Path, **layout) -> tuple[dict, dict[str, torch.Tensor]]:
    found: dict[str, torch.Tensor] = {}
    checkpoints = Checkpoints(run, 2, **layout)
    state = checkpoints.load_last(lambda stored: found.update(stored.whole("a.safetensors")))
    checkpoints.close()
    assert state is not None
    return state, found


def test_what_is_written_is_of_the_moment_of_saving(tmp_path, monkeypatch) -> None:
    """Training goes on while the disk is still busy."""
    busy, save_file = threading.Event(), checkpoint.save_file

    def slow(*given) -> None:
        assert busy.wait(600)
        save_file(*given)

    monkeypatch.setattr(checkpoint, "save_file", slow)
    checkpoints = Checkpoints(tmp_path, 2)
    files, state = tensors(1.0), {"step": 1, "guard": {"count": 1}}
    assert checkpoints.save(files, state) is None
    for tensor in files["a.safetensors"].values():
        tensor.zero_()
    assert not list(tmp_path.glob("checkpoints/step-*"))
    busy.set()
    assert checkpoints.wait() is None
    checkpoints.close()
    state, found = restored(tmp_path)
    assert state["step"] == 1
    assert all((tensor == 1.0).all() for tensor in found.values())


def test_updates_do_not_reach_into_a_checkpoint_that_is_being_written(
    engine_recipe, tmp_path, monkeypatch
) -> None:
    """In a whole run: weights, optimiser, average and state, written only after two more steps."""
    recipe = engine_recipe(steps=6, checkpoint_every=2, keep_checkpoints=9, optimiser={"average": 0.9})
    pretrain(recipe, tmp_path / "plain")
    moved, save_file, update = threading.Event(), checkpoint.save_file, loop.Run.update

    def late(pieces, path) -> None:
        if "step-2" in str(path):
            assert moved.wait(600)
        save_file(pieces, path)

    def updated(self):
        figures = update(self)
        if self.step == 4:
            moved.set()
        return figures

    monkeypatch.setattr(checkpoint, "save_file", late)
    monkeypatch.setattr(loop.Run, "update", updated)
    pretrain(recipe, tmp_path / "late")
    ours, theirs = ([*(tmp_path / name).glob("checkpoints/*/*.safetensors")] for name in ("late", "plain"))
    assert len(ours) == len(theirs) == 9
    for one in ours:
        other = tmp_path / "plain" / one.relative_to(tmp_path / "late")
        assert one.read_bytes() == other.read_bytes(), one


@given(
    steps=st.lists(st.integers(0, 30), min_size=1, max_size=12, unique=True).map(sorted),
    keep=st.integers(1, 4),
    every=st.one_of(st.none(), st.integers(1, 7)),
)
@settings(max_examples=40)
def test_the_last_ones_are_kept_and_some_for_good(tmp_path_factory, steps, keep, every) -> None:
    run = tmp_path_factory.mktemp("run")
    checkpoints = Checkpoints(run, keep, every)
    for step in steps:
        checkpoints.save_now(tensors(step), {"step": step})
    checkpoints.close()
    kept = {int(path.name.removeprefix("step-")) for path in (run / "checkpoints").iterdir()}
    assert kept == set(steps[-keep:]) | {step for step in steps if every and step % every == 0}
    assert restored(run)[0]["step"] == steps[-1]


def test_a_damaged_later_one_does_not_push_out_the_good(tmp_path, capsys) -> None:
    checkpoints = Checkpoints(tmp_path, 1, 3)
    for step in (3, 6, 9):
        checkpoints.save_now(tensors(step), {"step": step})
    (tmp_path / "checkpoints" / "step-9" / "a.safetensors").write_bytes(b"")
    again = Checkpoints(tmp_path, 1, 3)
    state = again.load_last(lambda _: None)
    assert state is not None
    assert state["step"] == 6
    assert len(again.damaged) == 1
    assert "step-9 is damaged" in capsys.readouterr().err
    again.save_now(tensors(7), {"step": 7})
    assert restored(tmp_path)[0]["step"] == 7


@given(data=st.data())
@settings(max_examples=40)
def test_a_single_flipped_bit_is_found(tmp_path_factory, data) -> None:
    """In any file of a checkpoint, the numbers of its state among them."""
    run = tmp_path_factory.mktemp("run")
    checkpoints = Checkpoints(run, 2)
    for step in (1, 2):
        checkpoints.save_now(tensors(step), {"step": step, "passed": 0, "best": 1.25})
    checkpoints.close()
    path = data.draw(st.sampled_from(sorted((run / "checkpoints" / "step-2").iterdir())))
    content = bytearray(path.read_bytes())
    most = 64 if path.suffix == ".sha256" else len(content)
    content[data.draw(st.integers(0, most - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    state, found = restored(run)
    assert state["step"] == 1
    assert (found["x"] == 1).all()


@pytest.mark.parametrize("moment", range(3))
def test_saving_a_step_again_never_leaves_it_missing(tmp_path, monkeypatch, moment) -> None:
    """A kill between any two changes of names finds the old one or the new one."""

    class Killed(BaseException):
        pass

    checkpoints = Checkpoints(tmp_path, 1)
    checkpoints.save_now(tensors(1), {"step": 5})
    left, rename, removed = iter(range(moment)), Path.rename, checkpoint.remove

    def dying(act):
        def limited(*given):
            if next(left, None) is None:
                raise Killed
            return act(*given)

        return limited

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", dying(rename))
        patch.setattr(checkpoint, "remove", dying(removed))
        with pytest.raises(Killed):
            checkpoints.save_now(tensors(2), {"step": 5})
    state, found = restored(tmp_path)
    assert state["step"] == 5
    assert float(found["y"]) == (1 if moment < 2 else 2)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-5"]


def cuts(draw, size: int, parts: int) -> list[int]:
    """Bounds of so many neighbouring pieces, some of them empty."""
    inner = sorted(draw(st.lists(st.integers(0, size), min_size=parts - 1, max_size=parts - 1)))
    return [0, *inner, size]


@st.composite
def layouts(draw) -> tuple[int, dict[str, tuple[torch.Tensor, list[TensorShard]]]]:
    """Tensors, and what each of some processes has of them: a block of two dimensions, or all."""
    across, along = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    found = {}
    for number in range(draw(st.integers(1, 4))):
        shape = draw(st.lists(st.integers(1, 7), max_size=3))
        dtype = draw(st.sampled_from([torch.float32, torch.bfloat16, torch.int64]))
        whole = torch.arange(int(np.prod(shape))).reshape(shape).to(dtype) + 100 * number
        pieces = []
        rows = cuts(draw, shape[0], across) if shape else []
        columns = cuts(draw, shape[1], along) if len(shape) > 1 else []
        for i, j in itertools.product(range(across), range(along)):
            part, offset = whole, [0] * len(shape)
            if rows:
                part, offset[0] = part[rows[i] : rows[i + 1]], rows[i]
            if columns:
                part, offset[1] = part[:, columns[j] : columns[j + 1]], columns[j]
            pieces.append(TensorShard(part.contiguous(), shape, offset))
        found[f"t{number}"] = whole, pieces
    return across * along, found


@given(layout=layouts())
@settings(max_examples=40)
def test_pieces_of_many_processes_make_the_whole(tmp_path_factory, layout) -> None:
    """Written by so many, read by any one of another number."""
    run, (size, named) = tmp_path_factory.mktemp("run"), layout
    ranks = [Checkpoints(run, 2, rank=rank, size=size, split=True) for rank in range(size)]
    for rank in reversed(range(size)):  # the main process, which waits for the others, comes last
        pieces = {name: pieces[rank] for name, (_, pieces) in named.items()}
        ranks[rank]._write({"a.safetensors": pieces}, {"step": 4})
    for one in ranks:
        one.close()
    state, found = restored(run)
    assert state["step"] == 4
    assert found.keys() == named.keys()
    for name, (whole, _) in named.items():
        assert torch.equal(found[name], whole)
        assert found[name].dtype == whole.dtype


def test_pieces_that_a_killed_job_left_are_not_taken(tmp_path) -> None:
    """They would be found at once, before the process whose place they take has written its own."""
    halves = [TensorShard(torch.full((2,), float(rank)), [4], [2 * rank]) for rank in (0, 1)]
    old = Checkpoints(tmp_path, 2, rank=1, size=2, split=True)
    old._write({"a.safetensors": {"x": TensorShard(torch.full((2,), -1.0), [4], [2])}}, {"step": 3})
    main, other = (Checkpoints(tmp_path, 2, rank=rank, size=2, split=True) for rank in (0, 1))
    writer = threading.Thread(target=main._write, args=({"a.safetensors": {"x": halves[0]}}, {"step": 3}))
    writer.start()
    writer.join(0.3)
    assert writer.is_alive(), "it waits for the other"
    other._write({"a.safetensors": {"x": halves[1]}}, {"step": 3})
    writer.join(600)
    assert restored(tmp_path)[1]["x"].tolist() == [0, 0, 1, 1]


def test_a_process_that_never_writes_is_told(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(checkpoint, "PATIENCE", 0.05)
    main = Checkpoints(tmp_path, 2, rank=0, size=2, split=True)
    main.save(tensors(1), {"step": 1})
    assert "pieces.00001.json did not appear" in (main.wait() or "")
    assert list((tmp_path / "checkpoints").iterdir()) == []


def full(number: int = errno.ENOSPC):
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return refuse


def test_a_full_disk_costs_a_checkpoint_and_not_the_run(engine_recipe, tmp_path, monkeypatch) -> None:
    recipe = engine_recipe("causal", prompts=["The"])
    sample = lambda model, tokenizer, prompt: prompt  # noqa: E731
    pretrain(recipe, tmp_path / "whole", sample)
    run, update, writes = tmp_path / "run", loop.Run.update, checkpoint.save_file

    def updated(self):
        if self.step == 4:
            control.send(run, "capture")
        for module, name in ((checkpoint, "save_file"), (capture, "save_file"), (loop, "write_json")):
            monkeypatch.setattr(module, name, full() if 4 <= self.step < 8 else kept[module])
        return update(self)

    kept = {checkpoint: writes, capture: capture.save_file, loop: loop.write_json}
    monkeypatch.setattr(loop.Run, "update", updated)
    pretrain(recipe, run, sample)
    notes = [event["text"] for event in read_metrics(run) if event["kind"] == "note"]
    assert [note.split(" could")[0] for note in notes] == ["the capture", "the samples", "the checkpoint"]
    assert all("No space left on device" in note for note in notes)
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"step-9", "step-12"}
    for name in ("model/model.safetensors", "checkpoints/step-12/optimizer.safetensors"):
        assert (run / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert not list(run.rglob("*.tmp"))


def test_a_last_checkpoint_that_cannot_be_written_is_an_error(engine_recipe, tmp_path, monkeypatch) -> None:
    pretrain(engine_recipe(), tmp_path / "whole")
    run = tmp_path / "run"
    honest = checkpoint.save_file

    def late(pieces, path):
        return full()() if "step-12" in str(path) else honest(pieces, path)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save_file", late)
        with pytest.raises(HeadstartError, match=r"No space left on device.*make room"):
            pretrain(engine_recipe(), run)
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"step-6", "step-9"}
    pretrain(engine_recipe(), run)
    name = "model/model.safetensors"
    assert (run / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_damage_is_said_on_the_terminal_and_in_the_account(
    engine_recipe, tmp_path, monkeypatch, capsys
) -> None:
    run, update = tmp_path / "run", loop.Run.update

    def stopping(self):
        if self.step == 10:
            raise KeyboardInterrupt
        return update(self)

    with monkeypatch.context() as patch:
        patch.setattr(loop.Run, "update", stopping)
        with pytest.raises(KeyboardInterrupt):
            pretrain(engine_recipe(), run)
    path = run / "checkpoints" / "step-9" / "optimizer.safetensors"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    pretrain(engine_recipe(), run)
    assert "step-9 is damaged" in capsys.readouterr().err
    (note,) = [event["text"] for event in read_metrics(run) if event["kind"] == "note"]
    assert "step-9 is damaged (a file is not what was written); the one before it is taken" in note


def test_nothing_is_pickled(engine_recipe, tmp_path, monkeypatch) -> None:
    """Not while a run is written, and not in any of its files."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a pickle")

    for module, name in (
        (pickle, "dump"), (pickle, "dumps"), (pickle, "load"), (pickle, "loads"),
        (torch, "save"), (torch, "load"),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, refuse)
    run, update = tmp_path / "run", loop.Run.update

    def captured(self):
        if self.step == 1:
            control.send(run, "capture")
        return update(self)

    monkeypatch.setattr(loop.Run, "update", captured)
    recipe = engine_recipe(steps=4, checkpoint_every=2, statistics_every=1, optimiser={"average": 0.9})
    pretrain(recipe, run)
    monkeypatch.undo()
    suffixes = {path.suffix for path in run.rglob("*") if path.is_file()}
    assert suffixes <= {".safetensors", ".json", ".jsonl", ".yaml", ".md", ".sha256"}
    for path in run.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not content.startswith((b"\x80", b"PK")), path
            with pytest.raises(Exception):  # noqa: B017, PT011
                pickle.load(io.BytesIO(content))


def test_copies_that_somebody_made_are_left_alone(tmp_path) -> None:
    checkpoints = Checkpoints(tmp_path, 1)
    checkpoints.save_now(tensors(1.0), {"step": 1})
    copies = {"step-1 (copy)", "step-1-backup", "step-", "step-old"}
    for name in copies:
        shutil.copytree(tmp_path / "checkpoints" / "step-1", tmp_path / "checkpoints" / name)
    checkpoints.save_now(tensors(2.0), {"step": 2})
    checkpoints.close()
    assert {path.name for path in (tmp_path / "checkpoints").iterdir()} == {"step-2", *copies}
    assert restored(tmp_path)[0]["step"] == 2
