"""The server that is talked to: `headstart serve` for one model, beside the studio and for it alone.

What the Chat view shows is therefore what anybody gets over HTTP: streaming, calls of functions, JSON of a
schema. It listens on this machine alone, at a port of its own, and asks for a key that nobody else has. It
reads a pipe that the studio holds, and ends when that closes: a studio that is killed leaves nobody behind.
"""

import atexit
import http.client
import os
import secrets
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import orjson

from headstart.errors import HeadstartError
from headstart.folder import JSONObject

NAME = "chat"
PATIENCE = 600.0
"""Seconds that an answer may take between two pieces."""


class ChatServer:
    """One process that serves one model, started at the first question.

    Args:
        memory: bytes that the weights of the model may have.
    """

    def __init__(self, memory: int) -> None:
        self.memory = memory
        self._key = secrets.token_urlsafe(24)
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: Path | None = None
        self._port = 0
        self._turn = threading.Lock()
        atexit.register(self.close)  # a studio that ends early leaves nobody behind

    def open(self, folder: Path) -> None:
        """Serve the model in a folder; another one's process ends.

        Raises:
            HeadstartError: no finished model is there, it is too large, or it cannot be served.
        """
        place = model_in(folder)
        with self._turn:
            alive = self._process is not None and self._process.poll() is None
            if alive and self._folder == place:
                return
            self._end()
            size = sum(file.stat().st_size for file in place.glob("*.safetensors"))
            if size > self.memory:
                raise HeadstartError(
                    f"{folder.name} has {size / 1e9:.1f} GB of weights, and the studio may hold "
                    f"{self.memory / 1e9:.1f} GB; start it with --memory"
                )
            self._start(place)

    def post(self, path: str, body: JSONObject) -> http.client.HTTPResponse:
        """The server's answer, whose body is still to be read.

        Raises:
            HeadstartError: what the server says against the request, or that it has ended.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
        headers = {"content-type": "application/json", "authorization": f"Bearer {self._key}"}
        try:
            connection.request("POST", path, orjson.dumps({"model": NAME} | body), headers)
            answer = connection.getresponse()
        except OSError:
            connection.close()
            raise HeadstartError("the process that serves the model has ended; ask again") from None
        if answer.status != 200:
            raise HeadstartError(_sentence(answer.read()))
        return answer

    def json(self, path: str, body: JSONObject) -> Any:
        """The whole answer; see `post`."""
        with self.post(path, body) as answer:
            return orjson.loads(answer.read())

    def close(self) -> None:
        """End the process."""
        with self._turn:
            self._end()

    def _start(self, place: Path) -> None:
        command = [sys.executable, "-m", "headstart", "serve", "--model", f"{NAME}={place}", "--port", "0"]
        with tempfile.TemporaryFile() as said:
            process = subprocess.Popen(
                [*command, "--no-access-log", "--drain", "0", "--end-with-stdin"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                env={**os.environ, "HEADSTART_API_KEY": self._key},
            )
            assert process.stdout is not None
            first = process.stdout.readline().decode()
            if "serving on http" not in first:
                process.terminate()
                process.wait()
                said.seek(0)
                last = said.read().decode(errors="replace").strip().splitlines()
                reason = last[-1].removeprefix("headstart: ") if last else "it ended without a word"
                raise HeadstartError(f"{place} cannot be talked to: {reason}")
        self._port = int(first.strip().rpartition(":")[2].strip("/"))
        self._process, self._folder = process, place

    def _end(self) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.close()
            self._process.stdout.close()
        self._process = self._folder = None


def model_in(folder: Path) -> Path:
    """The finished model of a folder: what a run's recipe names is not followed."""
    for place in (folder / "model", folder):
        if (place / "config.json").is_file() and any(place.glob("*.safetensors")):
            return place
    raise HeadstartError(
        f"{folder.name} has no finished model to talk to; choose a finished run, or one of its snapshots"
    )


def _sentence(said: bytes) -> str:
    """What the server says went wrong."""
    try:
        found = orjson.loads(said)
        return str(found["error"]["message"] if "error" in found else found["message"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return "the server refused the request without a word; look at its settings"
