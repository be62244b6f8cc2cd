"""Pools of worker processes that cannot come up."""

import subprocess
import sys
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


POOL = """
import os, signal
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import forkserver, spawn
from headstart.workers import worker_pool
if __name__ == "__main__":
    pool = worker_pool(1, "json")
    {at_once}
    try:
        print(pool.submit(len, [1, 2]).result())
    except BrokenProcessPool:
        print("broken")
    pool.shutdown()
"""


@pytest.mark.parametrize(
    ("at_once", "said"),
    [
        ("os.kill(forkserver._forkserver._forkserver_pid, signal.SIGINT)", "2\n"),
        ("spawn.get_preparation_data = lambda name: {'dir': '/not/there'}", "broken\n"),
    ],
)
def test_a_server_and_its_workers_come_up_without_a_trace(tmp_path, at_once, said) -> None:
    """Ctrl-C while they do; and a working folder that goes away, which the parent tells."""
    (tmp_path / "pool.py").write_text(POOL.format(at_once=at_once))
    done = subprocess.run([sys.executable, tmp_path / "pool.py"], capture_output=True, text=True, timeout=600)
    assert (done.returncode, done.stdout, done.stderr) == (0, said, "")
