"""Connections: how many there may be, how long one may take to send its headers, and how long it may leave an
answer unread. Bodies are the guard's."""

import asyncio
from http import HTTPStatus
from itertools import chain

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from headstart.serving.request_error import RequestError
from headstart.serving.settings import Limits


def limited(limits: Limits) -> type[HttpToolsProtocol]:
    """The protocol of connections that keep to limits."""

    class Connection(HttpToolsProtocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._headers_wait: asyncio.TimerHandle | None = None
            self._reader_wait: asyncio.TimerHandle | None = None
            self._outside = 0
            """Bytes that came since the last ones of a body, or since a request began."""
            transport.set_write_buffer_limits(high=0)  # so that `pause_writing` says: something is unread
            if len(self.connections) > limits.connections and not self._end_an_idle_one():
                transport.abort()
                return
            self._await_headers()

        def connection_lost(self, exc: Exception | None) -> None:
            self._headers_came()
            self._reader_came()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            if not self._answering:
                self._await_headers()  # also where what comes begins no request, as blank lines
            self._outside += len(data)
            self._unset_keepalive_if_required()
            try:
                self._parse(memoryview(data))
            except httptools.HttpParserError:
                if not self.transport.is_closing():
                    self.send_400_response("this is no request of HTTP/1.1; send one")
            if self._outside > limits.header_bytes and not self.transport.is_closing():
                self._refuse_headers()

        def on_message_begin(self) -> None:
            super().on_message_begin()
            self._outside = 0
            self._await_headers()

        def on_headers_complete(self) -> None:
            self._headers_came()
            if len(self.url) + sum(map(len, chain(*self.headers))) > limits.header_bytes:
                self._refuse_headers()
                raise httptools.HttpParserError  # what follows is not read
            if not self.parser.should_upgrade():
                super().on_headers_complete()

        def on_body(self, body: bytes) -> None:
            self._outside = 0
            super().on_body(body)

        def on_message_complete(self) -> None:
            if not self.parser.should_upgrade():
                super().on_message_complete()

        def pause_writing(self) -> None:
            super().pause_writing()
            self._watch_reader()

        def resume_writing(self) -> None:
            self._reader_came()
            super().resume_writing()

        def send_400_response(self, msg: str) -> None:
            """Refuse what is no request. In the middle of an answer there is no place for words, and where
            requests wait for their turn, that may be the answer to an earlier one."""
            if not self.pipeline and not (self._answering and self.cycle.response_started):
                body = RequestError(400, "invalid_http", msg).response().body
                head = f"HTTP/1.1 400 {HTTPStatus.BAD_REQUEST.phrase}\r\ncontent-type: application/json\r\n"
                head += f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
                self.transport.write(head.encode() + body)
            self.transport.close()

        def _refuse_headers(self) -> None:
            self.send_400_response(f"headers are at most {limits.header_bytes} bytes; send fewer")

        def _parse(self, rest: memoryview) -> None:
            while rest and not self.transport.is_closing():
                try:
                    self.parser.feed_data(rest)
                    return
                except httptools.HttpParserUpgrade as offer:
                    rest = rest[offer.args[0] :]
                self._decline()

        def _decline(self) -> None:
            """Read the headers of a request again that offers another protocol, as Java's HTTP/2 client does,
            without the offer: the parser takes what follows such headers for that protocol, and no body."""
            method = self.parser.get_method()
            if method == b"CONNECT":
                self.send_400_response("this is no proxy; send a request for a path of its own")
                return
            head = b"%s %s HTTP/%s\r\n" % (method, self.url, self.parser.get_http_version().encode())
            for name, value in self.headers:
                if name == b"connection":
                    value = b"close" if b"close" in value.lower() else b"keep-alive"
                if name != b"upgrade":
                    head += b"%s: %s\r\n" % (name, value)
            self.parser = httptools.HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            self.parser.feed_data(head + b"\r\n")

        @property
        def _answering(self) -> bool:
            return self.cycle is not None and not self.cycle.response_complete

        def _end_an_idle_one(self) -> bool:
            """End the connection that has waited longest for its next request; False where none does so."""
            idle = [
                (one.timeout_keep_alive_task.when(), one.transport)
                for one in self.connections
                if isinstance(one, HttpToolsProtocol) and one.timeout_keep_alive_task is not None
                and not one.transport.is_closing()
            ]  # fmt: skip
            if idle:
                min(idle, key=lambda pair: pair[0])[1].abort()
            return bool(idle)

        def _await_headers(self) -> None:
            if self._headers_wait is None:
                self._headers_wait = self.loop.call_later(limits.first_byte_seconds, self._headers_late)

        def _headers_came(self) -> None:
            if self._headers_wait is not None:
                self._headers_wait.cancel()
                self._headers_wait = None

        def _headers_late(self) -> None:
            self._headers_wait = None
            if self._answering or self.flow.read_paused:  # they are not the client's to send yet
                self._await_headers()
            else:
                self.transport.abort()

        def _watch_reader(self) -> None:
            """Give the client up if it reads too little of what is there for it."""
            unread = self.transport.get_write_buffer_size()
            self._reader_wait = self.loop.call_later(limits.unread_seconds, self._reader_late, unread)

        def _reader_came(self) -> None:
            if self._reader_wait is not None:
                self._reader_wait.cancel()
                self._reader_wait = None

        def _reader_late(self, before: int) -> None:
            read = before - self.transport.get_write_buffer_size()
            if read < limits.body_bytes_a_second * limits.unread_seconds:
                self.transport.abort()
            else:
                self._watch_reader()

    return Connection
