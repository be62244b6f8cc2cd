"""Files and batches as OpenAI's API has them, where the server was given a folder to keep them in."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Annotated, Any, ClassVar, Generic, Literal, TypeAlias, TypeVar

from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse, Response
from pydantic import BaseModel, Field

from headstart.serving.batches.form import read_form
from headstart.serving.batches.jobs import BatchJobs
from headstart.serving.batches.state import OPEN, Batch, StoredFile, page
from headstart.serving.body import Body, accept
from headstart.serving.guard import FILES, record_of
from headstart.serving.request_error import RequestError
from headstart.serving.served_model import BATCHED
from headstart.serving.service import Service, json_answer

LONGEST_NAME = 255
FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "purpose": {"type": "string", "enum": ["batch"]},
                    },
                    "required": ["file", "purpose"],
                }
            }
        },
    }
}
"""What is sent with a file, for `openapi.json`."""


BYTES = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
"""What a file's content is answered as."""


class FileAnswer(BaseModel):
    """A file."""

    id: str
    object: Literal["file"]
    bytes: int
    created_at: int
    filename: str
    purpose: str
    status: Literal["processed"]


class DeletedFile(BaseModel):
    """A file that is no more."""

    id: str
    object: Literal["file"]
    deleted: bool


class RequestCounts(BaseModel):
    """How many requests a batch has, and what became of them so far."""

    total: int
    completed: int
    failed: int


class BatchAnswer(BaseModel):
    """A batch."""

    id: str
    object: Literal["batch"]
    endpoint: str
    input_file_id: str
    completion_window: str
    status: str
    request_counts: RequestCounts
    output_file_id: str | None
    error_file_id: str | None
    errors: dict[str, Any] | None
    metadata: dict[str, str] | None
    created_at: int
    in_progress_at: int | None
    finalizing_at: int | None
    completed_at: int | None
    failed_at: int | None
    cancelling_at: int | None
    cancelled_at: int | None


Item = TypeVar("Item")


class Page(BaseModel, Generic[Item]):
    """Some of a list."""

    object: Literal["list"]
    data: list[Item]
    first_id: str | None
    last_id: str | None
    has_more: bool


Key: TypeAlias = Annotated[str, Field(max_length=64)]
Value: TypeAlias = Annotated[str, Field(max_length=512)]


class BatchBody(Body):
    """What is to be answered."""

    NEUTRAL: ClassVar[Mapping[str, Sequence[Any]]] = {"output_expires_after": ()}

    model: None = None
    input_file_id: str
    endpoint: Annotated[str, Field(max_length=100)]
    completion_window: Literal["24h"] = "24h"
    """As OpenAI has it; a batch is answered to its end, however long that takes."""
    metadata: Annotated[dict[Key, Value], Field(max_length=16)] | None = None
    output_expires_after: Any = None


Limit = Annotated[int, Query(ge=1, le=10_000)]


