"""Checkpoints: weights, optimiser and position in a folder that is whole or not there.

Tensors are safetensors, everything else JSON; nothing is pickled. What is to be saved is copied to memory at
once and written in the background. One process writes the files whole; of tensors that are split over
processes each writes its pieces, and `state.json` says which piece lies where, so that a checkpoint of one
layout loads in any other.
"""

import hashlib
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from headstart.errors import HeadstartError
from headstart.folder import read_json, remove, write_json

Files = dict[str, dict[str, Tensor]]
"""Tensors by name, by the file that they are in."""

# How long the main process waits for the files of the others, in seconds.
PATIENCE = 600.0


class Checkpoints:
    """The checkpoints of a run.

    Args:
        run: the run folder.
        keep: how many of the last ones stay.
        keep_every: those whose step is a multiple of this stay for good.
        rank, size: which of how many processes this is.
        split: whether tensors are split over processes; otherwise process 0 has all there is.
    """

    def __init__(
        self,
        run: Path,
        keep: int,
        keep_every: int | None = None,
        rank: int = 0,
        size: int = 1,
        split: bool = False,
    ) -> None:
        self.folder, self.keep, self.keep_every = run / "checkpoints", keep, keep_every
        self.rank, self.size = rank, size if split else 1
        self.writes = rank == 0 or split
        self.damaged: list[str] = []
        """What `load_last` passed over, in words."""
        self._writer = ThreadPoolExecutor(1, "checkpoint")
        self._pending: Future[None] | None = None
        if rank == 0:
            self._tidy()

    def save(self, files: Files, state: dict[str, Any]) -> str | None:
        """Begin to write `checkpoints/step-N`, N from `state["step"]`.

        Returns:
            What went wrong with the one before, in words; None: it is whole.
        """
        trouble = self.wait()
        if self.writes:
            copies = {
                file: {name: _piece(tensor) for name, tensor in tensors.items()}
                for file, tensors in files.items()
            }
            self._pending = self._writer.submit(self._write, copies, state)
        return trouble

    def save_now(self, files: Files, state: dict[str, Any]) -> None:
        """Write a checkpoint and wait until it is whole.

        Raises:
            HeadstartError: it could not be written.
        """
        self.save(files, state)
        if trouble := self.wait():
            raise HeadstartError(
                f"{trouble}; make room and start the same again: it goes on from the one before"
            )

    def wait(self) -> str | None:
        """Until what was begun is written; what went wrong, in words."""
        pending, self._pending = self._pending, None
        if pending is None:
            return None
        try:
            pending.result()
        except (OSError, SafetensorError, TimeoutError) as error:
            return f"the checkpoint could not be written ({getattr(error, 'strerror', None) or error})"
        return None

    def close(self) -> None:
        """End the background thread."""
        self._writer.shutdown()

    def _write(self, files: dict[str, dict[str, "TensorShard"]], state: dict[str, Any]) -> None:
        place = self.folder / f"step-{state['step']}"
        made = self.folder / f".step-{state['step']}.tmp"
        try:
            self._write_into(made, files, state)
            if self.rank == 0:
                replaced = made.with_suffix(".old")
                if place.exists():
                    place.rename(replaced)
                made.rename(place)
                _flush(self.folder)
                for folder in (replaced, *self._superseded(state["step"])):
                    remove(folder)
        except BaseException:
            if self.rank == 0:
                remove(made)
            raise

    def _write_into(
        self, made: Path, files: dict[str, dict[str, "TensorShard"]], state: dict[str, Any]
    ) -> None:
        if self.rank == 0:
            for rest in self.folder.glob(".step-*.tmp"):
                if rest != made or self.size == 1:
                    remove(rest)
        made.mkdir(parents=True, exist_ok=True)
        own: dict[str, Any] = {}
        for name, pieces in files.items():
            file = name if self.size == 1 else name.replace(".", f".{self.rank:05d}.", 1)
            save_file({key: piece.values for key, piece in pieces.items()}, made / file)
            _flush(made / file)
            where = {key: [piece.shape, piece.offset] for key, piece in pieces.items()}
            own[file] = {"of": name, "sha256": _sha256(made / file), "pieces": where}
        if self.size == 1:
            state = state | {"sha256": {file: facts["sha256"] for file, facts in own.items()}}
        else:
            write_json(made / f"pieces.{self.rank:05d}.json", own)
            if self.rank:
                return
            state = state | {"split": _gathered(made, self.size)}
        write_json(made / "state.json", state)
        (made / "state.sha256").write_text(f"{_sha256(made / 'state.json')}  state.json\n")
        _flush(made / "state.sha256")
        _flush(made)

    def _superseded(self, step: int) -> list[Path]:
        """What the checkpoint of this step makes superfluous; later ones are damaged, or it would not be."""
        earlier = [folder for folder in self._folders() if _step(folder) <= step][: -self.keep]
        return [
            folder for folder in earlier if not (self.keep_every and _step(folder) % self.keep_every == 0)
        ]

    def _tidy(self) -> None:
        """Undo what a kill left half done, before any process writes."""
        for rest in self.folder.glob(".step-*"):
            place = self.folder / rest.stem.removeprefix(".")
            if rest.suffix == ".old" and not place.exists():
                rest.rename(place)
            else:
                remove(rest)

    def _folders(self) -> list[Path]:
        """The run's checkpoints, oldest first."""
        return sorted(self.folder.glob("step-*"), key=_step)

    def load_last(self, restore: Callable[[Files], None]) -> dict[str, Any] | None:
        """Restore the newest checkpoint; returns its state, or None where there is none.

        A checkpoint whose files do not match their hashes is passed over for the one before it, and it is
        said so.

        Args:
            restore: takes the tensors up, each whole.

        Raises:
            HeadstartError: there are checkpoints and all of them are damaged.
        """
        self.wait()
        folders = self._folders()
        for folder in reversed(folders):
            try:
                state = read_json(folder / "state.json")
                files = read(folder, state)
                if files is not None:
                    restore(files)
                    return state
                why = "a file is not what was written"
            except (
                HeadstartError,
                OSError,
                SafetensorError,
                LookupError,
                TypeError,
                ValueError,
                RuntimeError,
            ) as error:
                why = str(error) or type(error).__name__
            self.damaged.append(f"the checkpoint {folder} is damaged ({why}); the one before it is taken")
            if self.rank == 0:
                print(f"headstart: {self.damaged[-1]}", file=sys.stderr)
        if folders:
            run = self.folder.parent
            raise HeadstartError(
                f"every checkpoint in {self.folder} is damaged; remove {run} and start again"
            )
        return None


