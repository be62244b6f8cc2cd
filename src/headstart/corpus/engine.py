"""Where the steps of a corpus run: in processes of this machine, on a Ray cluster, or as Slurm arrays.

An engine gets a step, the work folder and the numbers to run it for; documents never travel. What
a step has written stays, so an engine may lose workers or die, and another may go on.
"""

import os
import resource
import shlex
import shutil
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Literal, cast, get_args

from headstart.corpus.readers.limits import disposable_process
from headstart.corpus.work import Step, step_named
from headstart.errors import HeadstartError, nearest
from headstart.folder import read_json, write_json
from headstart.workers import fork_server, guard_process

Name = Literal["local", "ray", "slurm"]
# Processes may die at one place of a task (for lack of memory, say) this many times before the run gives up.
ATTEMPTS = 4
# Tasks that Ray holds, and jobs of a Slurm array, at once: Slurm allows 1,001 unless told otherwise.
AT_ONCE = 1_000
# Seconds between two looks at the workers, and how many that find nothing done end one.
LOOK_EVERY, MOST_LOOKS = 5.0, 8


def engine_named(name: str) -> Name:
    """The engine of that name.

    Raises:
        HeadstartError: there is none.
    """
    for known in get_args(Name):
        if name == known:
            return known
    raise HeadstartError(f"there is no engine {name!r}{nearest(name, get_args(Name))}")


def run_step(name: str, folder: str, number: int) -> int:
    """Run a step for one number, in a process that may die over it; returns the number."""
    disposable_process()
    step_named(name)(Path(folder), number)
    return number


def run(engine: Name, step: Step, folder: Path, numbers: Sequence[int], workers: int) -> Iterator[int]:
    """Run a step for all numbers, in any order; yields each number when it is done.

    Args:
        workers: how many processes at once; 0 for none but this one, which then dies with a step.

    Raises:
        HeadstartError: workers died again and again, or the engine is not to be had.
    """
    if not numbers:
        return iter(())
    if engine == "ray":
        return _on_ray(step.name, folder, numbers)
    if engine == "slurm" and (step.risky or len(numbers) > 1):  # else waiting for a place takes longer
        return _on_slurm(step.name, folder, numbers, workers)
    return _here(step, folder, numbers, min(workers, len(numbers)))


def _here(step: Step, folder: Path, numbers: Sequence[int], workers: int) -> Iterator[int]:
    """In processes of this machine, each with one number at a time: a death costs what that one was doing."""
    if workers < 1 or (workers == 1 and not step.risky):
        for number in numbers:
            step(folder, number)
            yield number
        return
    context = fork_server(step.name.partition(":")[0])
    deaths = Deaths(step.name, folder)
    waiting = deque(numbers)
    idle: list[_Worker] = []
    busy: dict[Connection, _Worker] = {}
    try:
        while waiting or busy:
            while waiting and len(busy) < workers:
                worker = idle.pop() if idle else _Worker(context)
                worker.start(step.name, folder, waiting.popleft())
                busy[worker.pipe] = worker
            for pipe in wait(list(busy), LOOK_EVERY):
                worker = busy.pop(cast(Connection, pipe))
                done = worker.result()
                if done is None:
                    deaths.count(worker.number, worker.process.exitcode)
                    waiting.append(worker.number)
                else:
                    idle.append(worker)
                    deaths.none_over(done)
                    yield done
            for worker in busy.values():
                worker.look()
    finally:
        for worker in (*idle, *busy.values()):
            worker.stop()


class _Worker:
    """A process that runs steps until it is stopped or dies."""

    def __init__(self, context: ForkServerContext) -> None:
        self.pipe, theirs = context.Pipe()
        self.number = -1
        self.process = context.Process(target=_serve, args=(theirs,), daemon=True)
        try:
            self.process.start()
        except (EOFError, ConnectionError):  # the server that forks them is gone
            raise HeadstartError(
                "no worker process can be started, for lack of memory, as it seems; raise the limit "
                "(ulimit -v), close other programs, or take fewer workers"
            ) from None
        theirs.close()
        self._seen = ""
        self._still = 0
        """How many looks in a row found nothing done."""

    def look(self) -> None:
        """End a process that stands still: it has used no processor and read nothing since many looks.

        Looks are counted and not seconds, so that a run that was suspended does not end its workers.
        """
        seen = _activity(self.process.pid)
        self._still = self._still + 1 if seen and seen == self._seen else 0
        self._seen = seen
        if self._still >= MOST_LOOKS:
            self.process.kill()

    def start(self, name: str, folder: Path, number: int) -> None:
        self.number, self._still = number, 0
        # A process that is dead already is found so when its result is asked for.
        with suppress(BrokenPipeError):
            self.pipe.send((name, str(folder), number))

    def result(self) -> int | None:
        """The number that was run, or None where the process died over it; raises what the step raised."""
        try:
            done: int | Exception = self.pipe.recv()
        except (EOFError, ConnectionResetError):
            self.process.join()
            return None
        if isinstance(done, Exception):
            raise done
        return done

    def stop(self) -> None:
        self.pipe.close()
        self.process.terminate()
        self.process.join()


