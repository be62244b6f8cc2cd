"""Checkpoints: weights, optimiser and position in a folder that is whole or not there.

Tensors are safetensors, everything else JSON; nothing is pickled. What is to be saved is copied to memory at
once and written in the background. One process writes the files whole; of tensors that are split over
processes each writes its pieces, and `state.json` says which piece lies where, so that a checkpoint of one
layout loads in any other. A process that goes on reads those blocks of the files that make its own part, and
hashes its share of the files: at 70B parameters with Adam a checkpoint has 840 GB.
"""

import hashlib
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self, TypeAlias

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from typing_extensions import TypedDict  # typing's own is not checked before Python 3.12

from headstart.errors import HeadstartError
from headstart.folder import JSONObject, read_json, remove, write_json
from headstart.training.distributed.tensors import Extent, extent, local

State: TypeAlias = JSONObject
"""What `state.json` holds: the number of the step, what the run adds to go on from there, and the hashes."""


class WrittenFile(TypedDict):
    """A file of tensors that one process wrote."""

    of: str
    """The file that it is a part of."""
    sha256: str
    pieces: dict[str, list[list[int]]]
    """Tensor -> the shape of the whole, and where the part in this file begins."""


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
        any: whether something is so in any process; all of them ask at the same time.
    """

    def __init__(
        self,
        run: Path,
        keep: int,
        keep_every: int | None = None,
        rank: int = 0,
        size: int = 1,
        split: bool = False,
        any: Callable[[bool], bool] = bool,
    ) -> None:
        self.folder, self.keep, self.keep_every = run / "checkpoints", keep, keep_every
        self.rank, self.size, self.processes, self.any = rank, size if split else 1, size, any
        self.writes = rank == 0 or split
        self.damaged: list[str] = []
        """What `load_last` passed over, in words."""
        self._writer = ThreadPoolExecutor(1, "checkpoint")
        self._pending: Future[None] | None = None
        if rank == 0:
            self._tidy()

    def save(self, files: Files, state: State) -> str | None:
        """Begin to write `checkpoints/step-N`, N from `state["step"]`.

        Returns:
            What went wrong with the one before, in words; None: it is whole.
        """
        trouble = self.wait()
        if self.writes:
            copies = {
                file: {name: _shard(tensor) for name, tensor in tensors.items()}
                for file, tensors in files.items()
            }
            self._pending = self._writer.submit(self._write, copies, state)
        return trouble

    def save_now(self, files: Files, state: State) -> None:
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

    def _write(self, files: dict[str, dict[str, "TensorShard"]], state: State) -> None:
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

    def _write_into(self, made: Path, files: dict[str, dict[str, "TensorShard"]], state: State) -> None:
        if self.rank == 0:
            for rest in self.folder.glob(".step-*.tmp"):
                if rest != made or self.size == 1:
                    remove(rest)
        made.mkdir(parents=True, exist_ok=True)
        own: dict[str, WrittenFile] = {}
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
        earlier = [folder for folder in self.folders() if _step(folder) <= step][: -self.keep]
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

    def folders(self) -> list[Path]:
        """The run's checkpoints, oldest first; a copy that somebody made under another name is none."""
        return sorted((one for one in self.folder.glob("step-*") if one.name[5:].isdecimal()), key=_step)

    def load_last(self, restore: Callable[["Stored"], None]) -> State | None:
        """Restore the newest checkpoint; returns its state, or None where there is none.

        A checkpoint whose files do not match their hashes is passed over for the one before it, and it is
        said so. All processes take the same one.

        Args:
            restore: takes the tensors up, each as far as this process has it.

        Raises:
            HeadstartError: there are checkpoints and all of them are damaged.
        """
        self.wait()
        folders = self.folders()
        for folder in reversed(folders):
            state, why = self._restored(folder, restore)
            if not self.any(why is not None):
                return state
            why = why or "as another process found"
            self.damaged.append(f"the checkpoint {folder} is damaged ({why}); the one before it is taken")
            if self.rank == 0:
                print(f"headstart: {self.damaged[-1]}", file=sys.stderr)
        if folders:
            run = self.folder.parent
            raise HeadstartError(
                f"every checkpoint in {self.folder} is damaged; remove {run} and start again"
            )
        return None

    def _restored(self, folder: Path, restore: Callable[["Stored"], None]) -> tuple[State | None, str | None]:
        """The state of a checkpoint that was taken up, and what is wrong with it, in words.

        Nothing is taken up before every process has found its share of the files to be whole."""
        stored, why = None, None
        try:
            stored = Stored(folder)
            stored.verify(self.rank, self.processes)
        except DAMAGE as error:
            why = str(error) or type(error).__name__
        if self.any(why is not None) or stored is None:
            return None, why
        try:
            with stored:
                restore(stored)
        except DAMAGE as error:
            return None, str(error) or type(error).__name__
        return stored.state, None


@dataclass(frozen=True)
class TensorShard:
    """What a process has of a tensor, copied to memory; and the whole's shape, and where this begins."""

    values: Tensor
    shape: list[int]
    offset: list[int]


def _shard(tensor: Tensor) -> TensorShard:
    own, place = local(tensor.detach()), extent(tensor)
    copy = torch.empty(own.shape, dtype=own.dtype).copy_(own)
    return TensorShard(copy, list(place.shape), list(place.offset))


