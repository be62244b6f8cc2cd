"""Muon: momentum, made orthogonal (Jordan 2024), for the matrices of a model.

Matrices of one shape are orthogonalised together: a GPU is not busy with one of them.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

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

    def __init__(
        self, groups: Iterable[dict[str, Any]], rate: float, momentum: float, weight_decay: float
    ) -> None:
        super().__init__(groups, {"lr": rate, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update every matrix that has a gradient."""
        assert closure is None
        for group in self.param_groups:
            alike: dict[object, list[Tensor]] = {}
            for matrix in group["params"]:
                if matrix.grad is not None:
                    alike.setdefault((matrix.shape, getattr(matrix, "placements", None)), []).append(matrix)
            for matrices in alike.values():
                self._step(matrices, group)

    def _step(self, matrices: list[Tensor], group: dict[str, Any]) -> None:
        """Update matrices of one shape `[R, C]`."""
        momentum = group["momentum"]
        gradients = [matrix.grad for matrix in matrices if matrix.grad is not None]
        averages = [self._average(matrix) for matrix in matrices]
        torch._foreach_lerp_(averages, gradients, 1.0 - momentum)
        ahead = torch._foreach_lerp(gradients, averages, momentum)
        whole = [x.full_tensor() if hasattr(x, "full_tensor") else x for x in ahead]
        updates = orthogonal(torch.stack(whole)).to(matrices[0].dtype).unbind()
        laid_out = [like(matrix, update) for matrix, update in zip(matrices, updates, strict=True)]
        torch._foreach_mul_(matrices, 1.0 - group["lr"] * group["weight_decay"])
        size = 0.2 * math.sqrt(max(matrices[0].shape))
        torch._foreach_add_(matrices, laid_out, alpha=-group["lr"] * size)

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


def like(parameter: Tensor, whole: Tensor) -> Tensor:
    """A whole tensor laid out over processes as a parameter is."""
    if getattr(parameter, "device_mesh", None) is None:
        return whole
    from torch.distributed.tensor import distribute_tensor

    mesh, placements = parameter.device_mesh, parameter.placements  # type: ignore[attr-defined]
    return distribute_tensor(whole, mesh, placements, src_data_rank=None)
