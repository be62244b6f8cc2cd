"""What all routes stand on: settings, models, figures, and how a request comes to its answers."""

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import time
from typing import Any

import numpy as np
import orjson
from fastapi import APIRouter, Request
from fastapi.responses import Response

from headstart.errors import HeadstartError
from headstart.serving.body import Body, accept
from headstart.serving.guard import RequestRecord, record_of
from headstart.serving.json_body import checked_json
from headstart.serving.metrics import Metrics
from headstart.serving.model_store import ModelStore, Resident
from headstart.serving.request_error import ErrorAnswer, RequestError, unfit
from headstart.serving.served_model import Description, Operation
from headstart.serving.settings import ServeSettings

STATUSES = (400, 401, 403, 404, 405, 408, 413, 415, 429, 500, 503)
ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorAnswer} for status in (*STATUSES, "default")
}
"""What any route may answer instead of its own, for `openapi.json`."""


@dataclass
class Asked:
    """A request on its way: its model, in memory for as long as it takes."""

    record: RequestRecord
    description: Description
    resident: Resident

    async def compute(self, operation: Operation, option: Any, inputs: Sequence[Any]) -> list[Any]:
        """One result for each input, by the model's task worker.

        Raises:
            RequestError: an input that the model cannot read, or too much to do.
        """
        job = self.resident.worker.submit(operation, option, inputs)
        try:
            results: list[Any] = await asyncio.wrap_future(job.future)
        except HeadstartError as error:
            raise unfit(error) from None
        finally:
            self.record.queue_seconds = job.queue_seconds
        return results

    async def count_tokens(self, texts: Sequence[str]) -> int:
        """How many tokens texts have together; noted for the log."""
        tokens = sum(await asyncio.to_thread(self.resident.model.tokens, texts))
        self.record.prompt_tokens = tokens
        return tokens

    async def embed(
        self, texts: Sequence[str], prompt: str | None = None, cuts: bool = False
    ) -> tuple[np.ndarray, int]:
        """Vectors of length 1, `[texts, D]`, and how many tokens were read, which is noted for the log.

        Args:
            cuts: whether the end of a text may be left out, by a model that reads no more.

        Raises:
            RequestError: the model has no such prompt, or would leave out the end of a text.
        """
        model = self.resident.model

        def counted() -> list[int]:
            return model.tokens(model.as_embedded(texts, prompt))

        try:
            tokens = await asyncio.to_thread(counted)
        except HeadstartError as error:
            raise unfit(error) from None
        if (most := model.most_embedded_tokens) is not None:
            long = next((place for place, count in enumerate(tokens) if count > most), None)
            if long is not None and not cuts:
                raise RequestError(
                    400,
                    "context_length_exceeded",
                    f"text {long} has {tokens[long]} tokens, and this model's vectors are made of at most "
                    f"{most}; split it",
                )
            tokens = [min(count, most) for count in tokens]
        self.record.prompt_tokens = sum(tokens)
        return np.stack(await self.compute("embed", prompt, texts)), sum(tokens)


class Service:
    """The server behind its routes."""

    def __init__(self, store: ModelStore, settings: ServeSettings, metrics: Metrics) -> None:
        self.store, self.settings, self.metrics = store, settings, metrics
        self.started = int(time())

    def router(self, *tags: str) -> APIRouter:
        """For routes whose bodies are checked and whose errors are documented."""
        return APIRouter(
            route_class=checked_json(self.settings.limits),
            responses=ERRORS,
            tags=list(tags),
            default_response_class=Response,
        )

    @asynccontextmanager
    async def asked(self, request: Request, body: Body, route: str) -> AsyncIterator[Asked]:
        """The model that a body asks, in memory for as long as its answer takes.

        Raises:
            RequestError: a field that nobody knows, no such model, one that does not answer this route, or no
                room for it now.
        """
        record = record_of(request.scope)
        accept(body, record, self.settings.ignore_unknown_fields)
        description = self.store.resolve(body.model, route)
        record.model = description.name
        async with self.store.use(description.name) as resident:
            yield Asked(record, description, resident)


def json_answer(value: Any) -> Response:
    """A value as JSON; numpy's numbers and arrays are written as they are.

    Raises:
        HeadstartError: it holds a number that is none, which JSON cannot say.
    """
    refuse_no_numbers(value)
    return Response(orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY), media_type="application/json")


def refuse_no_numbers(value: Any) -> None:
    """Refuse NaN and infinity anywhere in an answer: orjson would write them as null."""
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ArithmeticError("the model's answer holds a number that is none; its weights are damaged")
    elif isinstance(value, np.ndarray):
        if not np.isfinite(value).all():
            raise ArithmeticError("the model's answer holds a number that is none; its weights are damaged")
    elif isinstance(value, dict):
        for one in value.values():
            refuse_no_numbers(one)
    elif isinstance(value, list | tuple):
        for one in value:
            refuse_no_numbers(one)
