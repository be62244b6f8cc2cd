"""A client that asks an application inside the process."""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any

import httpx

from headstart.serving.app import Application
from headstart.serving.settings import ServeSettings

SETTINGS = ServeSettings(access_log=False, port=0)


class Client:
    """Asks an application without a network, from a loop of its own."""

    def __init__(self, application: Application, **headers: str) -> None:
        self.application = application
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        transport = httpx.ASGITransport(application)
        self.http = httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=headers)

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """The result of something asynchronous, in the application's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    def post(self, path: str, body: Any = None, **options: Any) -> httpx.Response:
        """POST a JSON body."""
        if body is not None:
            options["json"] = body
        return self.run(self.http.post(path, **options))

    def get(self, path: str, **options: Any) -> httpx.Response:
        """GET a path."""
        return self.run(self.http.get(path, **options))

    def results(self, path: str, body: Any) -> Any:
        """The results of a task route that answers."""
        answer = self.post(path, body)
        assert answer.status_code == 200, answer.text
        return answer.json()["results"]

    def problem(self, path: str, body: Any, status: int = 400, **options: Any) -> dict[str, Any]:
        """The error of a request that is refused."""
        answer = self.post(path, body, **options)
        assert answer.status_code == status, answer.text
        assert set(answer.json()) == {"error"}
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
        return answer.json()["error"]

    def close(self) -> None:
        """End the application's threads and the loop."""
        self.run(self.application.service.store.close())
        self.run(self.http.aclose())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()
