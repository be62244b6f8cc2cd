"""What every system of the benchmark is scored on: the same held-out tokens at the same places.

Losses are nats a target. Clocks are CPU-seconds of the process, all threads together; judging is not counted.
"""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from headstart.objectives.batch import Batch, generator
from headstart.objectives.causal import causal_batch
from headstart.objectives.masked import masked_batch
from headstart.objectives.vocabulary import read_vocabulary
from headstart.tokenizer.folder import open_tokenizer
from headstart.tokenizer.shards import TokenRows

ROWS, MASK_RATE = 256, 0.15


def heldout(tokens: Path, kind: str, context: int) -> Batch:
    """The held-out rows: next tokens inside a document, or 15 % of the tokens hidden, drawn once for all."""
    rows = TokenRows(tokens, "heldout", context + (kind == "causal"))
    ids, segments = rows.read(np.arange(min(ROWS, len(rows))))
    if kind == "causal":
        return causal_batch(ids, segments)
    vocabulary = read_vocabulary(open_tokenizer(tokens))
    return masked_batch(ids, segments, MASK_RATE, vocabulary, generator(0, 2**63 + 1))


@torch.no_grad()
def judge(batch: Batch, scores: Callable[[Batch], Tensor]) -> float:
    """Mean loss over the targets of a batch.

    Args:
        scores: logits `[targets, V]` of a part of the batch.
    """
    total = 0.0
    for part in batch.split(16):
        logits = scores(part).float()
        total += float(torch.nn.functional.cross_entropy(logits, part.targets, reduction="sum"))
    return total / len(batch.targets)


class Clock:
    """CPU-seconds of what stands between `start` and `stop`."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._since: float | None = None

    def start(self) -> None:
        self._since = time.process_time()

    def stop(self) -> None:
        if self._since is not None:
            self.seconds += time.process_time() - self._since
        self._since = None
