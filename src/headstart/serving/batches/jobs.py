"""Batches answered by the server itself, one after the other, beside what others ask at the same time."""

import asyncio
import json
import logging
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson

from headstart.serving.batches.lines import BatchLine, WrongLine, batch_answer, read_batch
from headstart.serving.batches.state import Batch, State
from headstart.serving.request_error import RequestError

AT_ONCE = 16
"""Requests of a batch that are being answered."""
BUSY = (429, 503)
"""Statuses after which a request is asked again."""
PATIENCE = 1.0
"""Seconds until then."""
FOLDER_PATIENCE = 10.0
"""Seconds until a folder that could not be read or written is tried again."""
log = logging.getLogger("headstart.serving")

Ask = Callable[[str, Any], Awaitable[tuple[int, bytes]]]
"""Status and body of the answer to a POST."""


class BatchJobs:
    """Answers the batches of a state until it is closed. What has an answer is never asked again."""

    def __init__(self, state: State, ask: Ask, ending: Callable[[], bool]) -> None:
        """
        Args:
            ending: whether the server takes no more requests; the rest is left to the next one then.
        """
        self.state, self.ask, self.ending = state, ask, ending
        self.new = asyncio.Event()
        """Set when there may be a batch to answer."""
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Answer what there is and what comes."""
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Give up what is being answered, and the folder."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        self.state.close()

    async def _run(self) -> None:
        while not self.ending():
            self.new.clear()
            batch = self.state.next_batch()
            if batch is None:
                await self.new.wait()
                continue
            try:
                await self._answer_or_fail(batch)
            except (OSError, sqlite3.Error):  # as of a full disk; no answer is lost by waiting
                log.exception("%s waits: %s cannot be read or written", batch.id, self.state.folder)
                await asyncio.sleep(FOLDER_PATIENCE)

    async def _answer_or_fail(self, batch: Batch) -> None:
        """Bring a batch to its end, unless the server ends before.

        Raises:
            OSError, sqlite3.Error: the folder cannot be read or written.
        """
        try:
            await self._answer(batch)
        except WrongLine as error:
            await self._fail(batch, "invalid_line", f"line {error.number}{error.why}", error.number)
        except RequestError as error:
            await self._fail(batch, error.code, error.message)
        except (OSError, sqlite3.Error):
            raise
        except Exception:
            log.exception("%s failed", batch.id)
            await self._fail(batch, "internal_error", "the server made a mistake; its log has it")

    async def _answer(self, batch: Batch) -> None:
        """Answer the rest of a batch, and write its files.

        Raises:
            WrongLine, RequestError: it cannot be answered.
        """
        path = self.state.path(batch.input_file_id)
        if not path.is_file():
            raise RequestError(404, "file_not_found", f"the content of {batch.input_file_id} is gone")
        if batch.status == "validating":
            total = await asyncio.to_thread(check, batch, path)
            if self.state.batch(batch.id).status == "validating":  # not cancelled meanwhile
                batch = self.state.move(batch, "in_progress", total=total)
        await self._ask_all(batch, self.state.answered(batch))
        if self.ending():
            return
        cancelled = self.state.batch(batch.id).status == "cancelling"
        if not cancelled:
            self.state.move(batch, "finalizing")
        await self._end(batch, "cancelled" if cancelled else "completed")

    async def _end(self, batch: Batch, status: str, **values: str) -> None:
        """Write what was answered into files; with them the batch has ended."""
        output, errors = (f"file-{uuid4().hex}" for _ in range(2))
        wrote, failed = [
            await asyncio.to_thread(self.state.write_answers, batch, kind, identity)
            for kind, identity in ((False, output), (True, errors))
        ]
        self.state.end(batch, status, output if wrote else None, errors if failed else None, **values)

    async def _ask_all(self, batch: Batch, done: set[int]) -> None:
        """Ask every line without an answer, some at once, until the batch is cancelled or the server ends."""
        turns = asyncio.Semaphore(AT_ONCE)
        try:
            async with asyncio.TaskGroup() as group:
                for place, line in enumerate(read_batch(self.state.path(batch.input_file_id))):
                    if place in done:
                        continue
                    await turns.acquire()
                    if self.ending() or self.state.batch(batch.id).status == "cancelling":
                        return
                    task = group.create_task(self._ask_one(batch, place, line))
                    task.add_done_callback(lambda _: turns.release())
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None

    async def _ask_one(self, batch: Batch, place: int, line: BatchLine) -> None:
        status, body = await self.ask(line.url, line.body)
        while status in BUSY:
            if self.ending():
                return
            await asyncio.sleep(PATIENCE)
            status, body = await self.ask(line.url, line.body)
        answer = orjson.dumps(batch_answer(line.custom_id, status, body))
        self.state.refuse_full(len(answer))
        self.state.answer(batch, place, status != 200, answer)

    async def _fail(self, batch: Batch, code: str, message: str, line: int | None = None) -> None:
        said = {"code": code, "message": message, "line": line, "param": None}
        await self._end(batch, "failed", errors=json.dumps({"object": "list", "data": [said]}))


def check(batch: Batch, path: Path) -> int:
    """How many requests a file has, each for the batch's route.

    Raises:
        WrongLine: a line that is no such request.
    """
    total = 0
    for number, line in enumerate(read_batch(path), 1):
        if line.url != batch.endpoint:
            raise WrongLine(path, number, f": its url is {line.url[:100]!r}, the batch's {batch.endpoint!r}")
        total += 1
    return total
