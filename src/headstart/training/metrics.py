"""`metrics.jsonl`: one line an event, appended and flushed, with a number that only grows.

Anything may read the file while the run writes it. After a kill the steps behind the last
checkpoint are computed again, so they appear twice; a `resume` event says which number the
checkpoint had reached, and `read_metrics` drops what came between.
"""

import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from headstart.errors import HeadstartError
from headstart.training.events import Event
from headstart.training.monitoring.sinks import Sink, open_sink

FILE = "metrics.jsonl"


class Metrics:
    """Writes the events of a run, and their numbers to sinks.

    A full disk or a sink that fails does not end the run: it is said once, and the run goes on.

    Args:
        run: the run folder.
        step: the last step that counts; what sinks were told of later ones is void.
        sinks: their names.
    """

    def __init__(self, run: Path, step: int, sinks: Sequence[str] = ("tensorboard",)) -> None:
        run.mkdir(parents=True, exist_ok=True)
        path = run / FILE
        self.seq = _mend(path)
        self._file = path.open("ab", buffering=0)
        self._said: set[str] = set()
        self._sinks: dict[str, Sink] = {}
        for name in sinks:
            try:
                self._sinks[name] = open_sink(name, run, step)
            except HeadstartError:
                raise
            except Exception as error:
                self._say(name, f"{name} gets no numbers ({error}); the run goes on")

    def write(self, kind: str, step: int, **values: Any) -> Event:
        """Append one event, with what `events` says of its kind; returns it."""
        event: Any = {"seq": self.seq + 1, "time": time.time(), "kind": kind, "step": step} | values
        try:
            self._append(orjson.dumps(event, option=orjson.OPT_SERIALIZE_NUMPY) + b"\n")
            self.seq += 1
        except OSError as error:
            self._say(FILE, f"{FILE} cannot be written ({error.strerror or error}); the run goes on")
        scalars = {f"{kind}/{name}": float(v) for name, v in values.items() if isinstance(v, (int, float))}
        for name, sink in list(self._sinks.items()):
            try:
                sink.write(scalars, step)
            except Exception as error:
                del self._sinks[name]
                self._say(name, f"{name} gets no more numbers ({error}); the run goes on")
        written: Event = event
        return written

    def _append(self, line: bytes) -> None:
        place = self._file.tell()
        written = self._file.write(line)
        if written != len(line):  # the disk is full: no half lines
            self._file.truncate(place)
            raise OSError("no space left for a line")

    def _say(self, about: str, sentence: str) -> None:
        if about not in self._said:
            self._said.add(about)
            print(f"headstart: {sentence}", file=sys.stderr)

    def close(self) -> None:
        self._file.close()
        for sink in self._sinks.values():
            try:
                sink.close()
            except Exception as error:
                self._say("close", f"a sink could not be closed ({error})")


def _mend(path: Path) -> int:
    """Cut off what a kill or a power cut left behind the last whole event; returns that one's number."""
    if not path.exists():
        return 0
    seq, end, place = 0, 0, 0
    with path.open("r+b") as file:
        for line in file:
            place += len(line)
            if (event := _event(line)) is not None:
                seq, end = event["seq"], place
        if end < place:
            file.truncate(end)
            print(
                f"headstart: {path} ended in {place - end:,} bytes that are no event; they are cut off",
                file=sys.stderr,
            )
    return seq


def read_metrics(run: Path) -> list[Event]:
    """The events of a run in order, each step once: where it went back to a checkpoint, after a kill or a
    spike, the new account replaces the lost one."""
    events: list[Event] = []
    for event in _events(run / FILE):
        if event["kind"] == "resume":
            events = [earlier for earlier in events if earlier["seq"] <= event["after"]]
        elif event["kind"] == "spike" and event["action"] == "rollback":
            lasting = ("control", "note", "spike", "resume")
            events = [one for one in events if one["step"] <= event["step"] or one["kind"] in lasting]
        events.append(event)
    return events


@dataclass(frozen=True)
class Cursor:
    """How far `follow` has read a run's events."""

    place: int = 0
    """Bytes of the file."""
    seq: int = 0
    """The number of the last event."""


def follow(run: Path, cursor: Cursor = Cursor()) -> tuple[list[Event], Cursor]:
    """The events behind a cursor, and the cursor behind them; whatever the file's length, only what is new is
    read. A line that is still being written is left for the next call.

    Events come as they stand in the file: where a run goes on after a kill a `resume` event says which of the
    earlier ones are void, as does a `spike` whose action is rollback. A file that is shorter than the cursor
    is another run's, and read from its beginning.
    """
    path = run / FILE
    if not path.exists():
        return [], Cursor()
    events: list[Event] = []
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END) < cursor.place:
            cursor = Cursor()
        file.seek(cursor.place)
        place, seq = cursor.place, cursor.seq
        for line in file:
            if not line.endswith(b"\n"):
                break
            place += len(line)
            if (event := _event(line)) is not None:
                events.append(event)
                seq = event["seq"]
    return events, Cursor(place, seq)


def _events(path: Path) -> Iterator[Event]:
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            if (event := _event(line)) is not None:
                yield event


def _event(line: bytes) -> Event | None:
    """The event in a line; None: it is unfinished, or damaged."""
    try:
        event: Any = orjson.loads(line) if line.endswith(b"\n") else None
    except orjson.JSONDecodeError:
        return None
    whole = isinstance(event, dict) and isinstance(event.get("seq"), int) and {"kind", "step"} <= event.keys()
    return event if whole else None
