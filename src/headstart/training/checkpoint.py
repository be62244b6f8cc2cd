"""Checkpoints: weights, optimiser and position in a folder that is whole or not there.

Tensors are safetensors, everything else JSON; nothing is pickled.
"""

import hashlib
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from headstart.errors import HeadstartError
from headstart.folder import atomic, read_json, remove, write_json
from headstart.models.transformer import Transformer
from headstart.training.optimiser import Optimiser

TENSORS = ("model.safetensors", "optimizer.safetensors")


def _folders(run: Path) -> list[Path]:
    """The run's checkpoints, oldest first."""
    found = (run / "checkpoints").glob("step-*")
    return sorted(found, key=lambda folder: int(folder.name.removeprefix("step-")))


def save(run: Path, model: Transformer, optimiser: Optimiser, state: dict[str, Any], keep: int) -> None:
    """Write `checkpoints/step-N` (N from `state["step"]`), then drop all but the last `keep`."""
    with atomic(run / "checkpoints" / f"step-{state['step']}") as folder:
        folder.mkdir(parents=True)
        for name, tensors in zip(TENSORS, (model.state_dict(), optimiser.state()), strict=True):
            save_file(tensors, folder / name)
        hashes = {name: _sha256(folder / name) for name in TENSORS}
        write_json(folder / "state.json", state | {"sha256": hashes})
    for folder in _folders(run)[:-keep]:
        remove(folder)


def load_last(run: Path, model: Transformer, optimiser: Optimiser) -> dict[str, Any] | None:
    """Restore the newest checkpoint; returns its state, or None where there is none.

    A checkpoint whose files do not match their hashes is passed over for the one before it.

    Raises:
        HeadstartError: there are checkpoints and all of them are damaged.
    """
    folders = _folders(run)
    for folder in reversed(folders):
        try:
            state = read_json(folder / "state.json")
            if any(_sha256(folder / name) != state["sha256"][name] for name in TENSORS):
                continue
            model.load_state_dict(load_file(folder / TENSORS[0]))
            optimiser.load_state(load_file(folder / TENSORS[1]))
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
