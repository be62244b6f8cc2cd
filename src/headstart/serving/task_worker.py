"""One thread for each model that answers what is queued: inputs of several requests at once, without a timer.

A turn takes inputs of like work from all requests that wait, about `TURN_CHARACTERS` of them; each gets a
fair share, so that a large request takes turns with small ones. A request that has the model to itself, and
fits into a turn, is computed exactly as `Model.predict` computes its list.
"""

import logging
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Condition, Lock, Thread
from time import monotonic
from typing import Any

from headstart.errors import HeadstartError
from headstart.serving.metrics import Metrics
from headstart.serving.request_error import RequestError
from headstart.serving.served_model import Operation, ServedModel
from headstart.serving.settings import Limits

TURN_CHARACTERS = 64 << 10
"""Characters of a turn: some four batches of `BATCH_TOKENS`."""
log = logging.getLogger("headstart.serving")


@dataclass(eq=False)
class Job:
    """One request's inputs on their way."""

    operation: Operation
    option: Any
    """What all inputs computed together have in common: how many words a gap gets, which prompt."""
    inputs: list[Any]
    future: "Future[list[Any]]" = field(default_factory=Future)
    results: list[Any] = field(default_factory=list)
    submitted: float = field(default_factory=monotonic)
    started: float | None = None

    @property
    def queue_seconds(self) -> float:
        """How long it waited for its first turn."""
        return (self.started or monotonic()) - self.submitted

    def take(self, characters: int) -> list[Any]:
        """Inputs for a turn, at least one."""
        taken: list[Any] = []
        for one in self.inputs[len(self.results) :]:
            characters -= size_of(one)
            if taken and characters < 0:
                break
            taken.append(one)
        return taken

    def settle(self, error: Exception | None = None) -> None:
        """Tell the asker, if there still is one; the worker's thread alone does so."""
        if self.future.done() or not self.future.set_running_or_notify_cancel():
            return
        if error is not None:
            self.future.set_exception(error)
        else:
            self.future.set_result(self.results)


class TaskWorker:
    """Answers a model's queued requests in a thread of its own."""

    def __init__(self, model: ServedModel, turn: Lock, limits: Limits, metrics: Metrics) -> None:
        """
        Args:
            turn: held while something is computed, so that models do not take cores from each other.
        """
        self.model, self.turn, self.limits, self.metrics = model, turn, limits, metrics
        self.jobs: deque[Job] = deque()
        self.last_turn = monotonic()
        self.failed = False
        """Whether the thread ended by a fault of its own."""
        self._changed = Condition()
        self._closing = False
        self._thread = Thread(target=self._run, name=f"tasks of {model.description.name}", daemon=True)
        self._thread.start()

    def submit(self, operation: Operation, option: Any, inputs: Sequence[Any]) -> Job:
        """Queue a request; cancelling its future drops what is left of it.

        Raises:
            RequestError: too many wait already, or the server ends.
        """
        job = Job(operation, option, list(inputs))
        assert job.inputs, "a route refuses a request without inputs"
        with self._changed:
            if self._closing:
                raise RequestError(
                    503, "shutting_down", "this server is ending; ask another one, or try again"
                )
            if len(self.jobs) >= self.limits.queued:
                raise RequestError(429, "queue_full", f"{len(self.jobs)} requests wait already; try again")
            if not self.jobs:
                self.last_turn = monotonic()
            self.jobs.append(job)
            self._changed.notify()
        return job

    def close(self) -> None:
        """End the thread; what still waits is told so."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    @property
    def stuck_seconds(self) -> float:
        """For how long work has waited without anything being done."""
        return monotonic() - self.last_turn if self.jobs else 0.0

    def _run(self) -> None:
        try:
            while self._wait_for_work():
                self._turn()
                self.last_turn = monotonic()
        except BaseException:
            log.exception("the thread of %s ended", self.model.description.name)
            self.failed = True
        finally:
            for job in self._taken_out():
                job.settle(RequestError(503, "shutting_down", "this server is ending; try again"))

    def _wait_for_work(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._closing or self.jobs)
            return not self._closing

    def _taken_out(self) -> list[Job]:
        with self._changed:
            self._closing = True
            jobs = list(self.jobs)
            self.jobs.clear()
        return jobs

    def _turn(self) -> None:
        """Compute some inputs of every request that is like the first."""
        with self._changed:
            self._drop()
            if not self.jobs:
                return
            first = self.jobs[0]
            alike = [
                job for job in self.jobs if (job.operation, job.option) == (first.operation, first.option)
            ]
        share = TURN_CHARACTERS // len(alike)
        parts = [(job, job.take(share)) for job in alike]
        for job in alike:
            job.started = job.started or monotonic()
        with self.turn:
            self._compute(parts)
        done = [job for job in alike if len(job.results) == len(job.inputs) or job.future.done()]
        with self._changed:
            for job in alike:
                self.jobs.remove(job)
            self.jobs.extend(job for job in alike if job not in done)  # others first
        for job in done:
            job.settle()

    def _drop(self) -> None:
        """Forget those who left, and those who waited too long."""
        now = monotonic()
        for job in list(self.jobs):
            late = job.started is None and now - job.submitted > self.limits.queue_seconds
            if late:
                waited = f"the request waited {now - job.submitted:.0f} seconds and was given up; try again"
                job.settle(RequestError(503, "queue_timeout", waited))
            if job.future.done():
                self.jobs.remove(job)

    def _compute(self, parts: list[tuple[Job, list[Any]]]) -> None:
        """Compute the parts together; where that does not go, each for itself, so that one cannot spoil the
        others' answers."""
        operation, option = parts[0][0].operation, parts[0][0].option
        inputs = [one for _, part in parts for one in part]
        started = monotonic()
        try:
            results = self.model.compute(operation, option, inputs)
        except Exception as error:
            if len(parts) > 1:
                for one in parts:
                    self._compute([one])
                return
            (job, _) = parts[0]
            if not isinstance(error, HeadstartError):
                log.exception("%s failed at %s", self.model.description.name, operation)
            job.settle(error)
            return
        self.metrics.step_seconds.labels(kind="task").observe(monotonic() - started)
        self.metrics.step_rows.labels(kind="task").observe(len(inputs))
        task = self.model.description.task if operation == "predict" else operation
        self.metrics.items.labels(task=task).inc(len(inputs))
        for job, part in parts:
            job.results += results[: len(part)]
            results = results[len(part) :]


def size_of(given: Any) -> int:
    """About how many characters an input has."""
    if isinstance(given, str):
        return len(given)
    if isinstance(given, dict):
        return sum(map(size_of, given.values()))
    return sum(map(size_of, given)) if isinstance(given, list | tuple) else 8
