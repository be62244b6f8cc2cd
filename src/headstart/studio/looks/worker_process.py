"""Inside the worker process: models by last use under a limit of memory, and the looks by name."""

import os
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from headstart.errors import HeadstartError
from headstart.interchange.model_folder import LoadedModel
from headstart.studio.frames import Looked, encode
from headstart.studio.looks import block, duel, generation, masking, meaning, task
from headstart.training.restore import open_any

LOOKS: dict[str, Callable[..., Looked]] = {
    "model": generation.model_facts,
    "tokenize": generation.tokenize,
    "trace": generation.trace,
    "row": generation.row,
    "beams": generation.beams,
    "continue": generation.continue_text,
    "hide": masking.hide,
    "fill": masking.fill,
    "influence": masking.influence,
    "block": block.block,
    "weight": block.weight,
    "gates": block.gates,
    "share_heads": block.share_heads,
    "vectors": meaning.vectors,
    "task_answers": task.answers,
    "task_selected": task.selected,
    "task_example": task.example,
    "task_influence": task.word_influence,
    "task_correction": task.correction,
    "task_corrected": task.corrected,
    "gap": duel.gap,
    "gap_text": duel.gap_text,
}
WITHOUT_MODEL: dict[str, Callable[..., Looked]] = {"preset": block.preset}

_held: OrderedDict[tuple[str, int], tuple[LoadedModel, int]] = OrderedDict()
"""By folder and time of change: the model and its bytes, the last used at the end."""


def compute(look: str, folder: Path, roots: list[Path], memory: int, arguments: Mapping[str, Any]) -> bytes:
    """The frame of a look, with what it was taken from."""
    if torch.get_num_threads() > 2:
        torch.set_num_threads(max(1, (os.cpu_count() or 2) // 2))
    needs = [] if look in WITHOUT_MODEL else [_model(folder, roots, memory)]
    began = time.perf_counter()
    with torch.no_grad():
        fields, tensors = (WITHOUT_MODEL | LOOKS)[look](*needs, **arguments)
    return encode({**fields, "seconds": round(time.perf_counter() - began, 4)}, tensors)


def _model(folder: Path, roots: list[Path], memory: int) -> LoadedModel:
    files = sorted([*folder.glob("*.safetensors"), *folder.glob("model/*.safetensors")])
    key = str(folder), max((file.stat().st_mtime_ns for file in files), default=0)
    if key in _held:
        _held.move_to_end(key)
        return _held[key][0]
    size = _float32_bytes(files)
    if size > memory:
        raise HeadstartError(
            f"{folder.name} needs {size / 1e9:.1f} GB in memory, and the studio may hold "
            f"{memory / 1e9:.1f} GB; start it with --memory"
        )
    while _held and sum(held for _, held in _held.values()) + size > memory:
        _held.popitem(last=False)
    opened = open_any(folder, within=roots)
    if not isinstance(opened, LoadedModel):
        raise HeadstartError(f"{folder.name} holds vectors of words, which this view has no use for")
    opened.model.eval()
    _held[key] = opened, size
    return opened


def _float32_bytes(files: list[Path]) -> int:
    """What weights take as float32, read from the headers of their files."""
    from safetensors import safe_open

    count = 0
    for file in files:
        try:
            with safe_open(file, "pt") as handle:
                for name in handle.keys():  # noqa: SIM118 - no mapping
                    count += int(np.prod(handle.get_slice(name).get_shape()))
        except Exception as error:  # safetensors has no error class of its own for every damage
            raise HeadstartError(f"{file.name} cannot be read ({error}); get it again") from None
    return 4 * count
