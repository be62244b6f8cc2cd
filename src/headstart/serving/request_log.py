"""A file of requests with their answers, one JSON line each, where the server was asked to keep one.

The lines hold what people wrote: the file is readable by its owner alone. No header is kept, and so no key.
The file is opened for every line, so that it may be renamed at any time, as logrotate does.
"""

import logging
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from prometheus_client import Counter

from headstart.errors import HeadstartError

VECTORS = ("/v1/embeddings", "/embed")
"""Routes whose answers are not kept: they are large, and the model makes them again."""
BEGINNING = b'{"time":"'
"""Of every line."""
log = logging.getLogger("headstart.serving")


@dataclass
class Exchange:
    """The body of a request, and what was sent for it so far."""

    body: bytes
    sent: list[bytes] = field(default_factory=list)

    def told(self, path: str, status: int) -> dict[str, Any]:
        """Request and response as JSON values; a stream as the answer that it would have been without one."""
        answer = b"".join(self.sent)
        if path in VECTORS and status == 200:
            response = None
        elif answer.startswith((b"data: ", b": ")):
            response = joined(answer)
        else:
            response = _parsed(answer)
        return {"request": _parsed(self.body), "response": response}


class RequestLog:
    """Appends lines to a file."""

    def __init__(self, path: Path, lost: Counter) -> None:
        """
        Args:
            lost: counts the lines that could not be written.

        Raises:
            HeadstartError: the file cannot be opened, or holds something else.
        """
        self.path, self.lost = path, lost
        try:
            self._end_last_line()
            os.close(self._open())
        except OSError as error:
            raise HeadstartError(
                f"--log-requests {path} cannot be written ({error.strerror}); name another file"
            ) from None

    def _end_last_line(self) -> None:
        """Close a line that a kill cut off, so that the next one stands by itself.

        Raises:
            HeadstartError: the file is another one of the user's.
        """
        if not self.path.is_file() or not self.path.stat().st_size:
            return
        with self.path.open("a+b") as file:  # another server may append too
            file.seek(0)
            first = file.read(len(BEGINNING))
            if first != BEGINNING[: len(first)]:
                raise HeadstartError(
                    f"--log-requests {self.path} holds something else than requests; name another file"
                )
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")

    def write(self, line: dict[str, Any]) -> None:
        """Append a line; where that fails, the server goes on and says so."""
        text = orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
        try:
            file = self._open()
            try:
                size = os.fstat(file).st_size
                if os.write(file, text) < len(text):
                    os.ftruncate(file, size)
                    raise OSError("there is no room for the whole line")
            finally:
                os.close(file)
        except OSError as error:
            self.lost.inc()
            log.error("request %s is not in %s: %s", line.get("id"), self.path, error)

    def _open(self) -> int:
        return os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def joined(stream: bytes) -> dict[str, Any]:
    """The events of a stream as one answer, without log-probabilities."""
    answer: dict[str, Any] = {}
    choices: dict[int, dict[str, Any]] = {}
    for line in stream.split(b"\n\n"):
        event = _parsed(line.removeprefix(b"data: ")) if line.startswith(b"data: {") else None
        if not isinstance(event, dict):
            continue
        answer |= event
        for part in event.get("choices", ()):
            choice = choices.setdefault(part["index"], {"index": part["index"], "finish_reason": None})
            if "text" in part:
                choice["text"] = choice.get("text", "") + part["text"]
            for name, value in part.get("delta", {}).items():
                message = choice.setdefault("message", {})
                grows = name == "content" and value is not None
                message[name] = (message.get(name) or "") + value if grows else value
            choice["finish_reason"] = part["finish_reason"] or choice["finish_reason"]
    if choices:
        answer["choices"] = [choices[index] for index in sorted(choices)]
    if answer.get("object") == "chat.completion.chunk":
        answer["object"] = "chat.completion"
    return answer


def _parsed(text: bytes) -> Any:
    """A JSON value; of what is none, and of nothing, None."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
