"""Adapters that come and go while the server answers: `headstart serve --adapters FOLDER`.

An adapter is named by its folder below that one, never by a path, and is served under this name.
"""

from pathlib import Path
from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel

from headstart.errors import nearest
from headstart.interchange.peft_adapter import CONFIG_FILE
from headstart.serving.body import Body, accept
from headstart.serving.guard import record_of
from headstart.serving.model_routes import ModelAnswer, told
from headstart.serving.request_error import LONGEST_NAME, RequestError
from headstart.serving.service import Service, json_answer


class AdapterBody(Body):
    """Which adapter is to be served."""

    model: str
    """The name of a folder below `--adapters`."""


class AdapterFacts(BaseModel):
    """An adapter that can be served, or is."""

    id: str
    object: Literal["adapter"] = "adapter"
    served: bool


class AdaptersAnswer(BaseModel):
    """All of them."""

    object: Literal["list"] = "list"
    data: list[AdapterFacts]


class Removed(BaseModel):
    """An adapter that is served no more."""

    id: str
    object: Literal["model"] = "model"
    deleted: bool


def adapter_routes(service: Service) -> APIRouter:
    """Routes that say which adapters there are, serve one, and end that."""
    router = service.router("adapters")
    store = service.store

    def found() -> dict[str, Path]:
        """The adapters below the folder, by name."""
        root = service.settings.adapters
        if root is None:
            raise RequestError(
                403,
                "adapters_not_allowed",
                "no adapters are taken here; start the server with --adapters FOLDER",
            )
        return {one.name: one for one in sorted(root.iterdir()) if (one / CONFIG_FILE).is_file()}

    @router.get("/v1/adapters", responses={200: {"model": AdaptersAnswer}})
    async def adapters() -> Response:
        """The adapters that can be served, and those that are."""
        facts = [{"id": one, "object": "adapter", "served": one in store.added} for one in found()]
        return json_answer({"object": "list", "data": facts})

    @router.post("/v1/adapters", responses={200: {"model": ModelAnswer}})
    async def add(request: Request, body: AdapterBody) -> Response:
        """Serve an adapter under its name; answered once it is in memory."""
        known = found()
        accept(body, record_of(request.scope), service.settings.ignore_unknown_fields)
        if body.model not in known:
            shown = body.model[:LONGEST_NAME]
            hint = nearest(shown, known)
            raise RequestError(404, "adapter_not_found", f"there is no adapter {shown!r}{hint}", "model")
        await store.add(body.model, known[body.model])
        return json_answer(told(service, store.descriptions[body.model]))

    @router.delete("/v1/adapters/{name}", responses={200: {"model": Removed}})
    async def remove(name: str) -> Response:
        """Take no more requests for an adapter; its memory is free once the last one is answered."""
        found()
        store.remove(name)
        answer: dict[str, Any] = {"id": name, "object": "model", "deleted": True}
        return json_answer(answer)

    return router
