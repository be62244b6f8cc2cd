"""The studio's application: its routes, its errors in one form, the pages, and the guard in front of all."""

from collections.abc import Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

from headstart import __version__
from headstart.errors import FULL, HeadstartError, explain, explain_os_error
from headstart.interchange.box import BOX
from headstart.sample_data import sample_data
from headstart.studio.chat_server import ChatServer
from headstart.studio.folders import MODELS, SAMPLES, Absent, Folders
from headstart.studio.guard import Guard
from headstart.studio.jobs import Jobs
from headstart.studio.routes import (
    block,
    chat,
    corpus,
    duel,
    export,
    folders,
    generation,
    head_start,
    jobs,
    lesson,
    masking,
    meaning,
    run,
    scaling,
    sweep,
    task,
    tokenizer,
)
from headstart.studio.state import Studio
from headstart.studio.worker import Superseded, Worker, WorkerGone

STATIC, SAMPLE = Path(__file__).parent / "static", Path(__file__).parent / "sample"
STATUS: dict[type[Exception], int] = {Absent: 404, Superseded: 409, WorkerGone: 503}
API = "/api/v1"


@dataclass(frozen=True)
class Options:
    """How a studio is started."""

    read_only: bool = False
    memory: int = 4_000_000_000
    """Bytes of models that the worker may hold."""


def create(roots: Sequence[Path], port: int, options: Options = Options(), token: str | None = None) -> Guard:
    """The application with its guard.

    Args:
        port: where it listens: part of its own address.
        token: None: a new one.

    Raises:
        HeadstartError: a root is no folder.
    """
    samples = sample_data()
    known = Folders(roots, SAMPLE, {MODELS: BOX} | ({SAMPLES: samples} if samples else {}))
    studio = Studio(
        known,
        Worker(known.readable, options.memory),
        Jobs(known.roots[0]),
        ChatServer(options.memory),
        options.read_only,
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> Any:
        yield
        studio.worker.close()
        studio.chat.close()

    app = FastAPI(
        title="headstart studio", version=__version__, docs_url=None, redoc_url=None, lifespan=lifespan,
        openapi_url=f"{API}/openapi.json",
    )  # fmt: skip
    app.state.studio = studio
    for routes in (
        folders,
        generation,
        run,
        jobs,
        scaling,
        sweep,
        masking,
        block,
        corpus,
        meaning,
        head_start,
        lesson,
        task,
        duel,
        tokenizer,
        chat,
        export,
    ):
        app.include_router(routes.router, prefix=API)
    app.add_exception_handler(HeadstartError, _sentence)
    app.add_exception_handler(RequestValidationError, _unreadable)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(OSError, _refused)
    app.add_exception_handler(Exception, _fault)
    if STATIC.exists():
        app.mount("/", StaticFiles(directory=STATIC, html=True))
    else:
        app.add_api_route("/", _no_pages, include_in_schema=False)
    return Guard(app, port) if token is None else Guard(app, port, token)


def _error(status: int, kind: str, message: str) -> JSONResponse:
    headers = {"retry-after": "1"} if status == 503 else None
    return JSONResponse({"error": {"type": kind, "message": message}}, status, headers)


async def _sentence(request: Request, error: Exception) -> JSONResponse:
    return _error(STATUS.get(type(error), 400), type(error).__name__.lower(), str(error))


async def _unreadable(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"][1:])
    return _error(422, "request", f"{where or 'the request'}: {first['msg']}")


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return _error(error.status_code, "http", str(error.detail))


async def _refused(request: Request, error: Exception) -> JSONResponse:
    """What the operating system refused: a full disk, or a file that went away while it was read."""
    assert isinstance(error, OSError)
    if error.errno in FULL:
        return _error(507, "disk", explain_os_error(error))
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        gone = f"{error.filename or 'a file'} went away while it was read; go back to the list of folders"
        return _error(410, "gone", gone)
    return _error(500, "machine", explain_os_error(error))


async def _fault(request: Request, error: Exception) -> JSONResponse:
    """Anything else, which is also printed where the studio runs."""
    known = explain(error) or (
        f"the studio stumbled over this ({type(error).__name__}: {str(error)[:200]}); what it reads may be "
        "damaged: where the studio was started stands more"
    )
    return _error(500, "fault", known)


async def _no_pages() -> JSONResponse:
    return _error(
        503,
        "pages",
        "the studio's pages were not built: run `make studio` in the repository, or install a wheel",
    )
