"""What a model computes in; its weights are always float32."""

import torch

from headstart.errors import HeadstartError, nearest
from headstart.training.machine import describe_machine

PRECISIONS = ("auto", "float32", "bfloat16")


def dtype_named(name: str) -> torch.dtype:
    """The dtype of that name; `auto` measures whether bfloat16 is worth its rounding on this machine."""
    if name not in PRECISIONS:
        raise HeadstartError(f"there is no precision {name!r}{nearest(name, PRECISIONS)}")
    found: torch.dtype = getattr(torch, describe_machine()["precision"] if name == "auto" else name)
    return found
