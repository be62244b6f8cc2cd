"""The one process that holds models: started at the first need, it answers one request at a time and never
writes. The server itself has no torch.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from headstart.errors import HeadstartError
from headstart.workers import worker_pool

LOOKS = "headstart.studio.looks.worker_process"
DEATHS = 3  # of the worker at one folder, and the folder is refused
QUEUE = 32  # requests that wait, at most


class Superseded(HeadstartError):
    """A newer request of the same view has come; this one's answer would not be looked at."""


class WorkerGone(HeadstartError):
    """The worker died; another one is being started."""


class Worker:
    """Sends requests to the worker process, one after another.

    Args:
        roots: where models may lie.
        memory: bytes of models that are held at once.
    """

    def __init__(self, roots: list[Path], memory: int) -> None:
        self.roots, self.memory = roots, memory
        self._pool: ProcessPoolExecutor | None = None
        self._turn = asyncio.Lock()
        self._waiting: list[tuple[str, int]] = []
        self.deaths: Counter[str] = Counter()

    async def ask(self, look: str, folder: Path, view: str = "", turn: int = 0, **arguments: Any) -> bytes:
        """What `looks` computes of a model: a frame.

        Args:
            view: who asks; of its requests that wait only the one with the largest `turn` is computed.

        Raises:
            HeadstartError: what the computation says, or `Superseded`, or `WorkerGone`.
        """
        if len(self._waiting) >= QUEUE:
            raise WorkerGone("too many requests wait for the models; try again in a moment")
        mine = (view, turn)
        self._waiting.append(mine)
        try:
            async with self._turn:
                if view and any(name == view and later > turn for name, later in self._waiting):
                    raise Superseded("a newer request has taken this one's place")
                return await self._compute(look, folder, arguments)
        finally:
            self._waiting.remove(mine)

    async def _compute(self, look: str, folder: Path, arguments: Mapping[str, Any]) -> bytes:
        key = str(folder)
        if self.deaths[key] >= DEATHS:
            raise HeadstartError(
                f"{folder.name} has ended the process that reads it {DEATHS} times, so it is not opened "
                "again; it may be damaged, or too large for this machine's memory: start the studio again "
                "to retry"
            )
        if self._pool is None:
            self._pool = worker_pool(1, LOOKS)
        from headstart.studio.looks.asking import compute

        try:
            began = time.perf_counter()
            answer: bytes = await asyncio.get_running_loop().run_in_executor(
                self._pool, compute, look, key, self.roots, self.memory, arguments
            )
            self.seconds = time.perf_counter() - began
            return answer
        except BrokenProcessPool:
            self._pool.shutdown(wait=False)
            self._pool = None
            self.deaths[key] += 1
            raise WorkerGone("the process that holds the models has ended; it is started again") from None

    def close(self) -> None:
        """End the process."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None
