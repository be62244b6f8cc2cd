"""How a command is told to stop, and what is not stopped in the middle."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from headstart.errors import Stopped

_holding = 0
"""How many blocks are `undisturbed`."""
_told: int | None = None
"""The signal that waits for them."""


def raise_stopped(number: int, frame: FrameType | None) -> None:
    """The handler of a signal to stop.

    Raises:
        Stopped: nothing is `undisturbed`.
    """
    global _told
    if _holding:
        _told = number
        return
    raise Stopped(f"stopped by {signal.Signals(number).name}; start the same command again to go on")


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let a signal to stop wait while the block runs: for moments in which things are put back in order."""
    global _holding, _told
    _holding += 1
    try:
        yield
    finally:
        _holding -= 1
        told, _told = _told, None
    if told is not None:
        os.kill(os.getpid(), told)