class TensorShard:
    """What this process has of a tensor, copied to memory; and the whole's shape, and where this begins."""

    def __init__(self, values: Tensor, shape: list[int], offset: list[int]) -> None:
        self.values, self.shape, self.offset = values, shape, offset


def _piece(tensor: Tensor) -> TensorShard:
    local, offset = tensor.detach(), [0] * tensor.dim()
    if hasattr(tensor, "device_mesh"):
        from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

        mesh, placements = tensor.device_mesh, tensor.placements  # type: ignore[attr-defined]
        _, place = compute_local_shape_and_global_offset(tensor.shape, mesh, placements)
        local, offset = tensor.to_local(), list(place)  # type: ignore[attr-defined]
    copy = torch.empty(local.shape, dtype=local.dtype).copy_(local)
    return TensorShard(copy, list(tensor.shape), offset)


def _gathered(made: Path, size: int) -> dict[str, Any]:
    """What all processes wrote, as soon as they have: files appear whole, so none has to be asked."""
    deadline = time.monotonic() + PATIENCE
    paths = [made / f"pieces.{rank:05d}.json" for rank in range(size)]
    while missing := [path for path in paths if not path.exists()]:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{missing[0].name} did not appear within {PATIENCE:.0f} s")
        time.sleep(0.02)
    return {file: facts for path in paths for file, facts in read_json(path).items()}


def read(folder: Path, state: dict[str, Any]) -> Files | None:
    """The tensors of a checkpoint, each whole; None: a file is not what was written."""
    if not (folder / "state.sha256").read_text().startswith(_sha256(folder / "state.json")):
        return None
    split = state.get("split")
    known = {file: facts["sha256"] for file, facts in split.items()} if split else state["sha256"]
    if any(_sha256(folder / file) != expected for file, expected in known.items()):
        return None
    files: Files = {}
    for file in known:
        with safe_open(folder / file, "pt") as stored:
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        if not split:
            files[file] = tensors
            continue
        whole = files.setdefault(split[file]["of"], {})
        for name, (shape, offset) in split[file]["pieces"].items():
            piece = tensors[name]
            if name not in whole:
                whole[name] = torch.empty(shape, dtype=piece.dtype)
            place = tuple(
                slice(first, first + length) for first, length in zip(offset, piece.shape, strict=True)
            )
            whole[name][place] = piece
    return files


def _step(folder: Path) -> int:
    return int(folder.name.removeprefix("step-"))


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
