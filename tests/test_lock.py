"""A lock names its owner, and dies with it."""

import errno
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import orjson
import pytest

from headstart import lock
from headstart.errors import HeadstartError
from headstart.lock import LOST_AFTER, locked

HOLD = """
import sys, time
from pathlib import Path
from headstart.lock import locked
with locked(Path(sys.argv[1]), Path("out")):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / ".lock")], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.wait()


def no_flock(descriptor: int, how: int) -> None:
    raise OSError(errno.EOPNOTSUPP, "Operation not supported")


def sign(path: Path, **facts) -> None:
    path.write_bytes(
        orjson.dumps({"pid": 1, "host": "elsewhere", "since": "2026-01-01", "started": "5"} | facts)
    )


@pytest.mark.parametrize("kernel", [True, False])
def test_another_process_is_refused_until_its_owner_is_killed(tmp_path, holder, kernel, monkeypatch) -> None:
    if not kernel:
        monkeypatch.setattr(lock.fcntl, "flock", no_flock)
    path = tmp_path / ".lock"
    with pytest.raises(HeadstartError) as caught, locked(path, tmp_path / "out"):
        pass
    said = str(caught.value)
    assert f"out is in use by process {holder.pid} on {socket.gethostname()} since 20" in said
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with locked(path, tmp_path):
        assert orjson.loads(path.read_bytes())["pid"] == os.getpid()
    assert not path.exists()


def test_the_same_process_is_refused_too(tmp_path) -> None:
    path = tmp_path / ".lock"
    with locked(path, tmp_path), pytest.raises(HeadstartError, match="in use"), locked(path, tmp_path):
        pass
    assert not path.exists()


def test_another_machine_is_believed_as_long_as_it_renews(tmp_path) -> None:
    path = tmp_path / ".lock"
    sign(path)
    with (
        pytest.raises(HeadstartError, match="on elsewhere since 2026-01-01; if that process is gone"),
        locked(path, tmp_path),
    ):
        pass
    before = time.time() - LOST_AFTER - 5
    os.utime(path, (before, before))
    with locked(path, tmp_path):
        pass


def test_a_number_that_another_process_has_now_is_no_owner(tmp_path) -> None:
    path = tmp_path / ".lock"
    sign(path, pid=os.getpid(), host=socket.gethostname(), boot=lock._boot())
    with locked(path, tmp_path):
        pass
    sign(
        path,
        pid=os.getpid(),
        host=socket.gethostname(),
        boot=lock._boot(),
        started=lock._started(os.getpid()),
    )
    with pytest.raises(HeadstartError, match="in use"), locked(path, tmp_path):
        pass


@pytest.mark.parametrize("content", [b"", b"\0" * 50, b"[]", b'{"pid": "x", "host": 3}'])
def test_a_damaged_lock_file_holds_nobody_up_for_long(tmp_path, content) -> None:
    path = tmp_path / ".lock"
    path.write_bytes(content)
    os.utime(path, (0, 0))
    with locked(path, tmp_path):
        pass


def test_the_owner_renews(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(lock, "RENEWED_EVERY", 0.01)
    path = tmp_path / ".lock"
    with locked(path, tmp_path):
        os.utime(path, (0, 0))
        while path.stat().st_mtime == 0:  # ends with the first touch
            time.sleep(0.01)


def forbid_writing(monkeypatch) -> None:
    """Lock files are another user's: they can be read, and nothing can be written beside them."""

    def forbidden(path, flags: int, *mode: int) -> int:
        if flags & (os.O_RDWR | os.O_CREAT):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return opened(path, flags, *mode)

    opened = os.open
    monkeypatch.setattr(lock.os, "open", forbidden)


@pytest.mark.parametrize("kernel", [True, False])
def test_the_lock_of_another_user_holds_too(tmp_path, holder, kernel, monkeypatch) -> None:
    path = tmp_path / ".lock"
    forbid_writing(monkeypatch)
    if not kernel:
        monkeypatch.setattr(lock.fcntl, "flock", no_flock)
    with pytest.raises(HeadstartError, match=f"in use by process {holder.pid}"), locked(path, tmp_path):
        pass
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with locked(path, tmp_path) as is_there:  # it cannot be signed, but what is there can be looked at
        assert is_there()
    path.unlink()
    with locked(path, tmp_path):
        pass
    assert not path.exists()


def test_a_clock_that_was_put_back_keeps_no_lock(tmp_path) -> None:
    path = tmp_path / ".lock"
    sign(path)
    ahead = time.time() + LOST_AFTER + 3600
    os.utime(path, (ahead, ahead))
    with locked(path, tmp_path):
        pass
