"""A run's events for a browser: all of them thinned to columns, and the new ones as they come."""

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from headstart.studio.frames import Looked
from headstart.training.events import Event
from headstart.training.metrics import Cursor, follow, read_metrics

COLUMNS = (
    "step", "loss", "gradient_norm", "learning_rate", "tokens", "words", "seconds", "core_seconds",
    "tokens_per_second", "mfu", "memory_bytes", "data_wait",
)  # fmt: skip
MARKS = ("note", "spike", "control", "resume", "end")
PERIOD = 0.4  # seconds between two looks at the file
HEARTBEAT = 15.0


def columns(events: list[Event], points: int) -> np.ndarray:
    """The steps of a run as `[columns, buckets, 3]`: the least, the largest and the mean of each bucket.

    Buckets hold equally many steps, of which there is one in a bucket while there are no more than `points`.
    What a run does not measure is NaN.
    """
    steps: list[Any] = [event for event in events if event["kind"] == "step"]
    table = np.array([[_number(event.get(name)) for event in steps] for name in COLUMNS], np.float64).reshape(
        len(COLUMNS), len(steps)
    )
    if not steps:
        return np.zeros((len(COLUMNS), 0, 3), np.float32)
    cuts = np.linspace(0, len(steps), min(points, len(steps)) + 1).astype(int)
    buckets = [table[:, first:last] for first, last in pairwise(cuts)]
    found = np.stack([np.stack([bucket.min(1), bucket.max(1), bucket.mean(1)], -1) for bucket in buckets], 1)
    return found.astype(np.float32)


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")


def history(run: Path, points: int) -> Looked:
    """Everything that a run's file says, fit for one answer: columns of the steps, and all other events."""
    seq = follow(run)[1]
    events = [event for event in read_metrics(run) if event["seq"] <= seq.seq]
    others = [event for event in events if event["kind"] != "step"]
    evaluations = [event for event in others if event["kind"] == "evaluation"]
    statistics = [event for event in others if event["kind"] == "statistics"]
    last: Any = next((event for event in reversed(events) if event["kind"] == "step"), None)
    return Looked(
        {
            "columns": COLUMNS,
            "after": f"{seq.place}-{seq.seq}",
            "evaluations": evaluations,
            "statistics": statistics[-1:],
            "marks": [event for event in others if event["kind"] in MARKS],
            "last": last,
            "steps": sum(event["kind"] == "step" for event in events),
        },
        {"steps": columns(events, points)},
    )


def statistics_of(run: Path, step: int) -> dict[str, Any] | None:
    """Gradients and updates of every tensor at a step, where they were measured."""
    found: Any = None
    for event in read_metrics(run):
        if event["kind"] == "statistics" and event["step"] == step:
            found = event["tensors"]
    return found


def cursor_of(text: str) -> Cursor:
    """The cursor behind an event that a browser has seen, as its id says; without one the beginning."""
    place, dash, seq = text.partition("-")
    return Cursor(int(place), int(seq)) if dash and place.isdigit() and seq.isdigit() else Cursor()


async def stream(run: Path, after: str) -> AsyncIterator[bytes]:
    """Server-sent events: `metrics` with new lines of the file, `folder` when a state, a capture or a sample
    has come, a comment as a sign of life. The id of an event is the cursor behind it."""
    yield b"retry: 1000\n\n"
    cursor, kept, quiet = cursor_of(after), _kept(run), 0.0
    while True:
        events, behind = await asyncio.to_thread(follow, run, cursor)
        restarted = behind.place < cursor.place
        if restarted:
            yield b"event: restart\ndata: {}\n\n"
        if events:
            cursor, quiet = behind, 0.0
            data = orjson.dumps(events)
            yield b"id: %d-%d\nevent: metrics\ndata: %s\n\n" % (cursor.place, cursor.seq, data)
        elif restarted:
            cursor = behind
        if (now := _kept(run)) != kept:
            kept, quiet = now, 0.0
            yield b"event: folder\ndata: %s\n\n" % orjson.dumps(now)
        quiet += PERIOD
        if quiet >= HEARTBEAT:
            quiet = 0.0
            yield b": still there\n\n"
        await asyncio.sleep(PERIOD)


def _kept(run: Path) -> dict[str, list[str]]:
    """What a run has kept so far, by folder."""
    names = ("checkpoints", "snapshots", "captures", "samples")
    return {name: sorted(path.name for path in run.glob(f"{name}/step-*")) for name in names}
