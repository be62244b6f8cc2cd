"""The process: a port, and an end that loses nothing begun."""

import asyncio
import ctypes
import logging
import os
import signal
import socket
import threading
from contextlib import suppress
from time import monotonic
from types import FrameType

import uvicorn

from headstart.errors import HeadstartError
from headstart.serving.app import Application
from headstart.serving.connection import limited
from headstart.serving.request_error import RequestError

LAST_WORDS_SECONDS = 2.0
"""What streams may take to say that they end here."""
TICKS_A_SECOND = 10
"""Of `on_tick`."""
MEMORY_SECONDS = 30
"""Between two times that freed memory is given back."""
STDIN = 0
"""The descriptor of standard input."""
log = logging.getLogger("headstart.serving")


class HttpServer(uvicorn.Server):
    """Serves an application until it is told to end: then new requests are turned away, what is begun is
    answered, and what takes longer than the drain is told so."""

    def __init__(self, application: Application) -> None:
        settings = application.settings
        super().__init__(
            uvicorn.Config(
                application,
                host=settings.host,
                port=settings.port,
                interface="asgi3",
                http=limited(settings.limits),
                ws="none",
                lifespan="on",
                log_level="warning",
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=75,
                timeout_graceful_shutdown=int(LAST_WORDS_SECONDS) + 1,
            )
        )
        self.application = application
        self.error: HeadstartError | None = None
        """Why it could not go on."""
        self.address = ""
        """Where it is reached, once it has started."""
        self._ends_at: float | None = None
        self._preload: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer at the port, and load what is to be there from the start."""
        await super().startup(sockets)
        assert sockets
        self.address = address_of(sockets[0])
        self._preload = asyncio.create_task(self._load())

    async def on_tick(self, counter: int) -> bool:
        """Asked ten times a second whether to end."""
        if self.application.service.store.failed and self.error is None:
            self.error = HeadstartError("a thread of a model ended by a fault; start the server again")
            return True
        guard = self.application.guard
        if guard.draining and self._ends_at is not None:
            late = monotonic() > self._ends_at
            if late and guard.in_flight:
                await self._end_the_rest()
            if late or not guard.in_flight:
                return True
        if counter % (TICKS_A_SECOND * MEMORY_SECONDS) == 0:
            await asyncio.to_thread(give_memory_back)
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal begins the drain, the second ends at once."""
        guard = self.application.guard
        if guard.draining:
            self.force_exit = self.should_exit = True
            return
        guard.draining = True
        self._ends_at = monotonic() + self.application.settings.drain_seconds

    async def _load(self) -> None:
        try:
            await self.application.preload()
        except RequestError as error:
            self.error = HeadstartError(error.message)
            self.should_exit = True
            return
        print(self.application.announcement(self.address), flush=True)

    async def _end_the_rest(self) -> None:
        """Let streams say that they end, then give up what is left."""
        guard = self.application.guard
        log.warning("%d requests are given up: they took longer than the drain", guard.in_flight)
        await self.application.service.store.close()
        try:
            await asyncio.wait_for(guard.idle.wait(), LAST_WORDS_SECONDS)
        except TimeoutError:
            guard.cancel_all()


def end_with_input() -> None:
    """Have this process end, as by SIGTERM, once nothing more can come from standard input: the system closes
    a pipe when the program at its other end is gone, however that ended."""

    def wait() -> None:
        # Without `sys.stdin`, whose lock this thread would hold when the process ends: Python aborts then.
        with suppress(OSError):
            while os.read(STDIN, 1 << 16):
                pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="end with stdin", daemon=True).start()


def serve(application: Application) -> None:
    """Serve until a signal comes.

    Raises:
        HeadstartError: the port cannot be opened, a model cannot be read, or a thread of one has ended.
    """
    settings = application.settings
    try:
        port = open_port(settings.host, settings.port)
    except OSError as error:
        raise HeadstartError(
            f"{settings.host} port {settings.port} cannot be opened ({error.strerror or error}); give "
            "another --host or --port"
        ) from None
    server = HttpServer(application)
    server.run([port])
    if server.error is not None:
        raise server.error


def give_memory_back() -> None:
    """Have the C library return to the system what was freed. By itself glibc keeps what lies between what is
    in use, for each thread apart, and inputs of many lengths leave more and more of it."""
    with suppress(OSError, AttributeError):  # other libraries have no such function
        ctypes.CDLL(None).malloc_trim(0)


def open_port(host: str, port: int) -> socket.socket:
    """A socket that listens there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=2048)


def address_of(port: socket.socket) -> str:
    """Where a listening socket is reached."""
    host, number = port.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{number}"
