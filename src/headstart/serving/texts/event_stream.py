"""Server-sent events: a model's text as it is written, pings while it is silent, errors as a last event."""

import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from time import monotonic
from typing import Any

import orjson
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from headstart.serving.guard import RequestRecord, internal_error
from headstart.serving.request_error import RequestError
from headstart.serving.settings import Limits

PING, DONE = b": ping\n\n", b"data: [DONE]\n\n"
log = logging.getLogger("headstart.serving")


class EventStream(StreamingResponse):
    """Events of a request; when it ends, however it does, what it held is let go."""

    def __init__(
        self,
        events: AsyncIterator[Any | None],
        held: AsyncExitStack,
        record: RequestRecord,
        limits: Limits,
    ) -> None:
        """
        Args:
            events: JSON values; None where there is nothing to tell now.
            held: what the events stand on: the model in use, the texts being written.
        """
        super().__init__(_lines(events, record, limits.ping_seconds), media_type="text/event-stream")
        self.headers["cache-control"] = "no-cache"
        self.headers["x-accel-buffering"] = "no"
        self.held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self.held.aclose()


async def _lines(
    events: AsyncIterator[Any | None], record: RequestRecord, ping_seconds: float
) -> AsyncIterator[bytes]:
    last = monotonic()
    try:
        async for event in events:
            if event is None and monotonic() - last < ping_seconds:
                continue
            yield PING if event is None else b"data: " + orjson.dumps(event) + b"\n\n"
            last = monotonic()
        yield DONE
    except RequestError as error:
        record.code = error.code
        yield b"data: " + orjson.dumps(error.problem.model_dump()) + b"\n\n"
    except Exception:
        log.exception("request %s failed", record.id)
        record.code = "internal_error"
        yield b"data: " + orjson.dumps(internal_error(record.id).problem.model_dump()) + b"\n\n"
