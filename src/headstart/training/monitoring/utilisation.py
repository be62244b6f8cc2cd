"""The share of a machine's peak that training reaches (MFU: Chowdhery et al. 2022, appendix B)."""

import time

import torch

from headstart.training.machine import gemm_gflops

AGAIN = 60.0
"""Seconds after which the peak is measured again."""
GLANCE = 0.05
"""Seconds that this takes."""


class Utilisation:
    """Sets the operations of a step against the fastest matrix products that this machine has shown.

    The peak is measured when a run begins, and the machine may be busy just then. So a run on a processor
    measures it again while it evaluates, and the highest rate counts. A step that is faster than all of them
    shows that the machine can do more than was measured, and its rate becomes the peak: no share is over 1.

    Args:
        peak: operations a second of matrix products, as measured when the run began; None: nobody knows.
        dtype: what the run computes in.
    """

    def __init__(self, peak: float | None, dtype: torch.dtype) -> None:
        self.peak, self.dtype = peak, dtype
        self._measured = time.monotonic()

    def share(self, rate: float) -> float | None:
        """The share of the peak that `rate` operations a second are, from 0 to 1."""
        if self.peak is None:
            return None
        self.peak = max(self.peak, rate)
        return round(rate / self.peak, 4)

    def look_again(self) -> None:
        """Measure the peak of a processor again, if that is long ago. Draws nothing from PyTorch's generator
        that anybody else would miss."""
        if self.peak is None or time.monotonic() - self._measured < AGAIN:
            return
        with torch.random.fork_rng(devices=[]):
            self.peak = max(self.peak, 1e9 * gemm_gflops(self.dtype, seconds=GLANCE))
        self._measured = time.monotonic()
