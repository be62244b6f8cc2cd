"""CPU seconds by stage, for pipelines whose stages are interleaved document by document."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any


class Clock:
    """Charges the CPU time of this process to the stage that is running; stages may nest."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._stage, self._since = "rest", time.process_time()

    def switch(self, stage: str) -> str:
        """Go over to a stage; returns the one before."""
        now = time.process_time()
        self.seconds[self._stage] += now - self._since
        before, self._stage, self._since = self._stage, stage, now
        return before

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        before = self.switch(name)
        try:
            yield
        finally:
            self.switch(before)

    def over(self, name: str, items: Iterable[Any]) -> Iterator[Any]:
        """The items of an iterator, what it takes to get each one charged to a stage."""
        iterator = iter(items)
        while True:
            before = self.switch(name)
            try:
                item = next(iterator)
            except StopIteration:
                return
            finally:
                self.switch(before)
            yield item

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, each of its calls charged to a stage."""

        @wraps(function)
        def charged(*given: Any, **named: Any) -> Any:
            with self.stage(name):
                return function(*given, **named)

        return charged


def peak_memory() -> int:
    """The most bytes that this process has had in memory; unlike `getrusage`, nothing of its parent's."""
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
