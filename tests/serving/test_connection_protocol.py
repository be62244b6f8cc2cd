"""What a connection does with bytes and with time, at a transport of the tests: no port, and no clock."""

import asyncio
from unittest.mock import Mock

import pytest
from uvicorn import Config
from uvicorn.server import ServerState

from headstart.serving.connection import limited
from headstart.serving.settings import Limits

GET = b"GET /%d HTTP/1.1\r\nHost: localhost\r\n\r\n"
OFFER = b"POST /%d HTTP/%s\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nhi"
LIMITS = Limits(unread_seconds=30, body_bytes_a_second=1000)


class Wire(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self):
        super().__init__()
        self.sent, self.unread, self.closed, self.aborted = b"", 0, False, False

    def write(self, data):
        self.sent += data

    def close(self):
        self.closed = True

    def abort(self):
        self.closed = self.aborted = True

    def is_closing(self):
        return self.closed

    def get_write_buffer_size(self):
        return self.unread

    def set_write_buffer_limits(self, high=None, low=None):
        assert high == 0

    def pause_reading(self):
        pass

    resume_reading = pause_reading


class Asked:
    """An application that begins each answer at once, and ends it when it may."""

    def __init__(self):
        self.requests, self.may_end = [], asyncio.Event()

    async def __call__(self, scope, receive, send):
        self.requests.append((scope["path"], (await receive())["body"]))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        await self.may_end.wait()
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def connected(loop):
    """A connection, its wire and its application."""
    asked, wire = Asked(), Wire()
    config = Config(asked, lifespan="off", ws="none", access_log=False, log_level="warning")
    made = limited(LIMITS)(config, ServerState(), {}, loop)
    made.connection_made(wire)
    return made, wire, asked


async def until(condition):
    while not condition():
        await asyncio.sleep(0)


def test_no_words_of_an_error_behind_requests_that_wait():
    """A client that is sent an answer in pieces sends its next request, and then something else."""

    async def talk():
        made, wire, asked = connected(asyncio.get_running_loop())
        made.data_received(GET % 0)
        await until(lambda: wire.sent.endswith(b"begun\r\n"))
        made.data_received(GET % 1 + b"\x00\x01 no request\r\n\r\n")
        assert wire.closed
        assert wire.sent.count(b"HTTP/1.1") == 1
        made.connection_lost(None)
        asked.may_end.set()

    asyncio.run(talk())


def test_many_offers_of_another_protocol_at_once():
    """Each of them is a request with its body, and none costs what all do."""

    async def talk():
        made, wire, asked = connected(asyncio.get_running_loop())
        asked.may_end.set()
        made.data_received(b"".join(OFFER % (number, b"1.1") for number in range(2000)))
        await until(lambda: wire.closed or len(asked.requests) == 2000)
        assert asked.requests == [(f"/{number}", b"hi") for number in range(2000)]
        assert b" 400 " not in wire.sent
        made.connection_lost(None)

    asyncio.run(talk())


@pytest.mark.parametrize(("version", "closes"), [(b"1.0", True), (b"1.1", False)])
def test_an_offer_is_answered_in_the_version_of_its_request(version, closes):
    """A client of HTTP/1.0 knows the end of an answer by the end of its connection."""

    async def talk():
        made, wire, asked = connected(asyncio.get_running_loop())
        asked.may_end.set()
        made.data_received(OFFER % (0, version))
        await until(lambda: made.cycle.response_complete)
        assert asked.requests == [("/0", b"hi")]
        assert wire.closed == (b"connection: close" in wire.sent) == closes
        made.connection_lost(None)

    asyncio.run(talk())


def test_a_reader_is_given_up_by_what_it_has_read():
    """1,000 bytes a second for 30 seconds are enough, and less are not."""
    loop = Mock()
    made, wire, _ = connected(loop)

    def passed():
        """30 seconds."""
        (seconds, late, *given), _ = loop.call_later.call_args
        assert seconds == 30
        late(*given)

    wire.unread = 100_000
    made.pause_writing()
    for left in (70_000, 40_000):
        wire.unread = left
        passed()
        assert not wire.aborted
    wire.unread = 10_001
    passed()
    assert wire.aborted
    timers = loop.call_later.call_count
    made.connection_lost(None)
    assert loop.call_later.call_count == timers


def test_a_reader_that_has_read_all_is_watched_no_longer():
    loop = Mock()
    made, wire, _ = connected(loop)
    made.pause_writing()
    timer = loop.call_later.return_value
    timer.cancel.reset_mock()
    made.resume_writing()
    timer.cancel.assert_called_once_with()
    assert not wire.closed
