"""Which rows a step computes: a token of every text that is being written, and parts of prompts between them.

A step takes so many rows of prompts that it lasts about `step_ms`, so that a long prompt delays the other
texts by one step at a time; but never fewer than make good use of weights that are read once for all rows.
Half of those rows go to the prompts with the least left to read, the other half to prompts in turn; none is
passed over more than `PATIENCE` times.
"""

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from time import monotonic

import torch

from headstart.errors import HeadstartError
from headstart.generation.engine.backend import Backend, Part
from headstart.generation.engine.request import (
    Event,
    Finish,
    GenerationRequest,
    QueueFull,
    Sink,
)
from headstart.generation.engine.sequence import Sequence

FEWEST, MOST = 64, 256
"""Between these the budget of prompt rows finds its place.

With 64 rows the compiled decoder has about 95% of its full speed, and a step takes about four times what a
step without prompts does, whatever the size of the model; with 16 rows a prompt takes half as long again.
"""
PATIENCE = 8

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EngineSettings:
    """Limits of an engine."""

    cache_bytes: int | None = None
    """Keys and values of all texts together; None: a quarter of the free memory, at most 4 GiB."""
    step_ms: float = 50.0
    """How long a step with prompts in it may take, by which its rows are counted out."""
    budget: int | None = None
    """So many rows of prompts a step, whatever they take; None: by `step_ms`."""
    most_running: int = 256
    """Texts that are read and written at the same time."""
    queue: int | None = 256
    """Requests that may wait for room; None: any number."""


@dataclass
class Counters:
    """What an engine has done, in whole numbers that only grow, for whoever measures it."""

    steps: int = 0
    rows: int = 0
    """Tokens that the model has read."""
    prompt_tokens: int = 0
    generation_tokens: int = 0
    prefix_queries: int = 0
    """Prompt tokens that were looked for in the cache of prefixes."""
    prefix_hits: int = 0
    """Prompt tokens that were found there."""
    finished: dict[Finish, int] = field(
        default_factory=lambda: {"stop": 0, "length": 0, "cancelled": 0, "error": 0}
    )


@dataclass(frozen=True)
class StepReport:
    """One step, for whoever measures steps."""

    seconds: float
    rows: int