# What reading a checkpoint that is not whole may raise.
DAMAGE = (HeadstartError, OSError, SafetensorError, LookupError, TypeError, ValueError, RuntimeError)


class Stored:
    """A checkpoint on the disk, of which any block of any tensor can be read. As a context manager it keeps
    its files open.

    Args:
        folder: the checkpoint's.

    Raises:
        HeadstartError: `state.json` is not what was written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if not (folder / "state.sha256").read_text().startswith(_sha256(folder / "state.json")):
            raise HeadstartError("a file is not what was written")
        self.state: State = read_json(folder / "state.json", JSONObject)
        self._open = ExitStack()
        self._handles: dict[str, safe_open] = {}
        self._found: dict[str, dict[str, list[tuple[str, Extent]]]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._handles.clear()
        self._open.close()

    @cached_property
    def hashes(self) -> dict[str, str]:
        """The hash of each file of tensors."""
        split = self.state.get("split")
        known: dict[str, str] = self.state.get("sha256", {})
        return {file: facts["sha256"] for file, facts in split.items()} if split else known

    def verify(self, rank: int = 0, size: int = 1, only: tuple[str, ...] | None = None) -> None:
        """Compare the hashes of every `size`th file, from number `rank` on.

        Args:
            only: names of tensors' files, as `names` takes them; None: all.

        Raises:
            HeadstartError: a file is not what was written.
        """
        split = self.state.get("split") or {}
        files = [
            file
            for file in sorted(self.hashes)
            if only is None or (split[file]["of"] if split else file) in only
        ]
        for file in files[rank::size]:
            if _sha256(self.folder / file) != self.hashes[file]:
                raise HeadstartError("a file is not what was written")

    def _blocks(self, file: str) -> dict[str, list[tuple[str, Extent]]]:
        """By tensor of a file: which files on the disk hold which blocks of it."""
        if file not in self._found:
            split = self.state.get("split") or {}
            blocks: dict[str, list[tuple[str, Extent]]] = {}
            for stored in self.hashes:
                facts = split.get(stored)
                if (facts["of"] if facts else stored) != file:
                    continue
                for name in self._handle(stored).keys():  # noqa: SIM118 - no mapping
                    size = tuple(self._handle(stored).get_slice(name).get_shape())
                    shape, offset = facts["pieces"][name] if facts else (size, (0,) * len(size))
                    block, known = Extent(tuple(shape), tuple(offset), size), blocks.setdefault(name, [])
                    if all(
                        block != other for _, other in known
                    ):  # processes with the same block wrote the same
                        known.append((stored, block))
            self._found[file] = blocks
        return self._found[file]

    def names(self, file: str) -> list[str]:
        """The names of the tensors in a file, such as `model.safetensors`; none if there is no such file."""
        return list(self._blocks(file))

    def read(self, file: str, name: str, wanted: Extent | None = None) -> Tensor:
        """A block of a tensor; None: all of it. Nothing else is read.

        Raises:
            KeyError: there is no such tensor.
            ValueError: the tensor has another shape, or parts of it are missing.
        """
        places = self._blocks(file)[name]
        shape = places[0][1].shape
        wanted = Extent.whole(shape) if wanted is None else wanted
        if wanted.shape != shape:
            raise ValueError(f"{name} has the shape {list(shape)}, not {list(wanted.shape)}")
        if not shape:
            scalar: Tensor = self._handle(places[0][0]).get_tensor(name)
            return scalar
        common = [(stored, block, block.overlap(wanted)) for stored, block in places]
        parts = [(stored, block, both) for stored, block, both in common if both.count]
        missing = wanted.count - sum(both.count for _, _, both in parts)
        if missing:
            raise ValueError(f"{missing} numbers of {name} are missing")
        if not parts:
            nothing: Tensor = self._handle(places[0][0]).get_slice(name)[(slice(0, 0),) * len(shape)]
            return nothing.new_empty(wanted.size)
        blocks: list[Tensor] = [
            self._handle(stored).get_slice(name)[both.slices(block)] for stored, block, both in parts
        ]
        if len(blocks) == 1:
            return blocks[0]
        found = blocks[0].new_empty(wanted.size)
        for (_, _, both), numbers in zip(parts, blocks, strict=True):
            found[both.slices(wanted)] = numbers
        return found

    def whole(self, file: str) -> dict[str, Tensor]:
        """All tensors of a file."""
        return {name: self.read(file, name) for name in self.names(file)}

    def _handle(self, file: str) -> Any:
        if file not in self._handles:
            self._handles[file] = self._open.enter_context(safe_open(self.folder / file, "pt"))
        return self._handles[file]


def _gathered(made: Path, size: int) -> dict[str, WrittenFile]:
    """What all processes wrote, as soon as they have: files appear whole, so none has to be asked."""
    deadline = time.monotonic() + PATIENCE
    paths = [made / f"pieces.{rank:05d}.json" for rank in range(size)]
    while missing := [path for path in paths if not path.exists()]:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{missing[0].name} did not appear within {PATIENCE:.0f} s")
        time.sleep(0.02)
    return {file: facts for path in paths for file, facts in read_json(path, dict[str, WrittenFile]).items()}


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
