"""A file of requests answered by the same routes as the server, without one.

Answers are kept in a file beside the output as they come, each with a fingerprint of its request and the
models, so that a batch that was stopped goes on where it was. The output appears whole, in the order of the
requests.
"""

import asyncio
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import orjson
from typing_extensions import TypedDict  # typing's own is not checked before Python 3.12

from headstart.errors import HeadstartError
from headstart.folder import atomic, checked, fingerprint
from headstart.progress import ProgressBar
from headstart.serving.app import Application
from headstart.serving.batches.lines import BatchLine, batch_answer, read_batch
from headstart.serving.settings import Limits, ServeSettings

AT_ONCE = 64
"""Requests that are being answered."""


def batch_settings(precision: str) -> ServeSettings:
    """A server's settings but for its patience: nobody waits for one answer of a file, so that a busy machine
    gives none of them up."""
    return ServeSettings(precision=precision, access_log=False, limits=Limits(queue_seconds=math.inf))


@dataclass(frozen=True)
class BatchCounts:
    """What became of a file."""

    requests: int
    kept: int
    """Answered by an earlier call."""
    failed: int
    """Answered by an error."""


def answer_batch(application: Application, source: Path, out: Path) -> BatchCounts:
    """Answer every request of `source`, and write the answers to `out`, which is claimed already.

    Raises:
        HeadstartError: see `read_batch`; nothing is asked then.
    """
    total = sum(1 for _ in read_batch(source))
    part = out.with_name(f".{out.name}.part")
    kept = _answered(part, again=False)
    described = application.service.store.descriptions.values()
    models = {one.name: f"{one.folder.absolute()} of {one.created}" for one in described}
    with part.open("ab") as file, ProgressBar("answering", total, "requests") as bar:
        earlier = asyncio.run(_answer_all(application, source, kept, models, file, bar))
    places = _answered(part, again=True)
    failed = 0
    with part.open("rb") as answers, atomic(out) as temporary, temporary.open("wb") as whole:
        for line in read_batch(source):
            answers.seek(places[_key(line, models)])
            answer = orjson.loads(answers.readline())["answer"]
            failed += answer["response"]["status_code"] != 200
            whole.write(orjson.dumps(answer, option=orjson.OPT_APPEND_NEWLINE))
    part.unlink()
    return BatchCounts(total, earlier, failed)


async def _answer_all(
    application: Application,
    source: Path,
    kept: Mapping[str, int],
    models: Mapping[str, str],
    file: BinaryIO,
    bar: ProgressBar,
) -> int:
    """Ask what has no answer yet; returns how many had one."""
    earlier, places = 0, asyncio.Semaphore(AT_ONCE)

    async def one(line: BatchLine, key: str) -> None:
        status, body = await application.ask(line.url, line.body)
        answer = batch_answer(line.custom_id, status, body)
        file.write(orjson.dumps({"key": key, "answer": answer}, option=orjson.OPT_APPEND_NEWLINE))
        file.flush()
        bar.advance(1)
        places.release()

    try:
        async with asyncio.TaskGroup() as asked:
            for line in read_batch(source):
                key = _key(line, models)
                if key in kept:
                    earlier += 1
                    bar.advance(1)
                    continue
                await places.acquire()
                asked.create_task(one(line, key))
    except BaseExceptionGroup as failed:  # one is enough to say; the group has ended the others
        raise failed.exceptions[0] from None
    await application.service.store.close()
    return earlier


def _key(line: BatchLine, models: Mapping[str, str]) -> str:
    """What an answer is the answer to."""
    return fingerprint([line.model_dump(), dict(models)])


def _answered(part: Path, again: bool) -> dict[str, int]:
    """Where the answers of this and earlier calls begin, by key, the last of each; a line that was cut goes.

    Args:
        again: also those that another try may change: the server was busy, or made a mistake.
    """
    found: dict[str, int] = {}
    if not part.exists():
        return found
    place, damaged = 0, 0
    with part.open("r+b") as file:
        for line in file:
            if not line.endswith(b"\n"):
                file.truncate(place)
                break
            said = _kept(line, part)
            status = 0 if said is None else said["answer"]["response"]["status_code"]
            if said is None:
                damaged += 1
            elif again or (status < 500 and status != 429):
                found[said["key"]] = place
            place += len(line)
    if damaged and not again:
        print(
            f"headstart: {damaged:,} of the answers that were kept are damaged; their requests are asked "
            "again",
            file=sys.stderr,
        )
    return found


class Status(TypedDict):
    """Of a response that is kept, what says whether it stays."""

    status_code: int


class KeptAnswer(TypedDict):
    """An answer that is kept."""

    response: Status


class KeptLine(TypedDict):
    """A line of kept answers."""

    key: str
    answer: KeptAnswer


def _kept(line: bytes, part: Path) -> KeptLine | None:
    """What a line keeps; None: it is damaged."""
    try:
        found: KeptLine = checked(orjson.loads(line), KeptLine, part)
    except (orjson.JSONDecodeError, HeadstartError):
        return None
    return found