def _activity(pid: int | None) -> str:
    """The processor time and the bytes read and written of a process, in whatever form; empty where they are
    not to be had, or while it waits for a disk."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        amounts = Path(f"/proc/{pid}/io").read_text()
    except OSError:
        return ""
    return "" if state == "D" else f"{fields[10:12]} {amounts}"


def _serve(pipe: Connection) -> None:
    guard_process()
    while True:
        try:
            given = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send(run_step(*given))
        except Exception as error:
            pipe.send(error)


class Deaths:
    """Counts the processes that died over each number; too many without progress end the run.

    A step that says in `STEP/NUMBER.last` what it is at (`prepare` does) has made progress when it died
    somewhere else than before.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self._name, self._folder = name, folder
        self._times: dict[int, int] = {}
        self._places: dict[int, bytes] = {}
        self._starved = 0
        """Deaths that look like a lack of memory, since a number was last finished."""

    def none_over(self, number: int) -> None:
        """Note that a number is finished."""
        self._starved = 0

    def count(self, number: int, exit_code: int | None = None) -> None:
        """Note one more death.

        Args:
            exit_code: of the process; it is negative for the number of a signal.

        Raises:
            HeadstartError: it was the last one that is put up with.
        """
        note = self._folder / "prepared" / f"{number:06d}.last"
        place = note.read_bytes() if note.exists() else b""
        place = place.rpartition(b"\n")[2]
        again = place == self._places.get(number)
        self._places[number] = place
        self._times[number] = self._times.get(number, 0) + 1 if again else 1
        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        limited = limit != resource.RLIM_INFINITY
        self._starved += limited or exit_code == -signal.SIGKILL  # which the kernel sends where memory ends
        if self._starved >= 2 * ATTEMPTS:
            said = f"with the limit of {limit >> 20:,} MB that is set (ulimit -v) " if limited else ""
            raise HeadstartError(
                f"worker processes of {self._name} died {self._starved} times {said}and finished nothing: "
                "there is not enough memory; raise the limit, close other programs, or take fewer workers"
            )
        if self._times[number] >= ATTEMPTS:
            raise HeadstartError(
                f"worker processes ended before their time {ATTEMPTS} times over part {number} of "
                f"{self._name}, perhaps for lack of memory; start the same again with fewer workers "
                "(finished parts are kept); in a script, call build() under `if __name__ == '__main__':`"
            )


def _on_ray(name: str, folder: Path, numbers: Sequence[int]) -> Iterator[int]:
    try:
        import ray
    except ImportError:
        raise HeadstartError("--engine ray needs Ray; install headstart[ray]") from None
    if not ray.is_initialized():
        ray.init(log_to_driver=False, include_dashboard=False)
    remote = ray.remote(num_cpus=1, max_retries=0)(run_step)
    deaths = Deaths(name, folder)
    waiting = deque(numbers)
    running: dict[ray.ObjectRef, int] = {}
    while waiting or running:
        while waiting and len(running) < AT_ONCE:
            number = waiting.popleft()
            running[remote.remote(name, str(folder.resolve()), number)] = number
        (done,), _ = ray.wait(list(running))
        number = running.pop(done)
        try:
            yield ray.get(done)
        except (ray.exceptions.WorkerCrashedError, ray.exceptions.NodeDiedError):
            deaths.count(number)
            waiting.append(number)
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None


def _on_slurm(name: str, folder: Path, numbers: Sequence[int], workers: int) -> Iterator[int]:
    if shutil.which("sbatch") is None:
        raise HeadstartError(
            "--engine slurm needs sbatch, which is not on this machine; start it on a login node"
        )
    logs = folder / "slurm"
    logs.mkdir(exist_ok=True)
    title = _file_name(name)
    write_json(logs / f"{title}.json", list(numbers))
    jobs = min(len(numbers), AT_ONCE)
    command = shlex.join(
        [sys.executable, "-m", "headstart.corpus.engine", name, str(folder.resolve()), str(jobs)]
    )
    for _ in range(ATTEMPTS):
        done = subprocess.run(
            [
                "sbatch",
                "--wait",
                f"--job-name=headstart-{title}",
                f"--array=0-{jobs - 1}%{max(workers, 1)}",
                f"--output={logs.resolve()}/{title}-%a.log",
                f"--wrap={command}",
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 0:
            yield from numbers
            return
    why = done.stderr.strip().splitlines()[-1:] or [f"see {logs}"]
    raise HeadstartError(
        f"a Slurm array of {name} failed {ATTEMPTS} times ({why[0]}); start the same again: what is done is "
        "kept"
    )


def _file_name(name: str) -> str:
    """The name of a step, without signs that Slurm or a file system may not take."""
    return name.removeprefix("headstart.corpus.").replace(":", ".").replace(" ", "-")


def _run_job(name: str, folder: str, jobs: int, job: int) -> None:
    """One job of a Slurm array: every number whose turn it is."""
    for number in read_json(Path(folder) / "slurm" / f"{_file_name(name)}.json", list[int])[job::jobs]:
        run_step(name, folder, number)


if __name__ == "__main__":
    _run_job(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(os.environ["SLURM_ARRAY_TASK_ID"]))
