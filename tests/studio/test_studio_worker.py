"""The worker: of the requests of one view that wait, the newest alone is computed."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from headstart.studio.worker import QUEUE, Superseded, Worker, WorkerGone


class Counted(Worker):
    """A worker whose computation is the name of the look, once it may go on."""

    def __init__(self) -> None:
        super().__init__([], 0)
        self.may_go_on = asyncio.Event()

    async def _compute(self, look: str, folder: Path, arguments: Any) -> bytes:
        await self.may_go_on.wait()
        return look.encode()


async def answers(worker: Counted, *asked: tuple[str, str, int]) -> list[Any]:
    """What looks, asked by views in turns, all at once, give."""
    all_of_them = [asyncio.create_task(worker.ask(look, Path(), view, turn)) for look, view, turn in asked]
    await asyncio.sleep(0)
    worker.may_go_on.set()
    return await asyncio.gather(*all_of_them, return_exceptions=True)


def test_a_newer_request_takes_the_place_of_those_of_its_view_that_wait() -> None:
    async def ask() -> list[Any]:
        return await answers(
            Counted(), ("begun", "a", 1), ("older", "a", 2), ("other", "b", 1), ("newest", "a", 3)
        )

    begun, older, other, newest = asyncio.run(ask())
    assert (begun, other, newest) == (b"begun", b"other", b"newest")
    assert isinstance(older, Superseded)


def test_turns_that_begin_anew_are_answered_and_nothing_is_kept_of_a_view() -> None:
    async def ask() -> tuple[Any, Any]:
        worker = Counted()
        (first,) = await answers(worker, ("first", "a", 9))
        (again,) = await answers(worker, ("again", "a", 1))
        assert worker._waiting == []
        return first, again

    assert asyncio.run(ask()) == (b"first", b"again")


def test_a_request_that_finds_no_room_takes_nobodys_place() -> None:
    async def ask() -> list[Any]:
        waiting = [(f"{number}", f"view {number}", 1) for number in range(QUEUE)]
        return await answers(Counted(), *waiting, ("too many", "view 5", 2))

    *others, last = asyncio.run(ask())
    assert others == [f"{number}".encode() for number in range(QUEUE)]
    with pytest.raises(WorkerGone, match="too many requests wait"):
        raise last
