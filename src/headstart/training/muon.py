"""Muon: momentum, made orthogonal (Jordan 2024), for the matrices of a model.

Matrices of one shape are orthogonalised together: a GPU is not busy with one of them.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from headstart.training.distributed.tensors import full, layout_of, like, local

# Of the iteration x <- a x + b (x x^T) x + c (x x^T)^2 x: steep at zero, and no longer exact at one.
A, B, C = 3.4445, -4.7750, 2.0315
ITERATIONS = 5


class Muon(torch.optim.Optimizer):
    """Steps along the nearest orthogonal matrix to the gradient's Nesterov momentum.

    A step has a root mean square of 0.2 times the rate, about what AdamW's have (Liu et al. 2025, section
    2.2), so that both take the same rates. Weight decay is decoupled.

    Args:
        groups: dictionaries of `params`, matrices all.
        rate: `lr` of groups that have none.
    """

    def __init__(self, groups: ParamsT, rate: float, momentum: float, weight_decay: float) -> None:
        super().__init__(groups, {"lr": rate, "momentum": momentum, "weight_decay": weight_decay})
        self.found_inf: Tensor | None = None
        """1 on the device where the next step moves nothing, else 0; None: it moves the matrices."""

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update every matrix that has a gradient."""
        assert closure is None
        for group in self.param_groups:
            alike: dict[object, list[Tensor]] = {}
            for matrix in group["params"]:
                if matrix.grad is not None:
                    alike.setdefault((matrix.shape, layout_of(matrix)), []).append(matrix)
            for matrices in alike.values():
                self._step(matrices, group["lr"], group["momentum"], group["weight_decay"])

    def _step(self, matrices: list[Tensor], rate: float, momentum: float, weight_decay: float) -> None:
        """Update matrices of one shape `[R, C]`."""
        gradients = [matrix.grad for matrix in matrices if matrix.grad is not None]
        averages = [self._average(matrix) for matrix in matrices]
        if self.found_inf is not None:  # where it is 1 the average stays, and nothing moves
            for gradient, average in zip(map(local, gradients), map(local, averages), strict=True):
                gradient.copy_(torch.where(self.found_inf > 0, average, gradient))
        torch._foreach_lerp_(averages, gradients, 1.0 - momentum)
        ahead = torch._foreach_lerp(gradients, averages, momentum)
        updates = orthogonal(torch.stack([full(x) for x in ahead])).to(matrices[0].dtype).unbind()
        laid_out = [like(matrix, update) for matrix, update in zip(matrices, updates, strict=True)]
        size = 0.2 * math.sqrt(max(matrices[0].shape))
        if self.found_inf is None:
            torch._foreach_mul_(matrices, 1.0 - rate * weight_decay)
            torch._foreach_add_(matrices, laid_out, alpha=-rate * size)
            return
        taken = rate * (1.0 - self.found_inf)
        parts = [local(matrix) for matrix in matrices]
        torch._foreach_mul_(parts, 1.0 - taken * weight_decay)
        torch._foreach_addcmul_(
            parts, [local(update) for update in laid_out], [(-taken * size).expand(1)] * len(parts)
        )

    def _average(self, matrix: Tensor) -> Tensor:
        state = self.state[matrix]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(matrix)
        buffer: Tensor = state["momentum_buffer"]
        return buffer


def orthogonal(x: Tensor) -> Tensor:
    """Matrices near the nearest orthogonal ones of `x` `[..., R, C]`: singular values between 0.7 and 1.2.

    Newton-Schulz iteration in bfloat16 (Jordan 2024).
    """
    x = x.bfloat16()
    tall = x.shape[-2] > x.shape[-1]
    x = (x.mT if tall else x).contiguous()
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.mT  # [n, R, R]
        gram = torch.baddbmm(gram, gram, gram, beta=B, alpha=C)
        x = torch.baddbmm(x, gram, x, beta=A)
    return x.mT if tall else x
