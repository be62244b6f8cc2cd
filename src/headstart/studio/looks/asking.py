"""The function that the server sends to the worker process; this module is light, for the server has it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def compute(look: str, folder: str, roots: list[Path], memory: int, arguments: Mapping[str, Any]) -> bytes:
    """The frame of a look at the model in a folder."""
    from headstart.studio.looks import worker_process

    return worker_process.compute(look, Path(folder), roots, memory, arguments)
