"""`metrics.jsonl`: one line an event, appended and flushed, with a number that only grows.

Anything may read the file while the run writes it. After a kill the steps behind the last
checkpoint are computed again, so they appear twice; a `resume` event says which number the
checkpoint had reached, and `read_metrics` drops what came between.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
from tensorboardX import SummaryWriter

FILE = "metrics.jsonl"


class Metrics:
    """Writes the events of a run, and scalars for TensorBoard beside them.

    Args:
        run: the run folder.
        step: the last step that counts; what TensorBoard was told of later ones is void.
    """

    def __init__(self, run: Path, step: int) -> None:
        run.mkdir(parents=True, exist_ok=True)
        path = run / FILE
        self.seq = _mend(path)
        self._file = path.open("ab")
        self._board = SummaryWriter(str(run), purge_step=step + 1)

    def write(self, kind: str, step: int, **values: Any) -> None:
        """Append one event; numbers go to TensorBoard too."""
        self.seq += 1
        event = {"seq": self.seq, "time": time.time(), "kind": kind, "step": step} | values
        self._file.write(orjson.dumps(event) + b"\n")
        self._file.flush()
        for name, value in values.items():
            if isinstance(value, (int, float)):
                self._board.add_scalar(f"{kind}/{name}", value, step)

    def close(self) -> None:
        self._file.close()
        self._board.close()


def _mend(path: Path) -> int:
    """Cut off a line that a kill left unfinished; returns the last number used."""
    if not path.exists():
        return 0
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        with path.open("r+b") as file:
            file.truncate(len(whole))
    return orjson.loads(whole.splitlines()[-1])["seq"] if whole else 0


def read_metrics(run: Path) -> list[dict[str, Any]]:
    """The events of a run in order, each step once: a resumed run's account replaces the lost one."""
    events: list[dict[str, Any]] = []
    for event in _events(run / FILE):
        if event["kind"] == "resume":
            events = [earlier for earlier in events if earlier["seq"] <= event["after"]]
        events.append(event)
    return events


def _events(path: Path) -> Iterator[dict[str, Any]]:
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield orjson.loads(line)
