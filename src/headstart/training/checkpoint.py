"""Checkpoints: weights, optimiser and position in a folder that is whole or not there.

Tensors are safetensors, everything else JSON; nothing is pickled.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from headstart.errors import HeadstartError
from headstart.folder import atomic, read_json, remove, write_json

Files = dict[str, dict[str, Tensor]]
"""Tensors by name, by the file that they are in."""


def _folders(run: Path) -> list[Path]:
    """The run's checkpoints, oldest first."""
    found = (run / "checkpoints").glob("step-*")
    return sorted(found, key=lambda folder: int(folder.name.removeprefix("step-")))


def save(run: Path, files: Files, state: dict[str, Any], keep: int) -> None:
    """Write `checkpoints/step-N` (N from `state["step"]`), then drop all but the last `keep`."""
    with atomic(run / "checkpoints" / f"step-{state['step']}") as folder:
        folder.mkdir(parents=True)
        for name, tensors in files.items():
            save_file(tensors, folder / name)
        hashes = {name: _sha256(folder / name) for name in files}
        write_json(folder / "state.json", state | {"sha256": hashes})
    for folder in _folders(run)[:-keep]:
        remove(folder)


def load_last(run: Path, restore: Callable[[Files], None]) -> dict[str, Any] | None:
    """Restore the newest checkpoint; returns its state, or None where there is none.

    A checkpoint whose files do not match their hashes is passed over for the one before it.

    Args:
        restore: takes the tensors up.

    Raises:
        HeadstartError: there are checkpoints and all of them are damaged.
    """
    folders = _folders(run)
    for folder in reversed(folders):
        try:
            state = read_json(folder / "state.json")
            if any(_sha256(folder / name) != known for name, known in state["sha256"].items()):
                continue
            restore({name: load_file(folder / name) for name in state["sha256"]})
        except (HeadstartError, OSError, SafetensorError, KeyError, TypeError):
            continue
        return state
    if folders:
        raise HeadstartError(
            f"every checkpoint in {run / 'checkpoints'} is damaged; remove {run} and start again"
        )
    return None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
