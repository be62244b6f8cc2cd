"""Where the steps of a corpus run: in processes of this machine, on a Ray cluster, or as Slurm arrays.

An engine gets the name of a step, the work folder and the numbers to run it for; documents never travel. What
a step has written stays, so an engine may lose workers or die, and another may go on.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from importlib import import_module
from pathlib import Path
from typing import Literal, get_args

from headstart.corpus.work import Step
from headstart.errors import HeadstartError, nearest
from headstart.workers import worker_pool

Name = Literal["local", "ray", "slurm"]
# A worker may die under a task (for lack of memory, say) this many times before the run gives up.
ATTEMPTS = 3


def engine_named(name: str) -> Name:
    """The engine of that name.

    Raises:
        HeadstartError: there is none.
    """
    for known in get_args(Name):
        if name == known:
            return known
    raise HeadstartError(f"there is no engine {name!r}{nearest(name, get_args(Name))}")


def step_named(name: str) -> Step:
    """`decide.judge` as the function that it names."""
    module, _, function = name.partition(".")
    step: Step = getattr(import_module(f"headstart.corpus.{module}"), function)
    return step


def run_step(name: str, folder: str, number: int) -> int:
    """Run a step for one number; returns the number."""
    step_named(name)(Path(folder), number)
    return number


def run(engine: Name, name: str, folder: Path, numbers: Sequence[int], workers: int) -> Iterator[int]:
    """Run a step for all numbers, in any order; yields each number when it is done.

    Raises:
        HeadstartError: workers died again and again, or the engine is not to be had.
    """
    if not numbers:
        return iter(())
    if engine == "ray":
        return _on_ray(name, folder, numbers)
    if engine == "slurm":
        return _on_slurm(name, folder, numbers, workers)
    return _here(name, folder, numbers, min(workers, len(numbers)))


def _here(name: str, folder: Path, numbers: Sequence[int], workers: int) -> Iterator[int]:
    if workers <= 1:
        for number in numbers:
            yield run_step(name, str(folder), number)
        return
    left = set(numbers)
    for attempt in range(ATTEMPTS):
        # After a death fewer at once, for it may have been the memory.
        pool = worker_pool(max(1, workers >> attempt), preload=f"headstart.corpus.{name.partition('.')[0]}")
        try:
            futures = [
                pool.submit(run_step, name, str(folder), number) for number in numbers if number in left
            ]
            for future in as_completed(futures):
                left.discard(number := future.result())
                yield number
            return
        except BrokenProcessPool:
            continue
        finally:
            pool.shutdown(cancel_futures=True)
    raise HeadstartError(
        f"worker processes ended before their time {ATTEMPTS} times, perhaps for lack of memory; start the "
        "same again with fewer workers (finished parts are kept); in a script, call build() under "
        "`if __name__ == '__main__':`"
    )


def _on_ray(name: str, folder: Path, numbers: Sequence[int]) -> Iterator[int]:
    try:
        import ray
    except ImportError:
        raise HeadstartError("--engine ray needs Ray; install headstart[ray]") from None
    if not ray.is_initialized():
        ray.init(log_to_driver=False, include_dashboard=False)
    remote = ray.remote(num_cpus=1, max_retries=ATTEMPTS - 1)(run_step)
    waiting = [remote.remote(name, str(folder.resolve()), number) for number in numbers]
    while waiting:
        done, waiting = ray.wait(waiting)
        try:
            yield from ray.get(done)
        except ray.exceptions.WorkerCrashedError:
            raise HeadstartError(
                f"a Ray worker died {ATTEMPTS} times on the same part; start the same again (finished parts "
                "are kept)"
            ) from None


def _on_slurm(name: str, folder: Path, numbers: Sequence[int], workers: int) -> Iterator[int]:
    if shutil.which("sbatch") is None:
        raise HeadstartError(
            "--engine slurm needs sbatch, which is not on this machine; start it on a login node"
        )
    logs = folder / "slurm"
    logs.mkdir(exist_ok=True)
    command = f"{sys.executable} -m headstart.corpus.engine {name} {folder.resolve()}"
    done = subprocess.run(
        [
            "sbatch",
            "--wait",
            f"--job-name=headstart-{name}",
            f"--array={_ranges(numbers)}%{workers}",
            f"--output={logs.resolve()}/{name}-%a.log",
            f"--wrap={command}",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        why = done.stderr.strip().splitlines()[-1:] or [f"see {logs}"]
        raise HeadstartError(
            f"a Slurm array of {name} failed ({why[0]}); start the same again: what is done is kept"
        )
    yield from numbers


def _ranges(numbers: Sequence[int]) -> str:
    """Ascending numbers as Slurm writes them: `0-4,7`."""
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ",".join(f"{a}-{b}" if a < b else str(a) for a, b in ranges)


if __name__ == "__main__":  # one task of a Slurm array
    run_step(sys.argv[1], sys.argv[2], int(os.environ["SLURM_ARRAY_TASK_ID"]))
