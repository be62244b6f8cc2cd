"""Progress of long work: a bar with throughput and time left on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Column

from headstart.console import Console, printable

SECONDS_BETWEEN_LINES = 10.0

console = Console(stderr=True)


class ProgressBar:
    """Counts `done` units of `total`; use as a context manager.

    Args:
        label: what is being done, a few words.
        total: number of units, or None where it is not known beforehand.
        unit: what is counted, e.g. "pages".
        done: units that an earlier, interrupted call did; they count in the share, not in the throughput.
    """

    def __init__(self, label: str, total: float | None, unit: str, done: float = 0.0) -> None:
        self.label, self.total, self.unit = label, total, unit
        self.done = self._done_before = done
        self.note = ""
        self._started = self._last_line = time.monotonic()
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> "ProgressBar":
        if console.is_terminal:
            # On a narrow terminal the status is cut, and never the bar, its per cent and the time left.
            whole, what_fits = Column(no_wrap=True), Column(no_wrap=True, overflow="ellipsis", ratio=1)
            self._progress = Progress(
                TextColumn("{task.description}", markup=False, table_column=whole),
                BarColumn(bar_width=20, table_column=Column(no_wrap=True, min_width=20)),
                TaskProgressColumn(table_column=Column(no_wrap=True, min_width=4)),
                TimeRemainingColumn(compact=True, table_column=Column(no_wrap=True, min_width=5)),
                TextColumn("{task.fields[status]}", markup=False, table_column=what_fits),
                console=console,
                transient=True,
                expand=True,
            )
            self._progress.start()
            self._task = self._progress.add_task(
                printable(self.label), total=self.total, completed=int(self.done), status=""
            )
        return self

    def advance(self, units: float, note: str = "") -> None:
        """Count `units` more; `note` (a loss, say) stands beside the throughput."""
        self.done += units
        self.note = note or self.note
        if self._progress is not None and self._task is not None:
            status = f"{printable(self.note)} {self._status()}".lstrip()
            self._progress.update(self._task, completed=self.done, status=status)
        elif time.monotonic() - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            share = f" {100 * self.done / self.total:3.0f} %" if self.total else ""
            line = f"  {printable(self.label)}:{share} {self._status()} {printable(self.note)}".rstrip()
            print(line, file=sys.stderr, flush=True)

    def _status(self) -> str:
        rate = (self.done - self._done_before) / max(time.monotonic() - self._started, 1e-9)
        digits = 0 if rate >= 10 else 1
        return printable(f"{self.done:,.0f} {self.unit}, {rate:,.{digits}f} {self.unit}/s")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()


@contextmanager
def stage(title: str) -> Iterator[None]:
    """Announce a stage and say how long it took when it ends well."""
    started = time.monotonic()
    console.print(title, style="bold")
    yield
    console.print(f"  done in {time.monotonic() - started:,.1f} s", style="dim")