class Scheduler:
    """Requests in, events out, a step at a time. One thread calls `step`; any may call `submit`."""

    def __init__(
        self,
        backend: Backend,
        settings: EngineSettings,
        on_step: Callable[[StepReport], None] | None = None,
    ) -> None:
        self.backend, self.settings, self.on_step = backend, settings, on_step
        self.counters = Counters()
        self.waiting: deque[Sequence] = deque()
        self.running: list[Sequence] = []
        """In the order in which they were given room; prompts take turns in it."""
        self.budget = settings.budget or FEWEST
        self._queue = Lock()

    def submit(self, request: GenerationRequest, sink: Sink) -> Sequence:
        """Queue a request; its events go to `sink`.

        Raises:
            ContextExceeded: it can never have the room that it needs.
            QueueFull: too many wait already.
        """
        sequence = self.backend.sequence(request, sink)
        with self._queue:
            if self.settings.queue is not None and len(self.waiting) >= self.settings.queue:
                raise QueueFull(f"{len(self.waiting)} requests are waiting already; ask again later")
            self.waiting.append(sequence)
        return sequence

    @property
    def idle(self) -> bool:
        return not self.running and not self.waiting

    @torch.no_grad()
    def step(self) -> None:
        """Drop who left, let in who fits, compute one call of rows, and tell what came of it."""
        started = monotonic()
        self._drop()
        self._admit()
        parts = self._parts()
        if not parts:
            return
        logits = self.backend.read(parts)
        for part, found in zip(parts, logits, strict=True):
            self._take(part, found)
        rows, seconds = sum(part.count for part in parts), monotonic() - started
        self.counters.steps += 1
        self.counters.rows += rows
        self._adapt(parts, rows, seconds)
        if self.on_step is not None:
            self.on_step(StepReport(seconds, rows))

    def end_all(self, event: Event) -> None:
        """End every request with this event."""
        with self._queue:
            waiting = list(self.waiting)
            self.waiting.clear()
        for sequence in [*self.running, *waiting]:
            self._end(sequence, event)

    def _drop(self) -> None:
        for sequence in [one for one in self.running if one.cancelled]:
            self._end(sequence, Event(None, "cancelled"))
        with self._queue:
            left = [one for one in self.waiting if one.cancelled]
            for sequence in left:
                self.waiting.remove(sequence)
        for sequence in left:
            self._end(sequence, Event(None, "cancelled"))

    def _admit(self) -> None:
        """Let in by arrival; who does not fit yet lets nobody pass."""
        while self.waiting and len(self.running) < self.settings.most_running:
            sequence = self.waiting[0]
            if not self.backend.admit(sequence):
                return
            with self._queue:
                self.waiting.popleft()
            sequence.started_at = monotonic()
            self.running.append(sequence)
            if self.backend.finds_prefixes(sequence):
                self.counters.prefix_queries += len(sequence.prompt)
                self.counters.prefix_hits += sequence.cached_tokens

    def _parts(self) -> list[Part]:
        """What each sequence reads in this step."""
        decoding = [one for one in self.running if one.decoding]
        reading = [one for one in self.running if not one.decoding]
        counts = share(reading, self.budget, self.backend.whole_prompts)
        for sequence in reading:
            sequence.passed_over = 0 if counts.get(sequence) else sequence.passed_over + 1
        if self.running and reading:  # the prompt whose turn it was is the last of them next time
            first = reading[0]
            self.running.remove(first)
            self.running.append(first)
        return [Part(one, 1) for one in decoding] + [Part(one, count) for one, count in counts.items()]

    def _take(self, part: Part, logits: torch.Tensor | None) -> None:
        """Go on with a sequence after some of its tokens were read."""
        sequence, first, scores = part.sequence, part.sequence.read, part.scores_prompt
        sequence.read += part.count
        prompt = len(sequence.prompt)
        if first < prompt and not sequence.begin:
            self.counters.prompt_tokens += min(sequence.read, prompt) - first
        try:
            if scores:
                assert logits is not None
                sequence.score_prompt(logits, first)
            if sequence.unread:
                return
            assert logits is not None
            event = sequence.advance(logits[-1]) if sequence.longest else Event(None, "length")
        except HeadstartError as error:
            event = Event(None, "error", error=str(error))
        except Exception:  # of a grammar, which is not ours: it ends its own text, not the others
            log.exception("a text ended by a fault")
            event = Event(None, "error", error="a fault ended this text; the log has it")
        if event.scored is not None:
            self.counters.generation_tokens += 1
        if event.finish is not None:
            self._end(sequence, event)
            return
        self.backend.slide(sequence)
        _tell(sequence, event)

    def _end(self, sequence: Sequence, event: Event) -> None:
        """Give its room back, then tell the asker."""
        if sequence in self.running:
            self.running.remove(sequence)
            self.backend.release(sequence)
        assert event.finish is not None
        self.counters.finished[event.finish] += 1
        _tell(sequence, event)

    def _adapt(self, parts: list[Part], rows: int, seconds: float) -> None:
        """Find how many prompt rows make a step as long as it may be."""
        reading = sum(part.count for part in parts if part.count > 1)
        if self.settings.budget is not None or reading < self.budget // 2:
            return
        fitting = rows * self.settings.step_ms / 1000 / max(seconds, 1e-6)
        self.budget = int(min(max(FEWEST, fitting, self.budget / 2), MOST, 2 * self.budget))


def _tell(sequence: Sequence, event: Event) -> None:
    """An asker whose sink fails is an asker that has left."""
    try:
        sequence.sink(event)
    except Exception:
        log.exception("the sink of a request failed; it is cancelled")
        sequence.cancelled = True


def share(reading: list[Sequence], budget: int, whole: bool) -> dict[Sequence, int]:
    """How many tokens of each prompt a step reads: `budget` together, as the module says.

    Args:
        reading: prompts in turn, the first one's turn being now.
        whole: a prompt is read at once or not at all; the first one then whatever its length.
    """
    counts: dict[Sequence, int] = {}
    left = budget

    def give(sequence: Sequence, most: int) -> int:
        wanted = sequence.unread - counts.get(sequence, 0)
        given = min(wanted, most)
        if whole and given < wanted:
            given = 0 if counts else wanted
        if given:
            counts[sequence] = counts.get(sequence, 0) + given
        return given

    for sequence in [one for one in reading if one.passed_over >= PATIENCE]:
        left -= give(sequence, max(1, left // 2))
    half = left // 2
    for sequence in sorted(reading, key=lambda one: one.unread):
        if half < 1 or left < 1:
            break
        given = give(sequence, half)
        half, left = half - given, left - given
    for sequence in reading:
        if left < 1:
            break
        left -= give(sequence, left)
    return counts
