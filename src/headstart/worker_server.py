"""Imported first by the server that forks workers (see `headstart.workers`), and by nobody else."""

import sys
from types import TracebackType


def _say(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Leave it to the parent to say that a folder went while a worker came up; say the rest as ever."""
    if not issubclass(kind, FileNotFoundError):
        sys.__excepthook__(kind, error, trace)


sys.excepthook = _say
