"""Making the runs that are missing: in this process, in several, or on a Ray cluster with a shared folder."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from pathlib import Path
from typing import Any

from headstart.errors import HeadstartError
from headstart.lab.runs import RunCache, RunSpec
from headstart.progress import ProgressBar
from headstart.workers import worker_pool

PRELOAD = "headstart.lab.runs"


def make_runs(cache: RunCache, missing: Sequence[RunSpec], workers: int = 1) -> None:
    """Make runs, each after those that it reads.

    Results do not depend on `workers`: every run is computed by one thread.

    Args:
        missing: those that are not there, before what needs them.
        workers: processes at once; one: this one.
    """
    if workers <= 1:
        with ProgressBar("runs", len(missing), "runs") as bar:
            for spec in missing:
                cache.make(spec)
                bar.advance(1)
        return
    with worker_pool(workers, PRELOAD, one_thread) as pool:

        def first_done(at_work: Sequence[Any]) -> list[Any]:
            done, _ = wait(at_work, return_when=FIRST_COMPLETED)
            for future in done:
                future.result()
            return list(done)

        _in_order(missing, lambda spec: pool.submit(make_run, cache.folder, spec), first_done)


def make_runs_on_ray(cache: RunCache, missing: Sequence[RunSpec]) -> None:
    """The same on a Ray cluster, one task a run; its machines share the laboratory's folder and the text."""
    try:
        import ray
    except ImportError:
        raise HeadstartError("--engine ray needs Ray; install headstart[ray]") from None
    if not ray.is_initialized():
        ray.init(log_to_driver=False, include_dashboard=False)
    remote = ray.remote(num_cpus=1)(make_run_alone)
    folder = cache.folder.absolute()

    def first_done(at_work: Sequence[Any]) -> list[Any]:
        done, _ = ray.wait(list(at_work))
        try:
            ray.get(done)
        except ray.exceptions.RayTaskError as error:
            raise error.cause if isinstance(error.cause, HeadstartError) else error from None
        return list(done)

    _in_order(missing, lambda spec: remote.remote(folder, spec), first_done)


def _in_order(
    missing: Sequence[RunSpec],
    submit: Callable[[RunSpec], Any],
    first_done: Callable[[Sequence[Any]], list[Any]],
) -> None:
    """Submit every run as soon as those that it reads are there."""
    waiting = list(missing)
    at_work: dict[Any, RunSpec] = {}
    with ProgressBar("runs", len(missing), "runs") as bar:
        while waiting or at_work:
            undone = {*waiting, *at_work.values()}
            for spec in [one for one in waiting if not undone & set(one.all()[:-1])]:
                at_work[submit(spec)] = spec
                waiting.remove(spec)
            for done in first_done(list(at_work)):
                del at_work[done]
                bar.advance(1)


def make_run(folder: Path, spec: RunSpec) -> Path:
    """Make one run, in a worker."""
    return RunCache(folder).make(spec)


def make_run_alone(folder: Path, spec: RunSpec) -> Path:
    """The same in a process that nobody prepared."""
    one_thread()
    return make_run(folder, spec)


def one_thread() -> None:
    """Compute with one thread, so that a sum is added in the same order wherever it is made."""
    os.environ["OMP_NUM_THREADS"] = "1"
    import torch

    torch.set_num_threads(1)
