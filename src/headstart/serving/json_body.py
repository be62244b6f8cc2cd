"""A request's body: read within limits of size and time, and checked before anything else sees it."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from time import monotonic
from typing import Any

import orjson
from fastapi import Request
from fastapi.routing import APIRoute
from starlette.responses import Response

from headstart.serving.request_error import RequestError
from headstart.serving.settings import Limits

MOST_DISCARDED = 4
"""Times the size of the largest body."""
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class ClientGone(Exception):
    """The client closed the connection before its request was whole."""


async def read_body(
    receive: Receive, announced: int | None, limits: Limits, hold: Callable[[int], None]
) -> bytes:
    """The whole body.

    Args:
        announced: what the header `Content-Length` says.
        hold: told how many bytes more there are before they are kept; may refuse them.

    Raises:
        RequestError: too large, or too slow, or refused by `hold`.
        ClientGone: it ended in the middle.
    """
    too_large = RequestError(
        413,
        "request_too_large",
        f"the body is larger than {limits.body_bytes:,} bytes; send several requests",
    )
    if announced is not None and announced > limits.body_bytes:
        raise too_large
    parts: list[bytes] = []
    size, started = 0, monotonic()
    while True:
        passed = monotonic() - started
        slowest = limits.first_byte_seconds + size / limits.body_bytes_a_second
        left = min(limits.body_seconds, slowest) - passed
        try:
            message = await asyncio.wait_for(receive(), max(left, 0))
        except TimeoutError:
            raise RequestError(
                408,
                "request_timeout",
                f"{size:,} bytes of the body came in {monotonic() - started:.0f} seconds; send it faster",
            ) from None
        if message["type"] == "http.disconnect":
            raise ClientGone
        size += len(message.get("body", b""))
        if size > limits.body_bytes:
            raise too_large
        hold(len(message.get("body", b"")))
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


class Incoming:
    """What a client sends, and whether that was all."""

    def __init__(self, receive: Receive) -> None:
        self.receive, self.ended = receive, False

    async def __call__(self) -> MutableMapping[str, Any]:
        message = await self.receive()
        self.ended = not message.get("more_body", False)
        return message

    async def discard(self, limits: Limits) -> None:
        """Read on for a while: a client that is cut off while it sends does not see why."""
        size = 0
        try:
            async with asyncio.timeout(limits.first_byte_seconds):
                while not self.ended and size <= limits.body_bytes * MOST_DISCARDED:
                    size += len((await self()).get("body", b""))
        except TimeoutError:
            pass


def parse_json(body: bytes, limits: Limits) -> Any:
    """The value of a JSON body.

    Raises:
        RequestError: no JSON (NaN and lone surrogates are none), or too deep or too many values.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestError(400, "invalid_json", f"the body is no JSON: {error.msg[:200]}") from None
    nodes, depth, layer = 1, 0, [value]
    while layer:
        inner: list[Any] = []
        for one in layer:
            if isinstance(one, dict):
                inner += one.values()
            elif isinstance(one, list):
                inner += one
        nodes, depth, layer = nodes + len(inner), depth + 1, inner
        if nodes > limits.body_nodes:
            raise RequestError(
                400,
                "request_too_large",
                f"the body has over {limits.body_nodes:,} values; send several requests",
            )
        if depth > limits.body_depth:
            raise RequestError(
                400, "request_too_large", f"the body is nested over {limits.body_depth} deep; make it flatter"
            )
    return value


def checked_json(limits: Limits) -> type[APIRoute]:
    """The class of routes whose bodies are read by `parse_json`."""

    class CheckedRequest(Request):
        async def json(self) -> Any:
            return parse_json(await self.body(), limits)

    class CheckedRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handler = super().get_route_handler()

            async def handle(request: Request) -> Response:
                return await handler(CheckedRequest(request.scope, request.receive))

            return handle

    return CheckedRoute
