"""A run folder belongs to one recipe; a run that is told to stop saves first."""

import secrets
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from headstart.errors import HeadstartError
from headstart.folder import WHOLE, JSONObject, fingerprint, read_json, write_json
from headstart.output import Output, changed_from, output
from headstart.recipe import Recipe, read_yaml
from headstart.training.machine import describe_machine, package_versions, source_commit

START = "start"
"""In the folder of a run that began with a static start: the model before its first step, in bfloat16."""


def static_start(model: Path) -> Path:
    """The static start that a pre-trained model began with.

    Args:
        model: a run folder, or the model folder in it.

    Raises:
        HeadstartError: the run kept none.
    """
    for run in (model, model.parent):
        if (run / START / "config.json").exists():
            return run / START
    raise HeadstartError(
        f"{model} has no static start beside it; a run with start=static keeps one in its folder, {START}"
    )


def run_output(run: Path, inputs: Iterable[Path], replace: bool = False) -> AbstractContextManager[Output]:
    """Claim a run folder while the block runs; `claim` then says whether it belongs to a recipe.

    Args:
        inputs: what the run reads.
        replace: delete what the folder holds.

    Raises:
        HeadstartError: see `output`.
    """
    return output(run, "run", inputs=inputs, own=("run.json", "control.json"), replace=replace)


def claim(
    run: Path, recipe: Recipe, data: Any, paths: set[str], seed: int, minutes: float | None = None
) -> None:
    """Write `recipe.yaml` and `run.json` into a new run folder; refuse one that holds another run.

    Args:
        data: what identifies the text that is trained on, wherever it lies.
        paths: the recipe's keys that say where things lie, and nothing else.
        minutes: that the recipe's steps were chosen for.

    Raises:
        HeadstartError: the folder holds a run with other settings or other text, or nobody knows which.
    """
    facts, model = run / "run.json", run / "model"
    if model.is_dir() and any(model.iterdir()) and not any((model / name).exists() for name in WHOLE):
        raise HeadstartError(f"{model} holds other files; choose another folder, or move them")
    identity = fingerprint([recipe.model_dump(mode="json", exclude=paths), data])
    if facts.exists():
        begun = read_json(facts, JSONObject)
        known = str(begun.get("fingerprint"))
        if known != identity and not _wrote_the_same(run / "recipe.yaml", recipe, data, paths, known):
            written = run / "recipe.yaml"
            changed = changed_from(written, recipe.model_dump(mode="json", exclude=paths))
            raise HeadstartError(
                f"{run} holds a run with other settings or another text ({f'{changed}; ' if changed else ''}"
                f"see {written}); choose another folder, or pass --replace to delete it"
            )
        threads, now = begun.get("threads"), torch.get_num_threads()
        if threads not in (None, now):
            print(
                f"headstart: {run} began with {threads} threads and goes on with {now}: it adds in another "
                f"order, and does not end bitwise as it would have (OMP_NUM_THREADS={threads} keeps it so)",
                file=sys.stderr,
            )
        if not (run / "recipe.yaml").exists():  # killed between the two
            recipe.save(run / "recipe.yaml")
        return
    if any((run / "checkpoints").glob("step-*")):
        raise HeadstartError(
            f"{run} holds checkpoints, and no run.json that says of what; choose another folder, or remove it"
        )
    write_json(  # first, since a folder without it is nobody's run
        facts,
        {
            "fingerprint": identity,
            "id": secrets.token_hex(4),
            "seed": seed,
            "machine": describe_machine(),
            "versions": package_versions(),
            "commit": source_commit(),
            "threads": torch.get_num_threads(),
            **({} if minutes is None else {"minutes": minutes}),
        },
    )
    recipe.save(run / "recipe.yaml")


def _wrote_the_same(path: Path, recipe: Recipe, data: Any, paths: set[str], known: str) -> bool:
    """Whether an earlier headstart, whose recipes had other keys, wrote this recipe into the run folder.

    Its fingerprint is that of the keys in its own file; the recipe in that file is compared key by key.
    """
    if not path.exists():
        return False
    values, _ = read_yaml(path)
    if fingerprint([{key: value for key, value in values.items() if key not in paths}, data]) != known:
        return False
    written = type(recipe).load(path, [])
    return written.model_dump(exclude=paths) == recipe.model_dump(exclude=paths)


@contextmanager
def signals() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM instead of dying of them; only the main thread gets any.

    A second one does what it does elsewhere: a step may be a pass over a whole text.
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return

    def note(number: int, frame: FrameType | None) -> None:
        received.append(number)
        signal.signal(number, before[signal.Signals(number)])

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
