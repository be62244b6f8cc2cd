"""The states that a frozen body gives for labelled data, computed once: a head trains on them in seconds.

Up to `MEMORY_BYTES` they are kept in memory, and more of them in a file without a name, which is gone with
the process. For the same model and data they are computed once a process: several seeds, or a search, share
them.
"""

import hashlib
import tempfile
from collections.abc import Sequence
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from headstart.models.transformer import Transformer
from headstart.tasks.kinds.packing import EncodedWindow, pack
from headstart.tasks.model import TaskModel
from headstart.tasks.predictor import token_batches

MEMORY_BYTES = 2**30
KEPT = 4
"""Sets of states of one model; then the oldest goes. Learning and validating have one each."""


class Features:
    """What `TaskModel.read` gives for pieces."""

    def __init__(self, model: TaskModel, pieces: Sequence[EncodedWindow], padding: int) -> None:
        counts = [model.states_read(piece) for piece in pieces]
        self.starts = np.concatenate([[0], np.cumsum(counts)])
        self.states: np.ndarray | None = None  # [N, D], or [N, layers, D] for a mix
        model.eval()
        with torch.no_grad():
            for batch in token_batches([len(piece.ids) for piece in pieces]):
                read = model.read(pack([pieces[i] for i in batch], padding)).numpy()
                if self.states is None:
                    self.states = _room(int(self.starts[-1]), read.shape[1:])
                for place, part in zip(
                    batch, np.split(read, np.cumsum([counts[i] for i in batch])[:-1]), strict=True
                ):
                    self.states[self.starts[place] : self.starts[place + 1]] = part

    def of(self, pieces: Sequence[int]) -> Tensor:
        """The states of the pieces at these places, one behind the other."""
        assert self.states is not None
        parts = [self.states[self.starts[place] : self.starts[place + 1]] for place in pieces]
        return torch.from_numpy(np.concatenate(parts))


_kept: WeakKeyDictionary[Transformer, dict[str, Features]] = WeakKeyDictionary()


def features(
    source: Transformer, model: TaskModel, pieces: Sequence[EncodedWindow], padding: int
) -> Features:
    """The states of pieces, from an earlier call with the same model and pieces if there was one.

    Args:
        source: the pre-trained model, whose weights `model` has.
    """
    kept = _kept.setdefault(source, {})
    digest = hashlib.sha256(f"{model.task} {model.head_kind} {model.mix is not None}".encode())
    for piece in pieces:
        digest.update(piece.ids.tobytes() + b"/" + piece.heads.tobytes() + b"/")
    key = digest.hexdigest()
    if key not in kept:
        while len(kept) >= KEPT:
            del kept[next(iter(kept))]
        kept[key] = Features(model, pieces, padding)
    return kept[key]


def _room(count: int, shape: tuple[int, ...]) -> np.ndarray:
    """Room for `count` states, in memory or in a file."""
    whole = (count, *shape)
    if 4 * np.prod(whole) <= MEMORY_BYTES:
        return np.empty(whole, np.float32)
    return np.memmap(tempfile.TemporaryFile(), np.float32, "w+", shape=whole)
