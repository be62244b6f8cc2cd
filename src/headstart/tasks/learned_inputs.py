"""Which inputs a task model has learned from: scores on them say little about new ones.

The model folder keeps a hash of each; of many, those with the smallest hashes, which are a random sample. Who
has a text can ask whether it is among them, and nobody can get a text back.
"""

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from headstart.errors import HeadstartError
from headstart.folder import atomic
from headstart.interchange.weights import read_tensors
from headstart.tasks.examples import Input, normalised

FILE = "learned_inputs.safetensors"
MOST = 65_536
"""Hashes that are kept, of 8 bytes each."""


def hashes_of(inputs: Sequence[Input]) -> np.ndarray:
    """A number for each input, `[N]` int64: the same where inputs differ in case and white space alone."""
    digests = [
        hashlib.blake2b(normalised(one).encode("utf-8", "replace"), digest_size=8).digest() for one in inputs
    ]
    return np.frombuffer(b"".join(digests), np.int64)


def kept_of(inputs: Sequence[Input], earlier: np.ndarray | None = None) -> np.ndarray:
    """What a model's folder keeps of the inputs that it learned from, in order.

    Args:
        earlier: the same of the model that it began as.
    """
    hashes = hashes_of(inputs)
    return np.unique(hashes if earlier is None else np.concatenate([hashes, earlier]))[:MOST]


def write_learned_inputs(folder: Path, kept: np.ndarray) -> None:
    """Put them into a model folder."""
    with atomic(folder / FILE) as temporary:
        save_file({"hashes": torch.from_numpy(kept)}, temporary)
        shutil.copymode(folder / "config.json", temporary)  # safetensors leaves files to their owner alone


def read_learned_inputs(folder: Path) -> np.ndarray | None:
    """What a model folder keeps of them; None: it does not say.

    Raises:
        HeadstartError: the file is damaged.
    """
    if not (folder / FILE).exists():
        return None
    kept = dict(read_tensors([folder / FILE])).get("hashes")
    if kept is None or kept.dtype != torch.int64 or kept.dim() != 1:
        raise HeadstartError(f"{folder / FILE} holds no hashes; it is damaged, so delete it")
    return np.unique(kept.numpy())


def learned_among(inputs: Sequence[Input], kept: np.ndarray | None) -> list[str]:
    """A sentence on how many of the inputs a model has learned from, where there are any.

    Args:
        kept: what its folder keeps; None: nobody knows.
    """
    if kept is None or not len(kept):
        return []
    found = hashes_of(inputs)
    if len(kept) >= MOST:
        found = found[found <= kept[-1]]
    count = int(np.isin(found, kept).sum())
    if not count:
        return []
    some = "" if len(found) == len(inputs) else f" that could be compared, of {len(inputs):,}"
    return [
        f"the model has learned from {count:,} of the {len(found):,} examples{some}; scores on what was "
        "learned say little about new examples"
    ]
