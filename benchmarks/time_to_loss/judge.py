"""What every system of the benchmark is scored on and timed by.

Losses are nats a target, on the same held-out tokens at the same places. Clocks are CPU-seconds of the
process and of the compilers it started, all threads together; judging is not counted.
"""

import os
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


def core_seconds() -> float:
    """CPU-seconds so far, with those of the processes that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


class Clock:
    """CPU-seconds of what stands between `start` and `stop`."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._since: float | None = None

    def start(self) -> None:
        self._since = core_seconds()

    def stop(self) -> None:
        if self._since is not None:
            self.seconds += core_seconds() - self._since
        self._since = None


def gemm_gflops() -> dict[str, float]:
    """What matrix products `[2048, 2048] x [2048, 2048]` reach on this machine now, by core-seconds."""
    rates = {}
    for dtype in (torch.bfloat16, torch.float32):
        left, right = torch.randn(2, 2048, 2048).to(dtype)
        times = []
        for _ in range(4):
            started = time.process_time()
            left @ right
            times.append(time.process_time() - started)
        rates[str(dtype).removeprefix("torch.")] = round(2 * 2048**3 / sorted(times)[1] / 1e9, 1)
    return rates
