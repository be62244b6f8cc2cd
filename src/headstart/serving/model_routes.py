"""What is served, whether it is ready, and its figures."""

from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel

from headstart import __version__
from headstart.serving.guard import Guard
from headstart.serving.model_store import no_such_model
from headstart.serving.request_error import RequestError
from headstart.serving.served_model import Description
from headstart.serving.service import Service, json_answer


class ModelFacts(BaseModel):
    """What headstart says of a model beside OpenAI's fields."""

    task: str | None
    head: str
    family: str
    parameters: int
    context: int | None
    dtype: str
    kernel: str | None
    """What computes its texts; null: it writes none, or is not loaded."""
    labels: list[str] | None
    bytes: int
    state: Literal["loaded", "cold"]
    routes: list[str]


class ModelAnswer(BaseModel):
    """One model."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str
    headstart: ModelFacts


class ModelsAnswer(BaseModel):
    """All of them."""

    object: Literal["list"] = "list"
    data: list[ModelAnswer]


class State(BaseModel):
    """Whether the server is well."""

    status: str


class Version(BaseModel):
    """Which headstart answers."""

    version: str


def model_routes(service: Service) -> APIRouter:
    """The routes about the server itself."""
    router = service.router("server")

    @router.get("/v1/models", responses={200: {"model": ModelsAnswer}})
    async def models() -> Response:
        """All models, loaded or not."""
        return json_answer(
            {"object": "list", "data": [told(service, one) for one in service.store.descriptions.values()]}
        )

    @router.get("/v1/models/{name:path}", responses={200: {"model": ModelAnswer}})
    async def model(name: str) -> Response:
        """One model."""
        known = service.store.descriptions
        if name not in known:
            raise no_such_model(name, known)
        return json_answer(told(service, known[name]))

    @router.get("/health", responses={200: {"model": State}})
    async def health() -> Response:
        """Answered as long as the server lives."""
        return json_answer({"status": "alive"})

    @router.get("/ready", responses={200: {"model": State}})
    async def ready(request: Request) -> Response:
        """Whether requests are taken, and work goes on."""
        guard: Guard = request.app.state.guard
        if guard.draining:
            raise RequestError(503, "shutting_down", "this server is ending")
        if service.store.failed:
            raise RequestError(
                503, "engine_failed", "a thread of a model has ended; the server has to be started again"
            )
        if service.store.loading:
            raise RequestError(503, "loading", "a model is being loaded")
        if service.store.stuck_seconds > service.settings.limits.stall_seconds:
            raise RequestError(503, "stalled", "work waits and none is done")
        return json_answer({"status": "ready"})

    @router.get("/metrics", responses={200: {"content": {"text/plain": {}}}})
    async def metrics() -> Response:
        """Figures for Prometheus."""
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @router.get("/version", responses={200: {"model": Version}})
    async def version() -> Response:
        """Which headstart answers."""
        return json_answer({"version": __version__})

    return router


def told(service: Service, described: Description) -> dict[str, Any]:
    """A model as `/v1/models` has it."""
    resident = service.store.residents.get(described.name)
    kernel = resident.kernel if resident is not None else None
    state = "cold" if resident is None else "loaded"
    return {
        "id": described.name,
        "object": "model",
        "created": described.created,
        "owned_by": "headstart",
        "headstart": described.as_dict | {"kernel": kernel, "state": state},
    }
