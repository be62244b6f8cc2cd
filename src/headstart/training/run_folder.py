"""A run folder belongs to one recipe, and keeps snapshots to go on from."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from headstart.errors import HeadstartError
from headstart.folder import atomic, fingerprint, read_json, remove, write_json
from headstart.recipe import Recipe
from headstart.training.machine import describe_machine, package_versions, source_commit


def claim(run: Path, recipe: Recipe, data: Any, paths: set[str], seed: int) -> None:
    """Write `recipe.yaml` and `run.json` into a new run folder; refuse one that holds another run.

    Args:
        data: what identifies the text that is trained on, wherever it lies.
        paths: the recipe's keys that say where things lie, and nothing else.

    Raises:
        HeadstartError: the folder holds a run with other settings or other text.
    """
    facts = run / "run.json"
    identity = fingerprint([recipe.model_dump(mode="json", exclude=paths), data])
    if facts.exists():
        if read_json(facts)["fingerprint"] != identity:
            raise HeadstartError(
                f"{run} holds a run with other settings or another corpus; "
                "choose another folder, or remove it"
            )
        return
    recipe.save(run / "recipe.yaml")
    write_json(
        facts,
        {
            "fingerprint": identity,
            "seed": seed,
            "machine": describe_machine(),
            "versions": package_versions(),
            "commit": source_commit(),
            "threads": torch.get_num_threads(),
        },
    )


def save_snapshot(run: Path, step: int, tensors: dict[str, Tensor], state: dict[str, Any], keep: int) -> None:
    """Write `checkpoints/step-N`, whole or not at all, then drop all but the last `keep`."""
    with atomic(run / "checkpoints" / f"step-{step}") as folder:
        folder.mkdir(parents=True)
        save_file(tensors, folder / "tensors.safetensors")
        write_json(folder / "state.json", state | {"step": step})
    for old in _snapshots(run)[:-keep]:
        remove(old)


def last_snapshot(run: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Tensors and state of the newest checkpoint that can be read; None where there is none.

    Raises:
        HeadstartError: there are checkpoints and all of them are damaged.
    """
    folders = _snapshots(run)
    for folder in reversed(folders):
        try:
            return load_file(folder / "tensors.safetensors"), read_json(folder / "state.json")
        except (HeadstartError, OSError, SafetensorError):
            continue
    if folders:
        raise HeadstartError(
            f"every checkpoint in {run / 'checkpoints'} is damaged; remove {run} and start again"
        )
    return None


def _snapshots(run: Path) -> list[Path]:
    """The run's checkpoints, oldest first."""
    return sorted(
        (run / "checkpoints").glob("step-*"), key=lambda folder: int(folder.name.removeprefix("step-"))
    )


@contextmanager
def signals() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM instead of dying of them; only the main thread gets any."""
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return

    def note(number: int, frame: FrameType | None) -> None:
        received.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
