"""A lock on an output, which dies with the process that holds it.

Three things hold it. `flock` works on one machine and on network file systems that pass it on; the kernel
releases it when the process ends, however it ends. For file systems that do not, the lock file names its
owner: on the same machine the process is looked up; on another machine the owner touches the file every few
seconds, so an owner whose file has not been touched for a minute is dead.
"""

import errno
import fcntl
import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TypedDict, cast

import orjson

from headstart.errors import HeadstartError

RENEWED_EVERY = 10.0
"""Seconds between two touches of a lock file."""
LOST_AFTER = 60.0
"""Seconds without a touch after which an owner on another machine is taken for dead."""
_FORBIDDEN = (errno.EACCES, errno.EROFS, errno.EPERM)
_UNSUPPORTED = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EBADF)


class InUse(HeadstartError):
    """Another process, or another thread of this one, holds the lock."""


@contextmanager
def locked(path: Path, what: Path) -> Iterator[Callable[[], bool]]:
    """Hold the lock file `path` while the block runs; the file is removed at the end.

    Yields a function that says whether the file is still there: not, where somebody deleted its folder.

    Args:
        path: the lock file, in a folder that exists.
        what: the output that the lock protects, for the sentence.

    Raises:
        InUse: somebody else holds the lock.
    """
    try:
        descriptor = _acquire(path, what)
    except OSError as error:
        if error.errno not in _FORBIDDEN:
            raise
        # Where nothing can be written, what is finished can still be looked at, unless somebody else writes.
        refuse_held(path, what)
        yield lambda: True
        return
    ended = threading.Event()
    renewal = threading.Thread(target=_renew, args=(descriptor, ended), daemon=True)
    renewal.start()
    try:
        yield partial(_is_at, descriptor, path)
    finally:
        ended.set()
        renewal.join()
        if _is_at(descriptor, path):
            path.unlink(missing_ok=True)
        os.close(descriptor)


@contextmanager
def waited_for(path: Path, what: Path, every: float = 0.2) -> Iterator[None]:
    """The same, once whoever holds the lock lets go of it: for what is held for moments.

    Args:
        every: seconds between two tries.
    """
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(locked(path, what))
                break
            except InUse:
                time.sleep(every)
        yield


def _acquire(path: Path, what: Path) -> int:
    """The descriptor of the lock file, held and signed."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            owner = _owner(descriptor)
            if not _flock(descriptor) or _alive(owner, descriptor, path.parent):
                raise InUse(_refusal(owner or _owner(descriptor), what))
            if _is_at(descriptor, path):
                _sign(descriptor)
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # the last owner removed the file after it was opened here


def refuse_held(path: Path, what: Path) -> None:
    """See whether somebody holds a lock file, without taking it.

    Raises:
        InUse: somebody does.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:  # there is none, or it is a secret
        return
    try:
        owner = _owner(descriptor)
        if not _flock(descriptor) or _alive(owner, descriptor, path.parent):
            raise InUse(_refusal(owner, what))
    finally:
        os.close(descriptor)


def _flock(descriptor: int) -> bool:
    """Whether no other process has the kernel's lock; yes, too, where the file system has none."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
    return True


class Owner(TypedDict, total=False):
    """What a lock file says about its owner."""

    pid: int
    host: str
    boot: str
    started: str | None
    since: str


def _owner(descriptor: int) -> Owner:
    """What the lock file says about its owner; empty where it is new or damaged."""
    try:
        content = orjson.loads(os.pread(descriptor, 4096, 0))
    except (OSError, orjson.JSONDecodeError):
        return {}
    return cast(Owner, content) if isinstance(content, dict) else {}


def _alive(owner: Owner, descriptor: int, folder: Path) -> bool:
    """Whether a process that signed the lock file still works, as far as can be seen from here."""
    if not owner:
        return False
    if (owner.get("host"), owner.get("boot")) == (socket.gethostname(), _boot()):
        pid = owner.get("pid")
        return isinstance(pid, int) and _started(pid) == owner.get("started") is not None
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:  # its time is that of the file system's own clock
            now = os.fstat(probe.fileno()).st_mtime
    except OSError as error:
        if error.errno not in _FORBIDDEN:
            raise
        now = time.time()
    # A touch in the future is an old one too: the clock was put back since, and nobody has touched it again.
    return abs(now - os.fstat(descriptor).st_mtime) < LOST_AFTER


def _sign(descriptor: int) -> None:
    facts = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
        "started": _started(os.getpid()),
        "boot": _boot(),
    }
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, orjson.dumps(facts), 0)


def _started(pid: int) -> str | None:
    """When a process of this machine began, in ticks since the machine did; None: there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        pass
    try:  # no /proc: the number alone has to do
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return None
    except PermissionError:
        pass
    return None if Path("/proc/self/stat").exists() else "unknown"


def _boot() -> str:
    """Which start of this machine it is: after another one, process numbers mean nothing."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether the open file is still the one at `path`."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _renew(descriptor: int, ended: threading.Event) -> None:
    while not ended.wait(RENEWED_EVERY):
        with suppress(OSError):
            os.utime(descriptor)


def _refusal(owner: Owner, what: Path) -> str:
    pid, host = owner.get("pid", "?"), owner.get("host", "another machine")
    since = f" since {owner['since']}" if "since" in owner else ""
    here = host == socket.gethostname()
    todo = "wait until it ends, or stop it" if here else "if that process is gone, start again in a minute"
    return f"{what} is in use by process {pid} on {host}{since}; {todo}"
