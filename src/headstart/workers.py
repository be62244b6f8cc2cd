"""Cores, and worker processes that start clean, leave Ctrl-C to their parent, and end when it does."""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerContext
from typing import Any, TypeVar

from headstart.errors import HeadstartError

T = TypeVar("T")


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def environment_of_child() -> dict[str, str]:
    """The environment in which another Python finds the modules that this one finds, wherever they lie."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


class WorkerPool(ProcessPoolExecutor):
    """A pool whose processes may not come up at all, as with too little memory (`ulimit -v`)."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> "Future[T]":
        """See `ProcessPoolExecutor`; a `HeadstartError` where the server that forks them is gone."""
        try:
            return super().submit(fn, *args, **kwargs)
        except (EOFError, ConnectionError):
            raise HeadstartError(
                "no worker process can be started, for lack of memory, as it seems; raise the limit "
                "(ulimit -v), close other programs, or take fewer workers"
            ) from None


def worker_pool(
    workers: int, preload: str, prepare: Callable[..., None] | None = None, arguments: tuple[Any, ...] = ()
) -> WorkerPool:
    """A pool of processes forked from a server that never held threads or open files of this one.

    Args:
        workers: how many processes.
        preload: a module that the server imports once, so that no worker has to.
        prepare: called with `arguments` in every worker before its first task.
    """
    return WorkerPool(workers, fork_server(preload), _start, (prepare, arguments))


def fork_server(preload: str) -> ForkServerContext:
    """The context of processes that a server forks. Ctrl-C, which a terminal sends to all processes, does not
    reach the server, not even while it comes up."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["headstart.worker_server", preload])
    resource_tracker.ensure_running()  # it ends with SIGINT no longer blocked
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # the server inherits that
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    return context


def _start(prepare: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
    guard_process()
    if prepare is not None:
        prepare(*arguments)


def guard_process() -> None:
    """In a worker: leave Ctrl-C to the parent, and end when it does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    if parent is not None:  # a killed parent cannot say goodbye
        threading.Thread(target=lambda: (wait([parent.sentinel]), os._exit(1)), daemon=True).start()
