"""What every request passes before a route sees it: who asks, from where, how much, how fast.

The guard reads the body, watches whether the client is still there while the route works, gives every request
an id, and writes the access log. A client that goes away cancels its own work and nobody else's.
"""

import asyncio
import hmac
import logging
import sys
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from time import perf_counter
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import orjson
from starlette.datastructures import Headers, MutableHeaders

from headstart.serving.json_body import ClientGone, Incoming, Receive, read_body
from headstart.serving.metrics import Metrics
from headstart.serving.request_error import LONGEST_NAME, RequestError
from headstart.serving.request_log import Exchange, RequestLog
from headstart.serving.settings import ServeSettings

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN = ("/health", "/ready")
"""Probes ask them without a key and by the address of a container."""
FILES = "/v1/files"
"""The one route that is sent a form: a file, and what it is for."""
LONGEST_ID = 128
MOST_NAMES = 32
"""Of ignored fields, that a header tells."""
GONE = 499
"""What the log says of a request whose client went away."""
log = logging.getLogger("headstart.serving")


@dataclass
class RequestRecord:
    """What is known of one request, for headers and logs."""

    id: str
    began: float = field(default_factory=perf_counter)
    model: str | None = None
    queue_seconds: float | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    ignored: list[str] = field(default_factory=list)
    """Fields of the body that nobody knows."""
    code: str | None = None
    """Of an error."""
    body_bytes: int = 0
    status: int = 0
    complete: bool = False
    """Whether the whole answer has been handed on."""
    exchange: Exchange | None = None
    """The text of request and answer, where a file of requests is kept."""

    @property
    def milliseconds(self) -> float:
        """Since it came."""
        return 1000 * (perf_counter() - self.began)


def record_of(scope: Scope) -> RequestRecord:
    """The record of a request that the guard let pass."""
    record: RequestRecord = scope["headstart.record"]
    return record


