"""Pools of worker processes that cannot come up."""

from concurrent.futures import ProcessPoolExecutor

import pytest

from headstart.errors import HeadstartError
from headstart.workers import worker_pool


def test_processes_that_cannot_be_started_are_said(monkeypatch) -> None:
    """The server that forks them died: what multiprocessing makes of it is no sentence."""

    def gone(*given, **named):
        raise EOFError("unexpected EOF")

    monkeypatch.setattr(ProcessPoolExecutor, "submit", gone)
    pool = worker_pool(1, "json")
    with pytest.raises(HeadstartError, match="no worker process can be started"):
        pool.submit(len, [])
    pool.shutdown()
