"""A file of requests in OpenAI's format of batches, and the answers to its lines.

{"custom_id": "1", "method": "POST", "url": "/v1/classify", "body": {"input": "..."}}
"""

from codecs import BOM_UTF8
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from headstart.errors import HeadstartError


class BatchLine(BaseModel):
    """A line of the input."""

    model_config = ConfigDict(extra="forbid", strict=True)
    custom_id: str
    method: str = "POST"
    url: str
    body: dict[str, Any]


class WrongLine(HeadstartError):
    """A line that is no request of a batch."""

    def __init__(self, path: Path, number: int, why: str) -> None:
        super().__init__(f"{path} line {number}{why}")
        self.number, self.why = number, why


def read_batch(path: Path) -> Iterator[BatchLine]:
    """The requests of a file.

    Raises:
        WrongLine: a line that is none, or asks for a stream, or has the id of an earlier one.
    """
    seen: set[str] = set()
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if number == 1:
                line = line.removeprefix(BOM_UTF8)
            if not line.strip():
                continue
            try:
                found = BatchLine.model_validate(orjson.loads(line))
            except orjson.JSONDecodeError as error:
                raise WrongLine(path, number, f" is no JSON ({error.msg}); correct it") from None
            except ValidationError as error:
                first = error.errors()[0]
                key = ".".join(map(str, first["loc"]))[:100] or "it"
                raise WrongLine(path, number, f": {key} is wrong ({first['msg']}); correct it") from None
            if found.method != "POST" or found.body.get("stream"):
                raise WrongLine(path, number, ": a batch has POST requests without stream; correct it")
            if found.custom_id in seen:
                raise WrongLine(path, number, f": custom_id {found.custom_id[:100]!r} was there before")
            seen.add(found.custom_id)
            yield found


def batch_answer(custom_id: str, status: int, body: bytes) -> dict[str, Any]:
    """The line of the output for a request that was answered."""
    identity = uuid4().hex
    return {
        "id": f"batch_req_{identity}",
        "custom_id": custom_id,
        "response": {"status_code": status, "request_id": identity, "body": orjson.loads(body)},
        "error": None,
    }