class Guard:
    """The outermost part of the application."""

    def __init__(self, app: App, settings: ServeSettings, metrics: Metrics) -> None:
        self.app, self.settings, self.metrics = app, settings, metrics
        self.in_flight = self.body_bytes = 0
        self.draining = False
        """Whether new requests are turned away, for the server ends."""
        self.idle = asyncio.Event()
        self.idle.set()
        self._running: set[asyncio.Task[None]] = set()
        self.request_log: RequestLog | None = None
        if settings.log_requests is not None:
            self.request_log = RequestLog(settings.log_requests, metrics.unlogged)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        record = scope["headstart.record"] = RequestRecord(request_id(headers.get("x-request-id")))
        sender, incoming = self._sender(record, send), Incoming(receive)
        self.in_flight += 1
        self.idle.clear()
        try:
            try:
                self._check(scope, headers)
                announced = headers.get("content-length", "")
                size = int(announced) if announced.isdecimal() else None
                hold = partial(self._hold, record)
                body = await read_body(incoming, size, self.settings.limits, hold)
            except RequestError as error:
                record.code = error.code
                await self._refuse(error, incoming, sender)
                return
            if self.request_log is not None and scope["method"] == "POST" and scope["path"] != FILES:
                record.exchange = Exchange(body)
            await self._answer(scope, body, receive, sender, record)
        except ClientGone:
            record.status = GONE
        except asyncio.CancelledError:  # so some servers, as Ray's, say that the client went away
            self._count_gone(record)
            raise
        finally:
            self.in_flight -= 1
            self.body_bytes -= record.body_bytes
            if not self.in_flight:
                self.idle.set()
            self._finish(scope, record)

    def cancel_all(self) -> None:
        """Give up what is still being answered."""
        for task in self._running:
            self.metrics.cancelled.labels(why="drain").inc()
            task.cancel()

    async def _answer(
        self, scope: Scope, body: bytes, receive: Receive, send: Send, record: RequestRecord
    ) -> None:
        """Let the application answer while the client is there."""
        waiting = [{"type": "http.request", "body": body, "more_body": False}]
        never = asyncio.Event()

        async def replay() -> MutableMapping[str, Any]:
            if waiting:
                return waiting.pop()
            await never.wait()
            raise AssertionError("nothing comes behind a body")

        # Of an answer to HEAD the connection sends the headers alone.
        asked = {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope
        work = asyncio.ensure_future(self.app(asked, replay, send))
        gone = asyncio.ensure_future(receive())
        self._running.add(work)
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done() and not record.complete:
                self._count_gone(record)
                work.cancel()
            await asyncio.wait({work})
            if not work.cancelled() and (error := work.exception()) is not None:
                await self._fail(scope, receive, send, record, error)
        finally:
            self._running.discard(work)
            for task in (work, gone):
                task.cancel()

    def _count_gone(self, record: RequestRecord) -> None:
        """Note that a client went away before its answer was whole."""
        record.status = GONE
        self.metrics.cancelled.labels(why="disconnect").inc()

    async def _refuse(self, error: RequestError, incoming: Incoming, send: Send) -> None:
        """Answer before the body is whole. The connection cannot go on behind it."""
        answer = error.response()
        answer.headers["connection"] = "close"
        start = {"type": "http.response.start", "status": answer.status_code, "headers": answer.raw_headers}
        await send(start)
        await send({"type": "http.response.body", "body": answer.body, "more_body": True})
        if error.code != "request_timeout":  # that one was waited for long enough
            await incoming.discard(self.settings.limits)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _fail(
        self, scope: Scope, receive: Receive, send: Send, record: RequestRecord, error: BaseException
    ) -> None:
        """A fault of ours: the client gets the id alone, the log the rest."""
        log.error("request %s failed", record.id, exc_info=error)
        record.code = "internal_error"
        if not record.status:
            await internal_error(record.id).response()(scope, receive, send)

    def _check(self, scope: Scope, headers: Headers) -> None:
        """Whether the request may be asked at all."""
        path, settings = scope["path"], self.settings
        if path in OPEN:
            return
        if self.draining:
            raise RequestError(503, "shutting_down", "this server is ending; ask another one, or try again")
        if not settings.allows_host(headers.get("host", "")):
            raise RequestError(
                403, "host_not_allowed", "the header Host names another server; allow it by --allowed-host"
            )
        origin = headers.get("origin")
        if origin is not None and origin not in settings.cors_origins and "*" not in settings.cors_origins:
            raise RequestError(
                403, "origin_not_allowed", "a page from elsewhere asks; allow it by --cors-origin"
            )
        if settings.api_key is not None:
            scheme, _, key = headers.get("authorization", "").partition(" ")
            right = hmac.compare_digest(key.strip().encode(), settings.api_key.encode())
            if scheme.lower() != "bearer" or not right:
                raise RequestError(
                    401,
                    "invalid_api_key",
                    "the key is missing or wrong; send it as Authorization: Bearer KEY",
                )
        if scope["method"] == "POST":
            kind = headers.get("content-type", "").partition(";")[0].strip().lower()
            wanted = "multipart/form-data" if path == FILES else "application/json"
            if kind != wanted:
                raise RequestError(
                    415, "unsupported_media_type", f"send what has the content-type {wanted}, and say so"
                )
            if headers.get("content-encoding", "identity") != "identity":
                raise RequestError(
                    415, "unsupported_media_type", "send the body as it is, without content-encoding"
                )

    def _hold(self, record: RequestRecord, size: int) -> None:
        """Note that a request's body takes so many bytes more, until it is answered."""
        if self.body_bytes + size > self.settings.limits.bodies_bytes:
            raise RequestError(503, "bodies_full", "the bodies of others fill the room for them; try again")
        self.body_bytes += size
        record.body_bytes += size

    def _sender(self, record: RequestRecord, send: Send) -> Send:
        """Adds the headers that every answer has."""

        async def sender(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = record.id
                headers["openai-processing-ms"] = f"{record.milliseconds:.0f}"
                if record.queue_seconds is not None:
                    headers["x-headstart-queue-ms"] = f"{1000 * record.queue_seconds:.1f}"
                if record.ignored:
                    headers["x-headstart-ignored"] = names_in_header(record.ignored)
                if self.draining:
                    headers["connection"] = "close"
            if message["type"] == "http.response.body":
                record.complete = not message.get("more_body", False)
                if record.exchange is not None:
                    record.exchange.sent.append(message.get("body", b""))
            await send(message)

        return sender

    def _finish(self, scope: Scope, record: RequestRecord) -> None:
        if record.code is not None:
            self.metrics.rejected.labels(code=record.code).inc()
        line: dict[str, Any] = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "id": record.id,
            "method": scope["method"],
            "path": scope["path"][:200],
            "status": record.status,
            "milliseconds": round(record.milliseconds, 1),
        }
        told = {
            "model": record.model,
            "queue_milliseconds": record.queue_seconds and round(1000 * record.queue_seconds, 1),
            "prompt_tokens": record.prompt_tokens,
            "completion_tokens": record.completion_tokens,
            "error": record.code,
        }
        line |= {name: value for name, value in told.items() if value is not None}
        if self.settings.access_log and scope["path"] not in OPEN:  # probes ask every few seconds
            print(orjson.dumps(line).decode(), file=sys.stderr, flush=True)
        if self.request_log is not None and record.exchange is not None:
            self.request_log.write(line | record.exchange.told(scope["path"], record.status))


def request_id(given: str | None) -> str:
    """The client's own id where it is short and printable, else a new one."""
    if given and len(given) <= LONGEST_ID and given.isascii() and given.isprintable():
        return given
    return f"req-{uuid4().hex}"


def names_in_header(names: Sequence[str]) -> str:
    """Names that a client chose, as a header may carry them: percent-encoded, and not without end."""
    told = [quote(name[:LONGEST_NAME], safe="") for name in names[:MOST_NAMES]]
    rest = len(names) - len(told)
    return ", ".join(told) + (f", and {rest} more" if rest else "")


def internal_error(identity: str) -> RequestError:
    """What a client is told of a fault of ours."""
    return RequestError(
        500, "internal_error", f"the server made a mistake; its log knows of request {identity}"
    )
