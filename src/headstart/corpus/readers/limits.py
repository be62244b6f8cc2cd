"""What one record may cost. Limits on size come first (`records.MAX_TEXT`, `MAX_HTML`).

Python code that takes too long is interrupted, and the record left out. Native code cannot be interrupted:
the kernel ends its process, and the next one passes the record over (`prepare.Progress`). Time is that of
the processor, so that a busy machine does not change what a corpus holds.
"""

import resource
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

MAX_HTML = 16_000_000  # characters of a page: a crawl cuts off at one or five million
SECONDS, GRACE = 60.0, 20.0
MEMORY = 2_000_000_000  # bytes of a worker's data

_disposable = False


class TooLong(Exception):
    """A record took longer than it may."""


def disposable_process() -> None:
    """Say that this process may be ended by the limits: somebody else goes on in its stead."""
    global _disposable
    _disposable = True
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    if sys.platform == "linux":  # elsewhere it limits something else
        _, most = resource.getrlimit(resource.RLIMIT_DATA)
        allowed = MEMORY if most == resource.RLIM_INFINITY else min(MEMORY, most)
        resource.setrlimit(resource.RLIMIT_DATA, (allowed, most))


def allow_more(size: int) -> None:
    """Let this process hold so many bytes more than a worker may: a large model that it has to load."""
    if not size or not _disposable or sys.platform != "linux":
        return
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = MEMORY + 2 * size
    resource.setrlimit(
        resource.RLIMIT_DATA, (wanted if most == resource.RLIM_INFINITY else min(wanted, most), most)
    )


@contextmanager
def interruptible() -> Iterator[None]:
    """Time limits hold inside; apart from them, because it takes longer than they do."""
    if not _in_main_thread():
        yield
        return
    before = signal.signal(signal.SIGVTALRM, _stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGVTALRM, before)


@contextmanager
def limited() -> Iterator[None]:
    """The time limit for what is done inside, where it is `interruptible`.

    Raises:
        TooLong: it was reached in Python code.
    """
    if not _in_main_thread():
        yield
        return
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    if _disposable:
        signal.setitimer(signal.ITIMER_PROF, SECONDS + GRACE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        if _disposable:
            signal.setitimer(signal.ITIMER_PROF, 0)


def _in_main_thread() -> bool:
    """Signals are for the main thread alone."""
    return threading.current_thread() is threading.main_thread()


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise TooLong
