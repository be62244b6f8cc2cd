"""The application: guard, routes, and errors in one shape."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from headstart import __version__
from headstart.errors import nearest
from headstart.serving.adapter_routes import adapter_routes
from headstart.serving.batches.jobs import BatchJobs
from headstart.serving.batches.routes import batch_routes
from headstart.serving.batches.state import State
from headstart.serving.embedding_routes import embedding_routes
from headstart.serving.guard import App, Guard, Scope, Send, internal_error, record_of
from headstart.serving.json_body import Receive
from headstart.serving.metrics import Metrics
from headstart.serving.model_routes import model_routes
from headstart.serving.model_store import ModelStore
from headstart.serving.request_error import RequestError, of_validation
from headstart.serving.service import Service
from headstart.serving.settings import ServeSettings
from headstart.serving.task_routes import task_routes
from headstart.serving.tei_routes import tei_routes
from headstart.serving.texts.chat_routes import chat_routes
from headstart.serving.texts.completion_routes import completion_routes
from headstart.serving.texts.token_routes import token_routes

ROUTES = (
    model_routes,
    adapter_routes,
    task_routes,
    embedding_routes,
    completion_routes,
    chat_routes,
    token_routes,
    tei_routes,
)


class Application:
    """An ASGI application that answers for models."""

    def __init__(self, folders: Mapping[str, Path], settings: ServeSettings) -> None:
        """
        Args:
            folders: what is served, by name; see `named_folders`.

        Raises:
            HeadstartError: a folder holds no model that answers, or another server keeps its files in ours.
        """
        metrics = Metrics()
        self.settings = settings
        self.service = Service(ModelStore(folders, settings, metrics), settings, metrics)
        self.batches: BatchJobs | None = None
        """What answers batches, where files are kept."""
        if settings.state is not None:
            state = State(settings.state, settings.limits)
            self.batches = BatchJobs(state, self.ask, lambda: self.guard.draining)
        self.api = make_api(self.service, self.batches)
        self.guard = self.api.state.guard = Guard(self.api, settings, metrics)
        self.asgi: App = self.guard
        if settings.cors_origins:
            self.asgi = CORSMiddleware(
                self.guard,
                allow_origins=settings.cors_origins,
                allow_methods=["GET", "POST", "DELETE"],
                allow_headers=["authorization", "content-type", "x-request-id"],
                expose_headers=["x-request-id", "x-headstart-queue-ms", "x-headstart-ignored"],
            )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.asgi(scope, receive, send)

    async def ask(self, route: str, body: Any) -> tuple[int, bytes]:
        """Status and body of the answer to a POST, without a network."""
        key = self.settings.api_key
        headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
        headers += [(b"authorization", f"Bearer {key}".encode())] if key else []
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": route,
            "raw_path": route.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": headers,
            "server": ("localhost", 80),
            "client": ("localhost", 0),
        }
        sent: list[Any] = []
        incoming = [{"type": "http.request", "body": orjson.dumps(body), "more_body": False}]
        done = asyncio.Event()

        async def receive() -> Any:
            if incoming:
                return incoming.pop()
            await done.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        await self(scope, receive, send)
        status = next(message["status"] for message in sent if message["type"] == "http.response.start")
        return status, b"".join(message.get("body", b"") for message in sent)

    async def preload(self) -> None:
        """Load a model that is served alone; of several each is loaded when it is first asked.

        Raises:
            RequestError: it cannot be read.
        """
        names = list(self.service.store.descriptions)
        if len(names) == 1:
            async with self.service.store.use(names[0]):
                pass

    def announcement(self, address: str) -> str:
        """Address, models and what each answers, for the terminal."""
        lines = [f"serving on {address}"]
        for one in self.service.store.descriptions.values():
            lines.append(f"  {one.name}: {one.in_words}, {one.parameters:,} parameters")
            lines.append(f"    {' '.join(one.routes)}")
        return "\n".join(lines)


def make_api(service: Service, batches: BatchJobs | None) -> FastAPI:
    """The routes and their errors."""

    @asynccontextmanager
    async def life(api: FastAPI) -> AsyncIterator[None]:
        if batches is not None:
            batches.begin()
        yield
        if batches is not None:
            await batches.close()
        await service.store.close()

    api = FastAPI(
        title="headstart",
        version=__version__,
        summary="Every model of headstart from one process.",
        lifespan=life,
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
    )
    for routes in ROUTES:
        api.include_router(routes(service))
    api.include_router(batch_routes(service, batches))

    @api.exception_handler(HTTPException)
    async def of_route(request: Request, error: HTTPException) -> Response:
        found = error if isinstance(error, RequestError) else _of_status(api, request, error)
        record_of(request.scope).code = found.code
        return found.response()

    @api.exception_handler(RequestValidationError)
    async def of_body(request: Request, error: RequestValidationError) -> Response:
        found = of_validation(error.errors())
        record_of(request.scope).code = found.code
        return found.response()

    @api.exception_handler(Exception)
    async def of_ours(request: Request, error: Exception) -> Response:
        return internal_error(record_of(request.scope).id).response()

    return api


def _of_status(api: FastAPI, request: Request, error: HTTPException) -> RequestError:
    """What the framework says of a path or a method that no route has."""
    path = request.url.path
    if error.status_code == 404:
        hint = nearest(path, list(api.openapi()["paths"]))
        return RequestError(404, "not_found", f"there is no route {path[:100]!r}{hint}")
    if error.status_code == 405:
        methods = " or ".join(name.upper() for name in api.openapi()["paths"].get(path, {})) or "another one"
        return RequestError(
            405, "method_not_allowed", f"{path} is not asked by {request.method}; use {methods}"
        )
    return RequestError(error.status_code, "invalid_request", str(error.detail)[:300])
