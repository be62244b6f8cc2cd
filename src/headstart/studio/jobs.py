"""Jobs: the product's own commands as child processes, which outlive the server that started them.

A job is a file `.studio/jobs/ID.json` in the first root: the command, its process, and when that began, so
that another server finds it again and takes no other process with the same number for it.
"""

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from headstart.errors import HeadstartError
from headstart.folder import atomic, read_json, write_json

VERBS = (
    *("quickstart", "corpus", "tokenizer", "pretrain", "finetune", "head-start", "duel", "evaluate"),
    "plan sweep",
)
LOG = 20_000  # bytes of a log that are shown


@dataclass(frozen=True)
class Job:
    """A command that was started from the studio."""

    id: str
    verb: str
    arguments: list[str]
    out: str
    """The folder that it writes, as an address."""
    pid: int
    began: str
    """What the system says of the process's beginning; tells it from a later one with the same number."""
    started: float
    """Seconds since 1970."""


class Jobs:
    """The jobs of a root."""

    def __init__(self, root: Path) -> None:
        self.root, self.folder = root, root / ".studio" / "jobs"
        self._children: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, verb: str, arguments: Sequence[str], out: str) -> Job:
        """Start a command.

        Raises:
            HeadstartError: no such verb, or one of its kind is at work.
        """
        if verb not in VERBS:
            raise HeadstartError(f"the studio starts {', '.join(VERBS)}, and not {verb!r}")
        busy = next((job for job in self.all() if job.verb == verb and self.running(job)), None)
        if busy is not None:
            raise HeadstartError(f"a {verb} is at work already ({busy.out}); stop it first, or wait for it")
        self.folder.mkdir(parents=True, exist_ok=True)
        identity = secrets.token_hex(4)
        command = [sys.executable, "-m", "headstart", *verb.split(), *arguments]
        with (self.folder / f"{identity}.log").open("wb") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.root,
                start_new_session=True,
            )
        self._children[process.pid] = process
        job = Job(identity, verb, list(arguments), out, process.pid, began(process.pid) or "", time.time())
        with atomic(self.folder / f"{identity}.json") as made:
            write_json(made, asdict(job))
        return job

    def all(self) -> list[Job]:
        """Every job that is known, the newest first."""
        found = []
        for path in self.folder.glob("*.json"):
            try:
                found.append(Job(**read_json(path, dict)))
            except (HeadstartError, TypeError):  # somebody else's file
                continue
        return sorted(found, key=lambda job: -job.started)

    def find(self, identity: str) -> Job:
        """The job of an id; a `HeadstartError` where there is none."""
        for job in self.all():
            if job.id == identity:
                return job
        raise HeadstartError("there is no such job; look at the list of jobs")

    def running(self, job: Job) -> bool:
        """Whether the process of a job is at work."""
        child = self._children.get(job.pid)
        if child is not None and child.poll() is not None:
            return False
        return bool(job.began) and began(job.pid) == job.began

    def stop(self, job: Job) -> None:
        """Ask a job to save and end: all that it starts belongs to its group."""
        if self.running(job):
            os.killpg(job.pid, signal.SIGTERM)

    def log(self, job: Job) -> str:
        """The end of what a job has printed."""
        path = self.folder / f"{job.id}.log"
        try:
            with path.open("rb") as file:
                file.seek(max(0, path.stat().st_size - LOG))
                return file.read().decode("utf-8", errors="replace").replace("\r", "\n")
        except OSError:
            return ""


def began(pid: int) -> str | None:
    """When a process began, as the system counts; None: there is none, or only its remains."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        if sys.platform == "linux":
            return None
        answer = subprocess.run(
            ["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
        )
        return answer.stdout.strip() or None
    return None if fields[0] in ("Z", "X") else fields[19]
