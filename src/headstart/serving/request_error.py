"""What is wrong with a request, in the shape of OpenAI's API.

{"error": {"message": "...", "type": "...", "param": "...", "code": "..."}}
"""

from collections.abc import Sequence
from typing import Any

import orjson
from fastapi import Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from headstart.errors import HeadstartError

TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
"""What OpenAI calls a status; other 4xx are `invalid_request_error`, 5xx `server_error`."""
RETRY_SECONDS = {"queue_full": 1, "bodies_full": 1, "queue_timeout": 1, "loading": 5, "shutting_down": 10}
"""By code: after how long another try makes sense."""
LONGEST_NAME = 100
"""Characters of a name in a body, or of a model's, that an error repeats."""
_TYPE_NAMES = {"str", "int", "float", "bool", "dict", "none"}


class Problem(BaseModel):
    """What is wrong: one sentence, and names that programs can tell apart."""

    message: str
    type: str
    param: str | None
    code: str


class ErrorAnswer(BaseModel):
    """The body of every answer that is an error."""

    error: Problem


class RequestError(HTTPException):
    """A request that is not answered; the message is one sentence with what to do."""

    def __init__(self, status: int, code: str, message: str, param: str | None = None) -> None:
        super().__init__(status, message)
        self.code, self.message, self.param = code, message, param

    @property
    def problem(self) -> ErrorAnswer:
        """The body."""
        usual = "server_error" if self.status_code >= 500 else "invalid_request_error"
        kind = TYPES.get(self.status_code, usual)
        return ErrorAnswer(error=Problem(message=self.message, type=kind, param=self.param, code=self.code))

    def response(self) -> Response:
        """The answer to the request."""
        headers = {}
        if self.code in RETRY_SECONDS:
            headers["retry-after"] = str(RETRY_SECONDS[self.code])
        if self.status_code == 401:
            headers["www-authenticate"] = "Bearer"
        body = orjson.dumps(self.problem.model_dump())
        return Response(body, self.status_code, headers, "application/json")


def unfit(error: HeadstartError, param: str | None = None) -> RequestError:
    """A user's mistake that a model finds in what it was given."""
    return RequestError(400, "unsupported_value", str(error), param)


def of_validation(errors: Sequence[Any]) -> RequestError:
    """What pydantic finds wrong with a body, as one sentence about the first field that does not fit."""
    first = errors[0]
    if first["type"] == "json_invalid":
        return RequestError(400, "invalid_json", f"the body is no JSON: {first['ctx']['error']}")
    place = [str(part) for part in first["loc"][1:] if _is_name(part)]
    name = ".".join(place)[:LONGEST_NAME] or "the body"
    if first["type"] == "missing":
        return RequestError(400, "missing_field", f"the request lacks {name!r}", name)
    # Of a field that may be of several types, pydantic says of each why it is not that one.
    same = [error["msg"] for error in errors if error["loc"][:2] == first["loc"][:2]]
    why = " or ".join(dict.fromkeys(same))
    return RequestError(400, "unsupported_value", f"{name} does not fit: {why[:400]}", name)


def _is_name(part: Any) -> bool:
    """Whether a part of a location stands in the body, and is no name of a type that was tried."""
    return isinstance(part, int) or (part.islower() and part.isidentifier() and part not in _TYPE_NAMES)
