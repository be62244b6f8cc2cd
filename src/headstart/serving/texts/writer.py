"""From requests of the engine to texts: pieces as they become certain, of several texts at once.

The engine's thread hands its events to the event loop; here tokens become text, stop strings end it, and what
was asked for is counted. Leaving the loop early, for whatever reason, cancels what is still being written.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Literal

from headstart.errors import HeadstartError
from headstart.generation.engine.engine import Engine, Handle
from headstart.generation.engine.request import (
    ContextExceeded,
    EngineFailed,
    Event,
    GenerationRequest,
    Scored,
    ShuttingDown,
    Sink,
)
from headstart.generation.text_stream import TextStream
from headstart.serving.guard import RequestRecord
from headstart.serving.metrics import Metrics
from headstart.serving.request_error import RequestError, unfit
from headstart.serving.settings import Limits
from headstart.tokenizer.base import Tokenizer

EVENT_BYTES = 256
"""About what an event takes in a stream."""


@dataclass(frozen=True)
class Written:
    """What a text grows by."""

    text: str
    """Certain now; may be empty."""
    scored: Scored | None
    """The token, where there is one: of a text that ends, also the one that ended it."""
    finish: Literal["stop", "length"] | None
    ended: bool = False
    """Whether the token is no part of the text, for it ended it."""


@dataclass(eq=False)
class Row:
    """One text on its way."""

    request: GenerationRequest
    stream: TextStream
    handle: Handle | None = None
    began: float = field(default_factory=monotonic)
    last: float | None = None
    """When its last token came."""
    finished: bool = False


class Writer:
    """Several texts, written at once for one request."""

    def __init__(
        self,
        engine: Engine,
        tokenizer: Tokenizer,
        requests: Sequence[GenerationRequest],
        limits: Limits,
        metrics: Metrics,
        record: RequestRecord,
        opens: bool = False,
    ) -> None:
        """
        Args:
            opens: the first token opens a text, as in an encoder-decoder.
        """
        self.engine, self.tokenizer, self.limits, self.metrics = engine, tokenizer, limits, metrics
        self.record = record
        self.completion_tokens = 0
        """Written so far, of all texts."""
        self.rows = [Row(one, TextStream(one.config.stop, opens)) for one in requests]
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[tuple[int, Event]] = asyncio.Queue()
        top = max(one.top_logprobs or 0 for one in requests)
        self._most_unread = limits.unread_bytes // (EVENT_BYTES * (1 + top))

    def start(self) -> None:
        """Ask the engine for all texts. They are taken as one, even where they are more than may wait: a
        client that is told to try again with so many would do so for ever.

        Raises:
            RequestError: too many wait already, or the engine takes none.
        """
        if self.engine.waiting >= self.limits.queued:
            raise RequestError(429, "queue_full", f"{self.engine.waiting} texts wait already; try again")
        try:
            for number, row in enumerate(self.rows):
                row.handle = self.engine.submit(row.request, self._sink(number))
        except HeadstartError as error:
            self.cancel()
            raise of_engine(error) from None

    async def pieces(self) -> AsyncIterator[tuple[int, Written] | None]:
        """What the texts grow by, with their numbers, until all have ended; None where nothing has come for
        a while.

        Raises:
            RequestError: a text that could not go on, or that waited too long.
        """
        open_rows = len(self.rows)
        try:
            while open_rows:
                try:
                    number, event = await asyncio.wait_for(self._events.get(), self.limits.ping_seconds)
                except TimeoutError:
                    self._refuse_late()
                    yield None
                    continue
                written = self._take(self.rows[number], event)
                if written is not None:
                    open_rows -= written.finish is not None
                    yield number, written
        finally:
            self.cancel()

    def cancel(self) -> None:
        """Drop the texts that have not ended."""
        for row in self.rows:
            if row.handle is not None and not row.finished:
                row.finished = True
                row.handle.cancel()

    @property
    def handles(self) -> list[Handle]:
        """Of all texts, once they were asked for."""
        return [row.handle for row in self.rows if row.handle is not None]

    def _sink(self, number: int) -> Sink:
        def sink(event: Event) -> None:
            """In the engine's thread."""
            if self._events.qsize() > self._most_unread:
                row = self.rows[number]
                if row.handle is not None:
                    row.handle.cancel()
            self._loop.call_soon_threadsafe(self._events.put_nowait, (number, event))

        return sink

    def _take(self, row: Row, event: Event) -> Written | None:
        """What an event adds; None for one that comes behind the end."""
        if row.finished:
            return None
        now = monotonic()
        if row.last is None and row.handle is not None:
            self.record.queue_seconds = row.handle.queue_seconds
            self.metrics.queue.observe(row.handle.queue_seconds)
            self.metrics.first_token.observe(now - row.began)
            if row.request.index == 0:  # once for all texts of a prompt
                self.metrics.prompt_tokens.inc(len(row.request.ids))
        elif row.last is not None:
            self.metrics.next_token.observe(now - row.last)
        row.last = now
        if event.finish in ("cancelled", "error"):
            row.finished = True
            raise self._failure(event)
        scored, text = event.scored, ""
        finish: Literal["stop", "length"] | None = None
        if scored is not None:
            self.completion_tokens += 1
            self.record.completion_tokens = self.completion_tokens
            self.metrics.generation_tokens.inc()
            text = row.stream.push(self.tokenizer.pieces[scored.token])
        if row.stream.stopped:
            finish = "stop"
        elif event.finish is not None:
            text += row.stream.finish()
            finish = "stop" if row.stream.stopped or event.finish == "stop" else "length"
        if finish is not None:
            self._end(row, finish, event.finish is None, now)
        ended = event.stop_scored
        return Written(text, scored or ended, finish, ended is not None)

    def _end(self, row: Row, finish: str, early: bool, now: float) -> None:
        row.finished = True
        if early and row.handle is not None:
            row.handle.cancel()
        self.metrics.success.labels(finished_reason=finish).inc()
        self.metrics.latency.observe(now - row.began)

    def _failure(self, event: Event) -> RequestError:
        if event.finish == "error":
            if self.engine.failed is not None:
                return RequestError(
                    503, "engine_failed", "the model's engine has failed; start the server again"
                )
            return RequestError(400, "unsupported_value", event.error or "the text could not go on")
        if self._events.qsize() > self._most_unread:
            return RequestError(408, "request_timeout", "the stream was not read; read it as it comes")
        return RequestError(503, "shutting_down", "this server is ending; ask another one, or try again")

    def _refuse_late(self) -> None:
        """Refuse the request where none of its texts has been begun in time."""
        seconds = max(handle.queue_seconds for handle in self.handles)
        if seconds > self.limits.queue_seconds and all(handle.waits for handle in self.handles):
            raise RequestError(503, "queue_timeout", f"the request waited {seconds:.0f} seconds; try again")


def of_engine(error: HeadstartError) -> RequestError:
    """Why the engine does not take a request."""
    if isinstance(error, ContextExceeded):
        return RequestError(400, "context_length_exceeded", str(error), "prompt")
    if isinstance(error, ShuttingDown):
        return RequestError(503, "shutting_down", "this server is ending; ask another one, or try again")
    if isinstance(error, EngineFailed):
        return RequestError(503, "engine_failed", "the model's engine has failed; start the server again")
    return unfit(error)
