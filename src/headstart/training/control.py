"""`control.json`: how another process steers a run, read once a step.

The file holds `{"seq": n, "action": a}` with a in pause, resume, stop, checkpoint, or
`{"seq": n, "action": "scale_learning_rate", "factor": f}`. Each `seq` is obeyed once.
"""

import math
from pathlib import Path
from typing import Any

import orjson

from headstart.errors import HeadstartError, nearest
from headstart.folder import write_json

FILE = "control.json"
ACTIONS = ("pause", "resume", "stop", "checkpoint", "scale_learning_rate")


def send(run: Path, action: str, **values: Any) -> None:
    """Ask the run in folder `run` to do something at its next step.

    Raises:
        HeadstartError: unknown action, a factor that is no positive number, or no such run.
    """
    if action not in ACTIONS:
        raise HeadstartError(f"there is no control action {action!r}{nearest(action, ACTIONS)}")
    if not run.is_dir():
        raise HeadstartError(f"there is no run folder {run}; check the path")
    last = _read(run / FILE)
    command = {"seq": (last["seq"] if last else 0) + 1, "action": action} | values
    if not _is_command(command):
        raise HeadstartError(f"{action} needs a factor, a positive number; it got {values or 'nothing'}")
    write_json(run / FILE, command)


def _read(path: Path) -> dict[str, Any] | None:
    """The command in the file; anything else that stands there is no command."""
    try:
        command = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return None
    return command if _is_command(command) else None


def _is_command(command: Any) -> bool:
    if not isinstance(command, dict) or not isinstance(command.get("seq"), int):
        return False
    if command.get("action") == "scale_learning_rate":
        factor = command.get("factor")
        return isinstance(factor, (int, float)) and math.isfinite(factor) and factor > 0
    return command.get("action") in ACTIONS


class Control:
    """The reader in the training loop. `seq` is the last command obeyed."""

    def __init__(self, run: Path, seq: int) -> None:
        self.path, self.seq = run / FILE, seq

    def next(self) -> dict[str, Any]:
        """A command not yet obeyed, or an empty one."""
        command = _read(self.path)
        if command is None or command["seq"] <= self.seq:
            return {}
        self.seq = command["seq"]
        return command