def batch_routes(service: Service, jobs: BatchJobs | None) -> APIRouter:
    """Routes of files and batches.

    Args:
        jobs: what answers batches; None: nothing is kept here.
    """
    router = service.router("batches")

    def kept() -> BatchJobs:
        if jobs is None:
            raise RequestError(
                403, "state_not_kept", "no files are kept here; start the server with --state FOLDER"
            )
        return jobs

    @router.post(FILES, responses={200: {"model": FileAnswer}}, openapi_extra=FORM)
    async def upload(request: Request) -> Response:
        """Keep a file of requests, one JSON object a line."""
        state = kept().state
        form = read_form(await request.body(), request.headers.get("content-type", ""))
        unknown = form.keys() - {"file", "purpose"}
        if unknown:
            name = min(unknown)[:100]
            raise RequestError(400, "unknown_field", f"there is no field {name!r}", name)
        for name in ("file", "purpose"):
            if name not in form:
                raise RequestError(400, "missing_field", f"the form lacks {name!r}", name)
        if form["purpose"].content != b"batch":
            raise RequestError(400, "unsupported_value", "purpose has to be batch", "purpose")
        name = (form["file"].filename or "file")[:LONGEST_NAME]
        return json_answer(told_file(state.add_file(form["file"].content, name, "batch")))

    @router.get(FILES, responses={200: {"model": Page[FileAnswer]}})
    async def files(
        purpose: str | None = None,
        after: str | None = None,
        limit: Limit = 10_000,
        order: Literal["asc", "desc"] = "desc",
    ) -> Response:
        """Files, the newest first unless `order` is asc."""
        found = kept().state.files(purpose)
        return listed(found[:: 1 if order == "desc" else -1], after, limit, told_file)

    @router.get(f"{FILES}/{{file_id}}", responses={200: {"model": FileAnswer}})
    async def file(file_id: str) -> Response:
        """One file."""
        return json_answer(told_file(kept().state.file(file_id)))

    @router.get(f"{FILES}/{{file_id}}/content", responses={200: {"content": BYTES}})
    async def content(file_id: str) -> Response:
        """What is in a file."""
        found = kept().state.file(file_id)
        return FileResponse(kept().state.path(found.id), media_type="application/octet-stream")

    @router.delete(f"{FILES}/{{file_id}}", responses={200: {"model": DeletedFile}})
    async def delete(file_id: str) -> Response:
        """Delete a file that no batch reads."""
        kept().state.delete_file(file_id)
        return json_answer({"id": file_id, "object": "file", "deleted": True})

    @router.post("/v1/batches", responses={200: {"model": BatchAnswer}})
    async def create(request: Request, body: BatchBody) -> Response:
        """Answer a file of requests."""
        answering = kept()
        accept(body, record_of(request.scope), service.settings.ignore_unknown_fields)
        if body.endpoint not in BATCHED:
            raise RequestError(
                400, "unsupported_value", f"endpoint has to be one of {', '.join(BATCHED)}", "endpoint"
            )
        window = body.completion_window
        made = answering.state.add_batch(body.endpoint, body.input_file_id, window, body.metadata)
        answering.new.set()
        return json_answer(told_batch(made))

    @router.get("/v1/batches", responses={200: {"model": Page[BatchAnswer]}})
    async def batches(after: str | None = None, limit: Limit = 20) -> Response:
        """Batches, the newest first."""
        return listed(kept().state.batches(), after, limit, told_batch)

    @router.get("/v1/batches/{batch_id}", responses={200: {"model": BatchAnswer}})
    async def batch(batch_id: str) -> Response:
        """How far a batch is."""
        return json_answer(told_batch(kept().state.batch(batch_id)))

    @router.post("/v1/batches/{batch_id}/cancel", responses={200: {"model": BatchAnswer}})
    async def cancel(batch_id: str) -> Response:
        """Ask no more of a batch; what has been answered will be in its files."""
        state = kept().state
        found = state.batch(batch_id)
        if found.status not in OPEN:
            raise RequestError(409, "batch_ended", f"the batch is {found.status} already", "batch_id")
        if found.status in ("validating", "in_progress"):
            found = state.move(found, "cancelling")
        return json_answer(told_batch(found))

    return router


def listed(found: Sequence[Any], after: str | None, limit: int, told: Any) -> Response:
    """A part of a list, as OpenAI's clients turn pages."""
    some = page(found, after, limit)
    more = bool(some) and some[-1].id != found[-1].id
    ends = {"first_id": some[0].id if some else None, "last_id": some[-1].id if some else None}
    return json_answer({"object": "list", "data": [told(one) for one in some], "has_more": more} | ends)


def told_file(file: StoredFile) -> dict[str, Any]:
    """A file as `/v1/files` has it."""
    return asdict(file) | {"object": "file", "status": "processed"}


def told_batch(batch: Batch) -> dict[str, Any]:
    """A batch as `/v1/batches` has it."""
    own = asdict(batch) | {"object": "batch"}
    del own["answer_bytes"]
    own["request_counts"] = {name: own.pop(name) for name in ("total", "completed", "failed")}
    for name in ("metadata", "errors"):
        own[name] = None if own[name] is None else json.loads(own[name])
    return own
