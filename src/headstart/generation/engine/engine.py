"""The engine: a scheduler with a thread of its own, and handles for those who ask."""

from collections.abc import Callable, Iterator
from queue import SimpleQueue
from threading import Condition, Thread
from time import monotonic

from headstart.generation.cpu_decoder import CPUDecoder
from headstart.generation.engine.backend import Backend
from headstart.generation.engine.compiled_rows import CompiledRows
from headstart.generation.engine.model_rows import ModelRows
from headstart.generation.engine.request import (
    EngineFailed,
    Event,
    GenerationRequest,
    Scored,
    ShuttingDown,
    Sink,
)
from headstart.generation.engine.scheduler import Counters, EngineSettings, Scheduler, StepReport
from headstart.generation.engine.sequence import Sequence
from headstart.models.transformer import Transformer

MOST_CACHE_BYTES = 4 * 2**30


def make_backend(model: Transformer, decoder: CPUDecoder | None, settings: EngineSettings) -> Backend:
    """The compiled decoder where there is one, else the model itself."""
    cache_bytes = settings.cache_bytes or min(MOST_CACHE_BYTES, free_memory() // 4)
    if decoder is not None:
        return CompiledRows(decoder, cache_bytes)
    return ModelRows(model, cache_bytes)


def free_memory() -> int:
    """Bytes that are free now; where the system does not tell, as many as make the most that is taken."""
    try:
        with open("/proc/meminfo") as file:  # noqa: PTH123
            for line in file:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 4 * MOST_CACHE_BYTES


class Handle:
    """One request on its way: its events, in order, and what is known of it."""

    def __init__(self, sequence: Sequence, events: SimpleQueue[Event]) -> None:
        self._sequence, self._events = sequence, events

    def __iter__(self) -> Iterator[Event]:
        """Events until the last one, which has `finish`; waits for each. Not for a request with a sink."""
        while True:
            event = self._events.get()
            yield event
            if event.finish is not None:
                return

    def cancel(self) -> None:
        """The next step drops the request; its last event then says "cancelled", if it had not ended."""
        self._sequence.cancelled = True

    @property
    def prompt_scores(self) -> list[Scored]:
        """Of every prompt token, once the first event is there; none unless they were asked for."""
        return self._sequence.prompt_scores

    @property
    def cached_tokens(self) -> int:
        """How many of the prompt's tokens had been computed for an earlier one."""
        return self._sequence.cached_tokens

    @property
    def waits(self) -> bool:
        """Whether the request has no room so far."""
        return self._sequence.started_at is None

    @property
    def queue_seconds(self) -> float:
        """How long the request waited for room, or has waited so far."""
        return (self._sequence.started_at or monotonic()) - self._sequence.submitted_at


class Engine:
    """Writes for many at once, in a thread of its own.

    It knows ids alone: text, stop strings and templates are the asker's. With a compiled decoder, what is
    written for a request is bitwise what is written for it alone.
    """

    def __init__(
        self,
        model: Transformer,
        decoder: CPUDecoder | None,
        settings: EngineSettings | None = None,
        on_step: Callable[[StepReport], None] | None = None,
    ) -> None:
        """
        Args:
            decoder: the model as compiled code reads it (`make_decoder`); None: the model itself computes.
            on_step: told of every step, in the engine's thread.
        """
        model.eval()
        settings = settings or EngineSettings()
        self.scheduler = Scheduler(make_backend(model, decoder, settings), settings, on_step)
        self.last_step = monotonic()
        """When a step last ended, or work last began, in seconds of the monotonic clock."""
        self.failed: BaseException | None = None
        """What ended the engine's thread, if a fault did."""
        self._closing = self._stopping = False
        self._changed = Condition()
        self._thread = Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    def submit(self, request: GenerationRequest, sink: Sink | None = None) -> Handle:
        """Ask for a text.

        Args:
            sink: takes the events, in the engine's thread, and may not wait; None: the handle gives them.

        Raises:
            HeadstartError: a request that the model cannot answer, `ContextExceeded` among them; `QueueFull`,
                `ShuttingDown`, `EngineFailed`: nothing is wrong with the request.
        """
        with self._changed:
            if self.failed is not None:
                raise EngineFailed("the engine has failed; start it again")
            if self._closing:
                raise ShuttingDown("the engine is shutting down")
            if self.scheduler.idle:
                self.last_step = monotonic()
            events: SimpleQueue[Event] = SimpleQueue()
            sequence = self.scheduler.submit(request, sink or events.put)
            self._changed.notify_all()
        return Handle(sequence, events)

    def drain(self, seconds: float | None = None) -> bool:
        """Take no more requests and wait until all have ended; False where that took too long."""
        with self._changed:
            self._closing = True
            return self._changed.wait_for(lambda: self.scheduler.idle or self.failed is not None, seconds)

    def close(self) -> None:
        """Cancel what is left, and end the thread."""
        with self._changed:
            self._closing = self._stopping = True
            self._changed.notify_all()
        self._thread.join()

    @property
    def counters(self) -> Counters:
        """What the engine has done so far."""
        return self.scheduler.counters

    @property
    def running(self) -> int:
        """Requests that are being read or written."""
        return len(self.scheduler.running)

    @property
    def waiting(self) -> int:
        """Requests without room so far."""
        return len(self.scheduler.waiting)

    @property
    def cache_use(self) -> float:
        """The share of the cache that requests have, 0 to 1."""
        return self.scheduler.backend.cache_use

    @property
    def stuck_seconds(self) -> float:
        """For how long there has been work and no step has ended: what a watchdog looks at."""
        return 0.0 if self.scheduler.idle else monotonic() - self.last_step

    def _run(self) -> None:
        try:
            while self._wait_for_work():
                self.scheduler.step()
                self.last_step = monotonic()
                if self.scheduler.idle:
                    with self._changed:
                        self._changed.notify_all()
            self.scheduler.end_all(Event(None, "cancelled"))
        except BaseException as error:
            with self._changed:
                self.failed = error
                self._changed.notify_all()
            self.scheduler.end_all(Event(None, "error", error="the engine has failed"))
            raise

    def _wait_for_work(self) -> bool:
        """Until there is some, or False where the engine is to end."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopping or not self.scheduler.idle)
            return not self._stopping
