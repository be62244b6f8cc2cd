"""`control.json`: how another process steers a run, read once a step.

The file holds commands, each with a number of its own: `[{"seq": 1, "action": "pause"}, ...]`, or a single
one without the brackets. They are obeyed in the order of their numbers, each once.

| action | what the run does |
| --- | --- |
| pause, resume | waits; goes on |
| step | makes one step while paused |
| scale_learning_rate | multiplies its rates by `factor` from here on |
| set_learning_rate | takes `rate` as the peak of the matrices' rate, the others in proportion |
| checkpoint | saves now |
| capture | writes attention, residuals and losses of the next batch to `captures/` |
| stop | saves and ends |
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import orjson

from headstart.errors import HeadstartError, nearest
from headstart.folder import JSONObject, read_json, write_json
from headstart.lock import locked

FILE = "control.json"
NUMBERS = {"scale_learning_rate": "factor", "set_learning_rate": "rate"}
ACTIONS = ("pause", "resume", "step", "stop", "checkpoint", "capture", *NUMBERS)
# Commands that the file holds at most; older ones have long been obeyed.
KEPT = 64


class Command(TypedDict):
    """One thing that a run is asked to do."""

    seq: int
    action: str
    factor: NotRequired[float]
    rate: NotRequired[float]


def send(run: Path, action: str, **values: Any) -> None:
    """Ask the run in folder `run` to do something at its next step.

    Raises:
        HeadstartError: unknown action, a number that is none or not positive, no such run, or a fine-tuning.
    """
    if action not in ACTIONS:
        raise HeadstartError(f"there is no control action {action!r}{nearest(action, ACTIONS)}")
    if not run.is_dir():
        raise HeadstartError(f"there is no run folder {run}; check the path")
    if (run / "run.json").exists() and "fingerprint" not in read_json(run / "run.json", JSONObject):
        raise HeadstartError(f"{run} is a fine-tuning, which reads no {FILE}; stop its command instead")
    with locked(run / f".{FILE}.lock", run / FILE):
        _append(run, action, values)


def _append(run: Path, action: str, values: Mapping[str, float]) -> None:
    before = _read(run / FILE)
    others = not before and not (run / "run.json").exists()
    if others and (run / FILE).exists() and (run / FILE).stat().st_size:
        raise HeadstartError(f"{run / FILE} holds no commands to a run; move it away, and ask again")
    command = {"seq": (before[-1]["seq"] if before else 0) + 1, "action": action, **values}
    if not _is_command(command):
        name = NUMBERS.get(action)
        needs = f"a {name}, a positive number" if name else "nothing else"
        raise HeadstartError(f"{action} needs {needs}; it got {values or 'nothing'}")
    write_json(run / FILE, [*before[1 - KEPT :], command])


def _read(path: Path) -> list[Command]:
    """The commands in the file, by their numbers; anything else that stands there is none."""
    try:
        content = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return []
    found = [one for one in (content if isinstance(content, list) else [content]) if _is_command(one)]
    return sorted(found, key=lambda command: command["seq"])


def _is_command(command: Any) -> bool:
    if not isinstance(command, dict) or not isinstance(command.get("seq"), int):
        return False
    action = command.get("action")
    name = NUMBERS.get(action) if isinstance(action, str) else None
    if name is not None:
        value = command.get(name)
        return isinstance(value, (int, float)) and math.isfinite(value) and value > 0
    return action in ACTIONS


def next_command(run: Path, obeyed: int) -> Command | None:
    """The first command to the run in a folder behind number `obeyed`; None: there is none yet."""
    return next((command for command in _read(run / FILE) if command["seq"] > obeyed), None)
