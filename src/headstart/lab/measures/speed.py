"""Times of processor work, measured so that a busy machine disturbs them little: processor seconds, in
turns."""

import time
from collections.abc import Callable, Sequence

import torch

ROUNDS = 9


def cpu_ratio(first: Callable[[], object], second: Callable[[], object], rounds: int = ROUNDS) -> list[float]:
    """Processor seconds of `first` over those of `second`, one ratio a round; both ran once before."""
    first(), second()
    return [cpu_seconds(first) / cpu_seconds(second) for _ in range(rounds)]


def cpu_seconds(work: Callable[[], object]) -> float:
    """Processor seconds of this process while `work` runs."""
    started = time.process_time()
    work()
    return time.process_time() - started


def forward_and_backward(
    run: Callable[[], torch.Tensor], rounds: int = ROUNDS
) -> tuple[list[float], list[float]]:
    """Processor seconds of forward passes and of their backward passes; `run` gives a loss."""
    run().backward()
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        started = time.process_time()
        loss = run()
        middle = time.process_time()
        loss.backward()
        times[0].append(middle - started)
        times[1].append(time.process_time() - middle)
    return times


def median(values: Sequence[float]) -> float:
    """The middle one."""
    return sorted(values)[len(values) // 2]
