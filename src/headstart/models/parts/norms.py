"""Layer normalisation and its relatives."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from headstart.models.config import TransformerConfig


class LayerNorm(nn.Module):
    """Zero mean, unit variance, a learned scale and, where asked for, a shift (Ba et al. 2016)."""

    def __init__(self, width: int, epsilon: float, bias: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width)) if bias else None
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        if _learns_on_cpu(x) and x.element_size() < 4:
            return _on_cpu(x, self.weight, self.bias, self.epsilon, centred=True)
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return F.layer_norm(x, self.weight.shape, self.weight.to(x.dtype), bias, self.epsilon)


class RMSNorm(nn.Module):
    """Unit root mean square, a learned scale (Zhang & Sennrich 2019, eq. 4).

    Args:
        plus_one: the scale is one plus the weight, which then begins at zero.
    """

    def __init__(self, width: int, epsilon: float, plus_one: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(width) if plus_one else torch.ones(width))
        self.epsilon, self.plus_one = epsilon, plus_one

    def forward(self, x: Tensor) -> Tensor:
        scale = self.weight + 1 if self.plus_one else self.weight
        if _learns_on_cpu(x):
            return _on_cpu(x, scale, None, self.epsilon, centred=False)
        return F.rms_norm(x, scale.shape, scale.to(x.dtype), self.epsilon)


def _learns_on_cpu(x: Tensor) -> bool:
    """Whether torch's own gradients of norms are to be avoided; a compiler makes better ones."""
    eager = type(x) is Tensor and not torch.compiler.is_compiling()
    return eager and x.device.type == "cpu" and torch.is_grad_enabled()


def _on_cpu(x: Tensor, scale: Tensor, shift: Tensor | None, epsilon: float, centred: bool) -> Tensor:
    y: Tensor = _NormOnCPU.apply(  # type: ignore[no-untyped-call]
        x, scale, shift, epsilon, centred
    )
    return y


class _NormOnCPU(torch.autograd.Function):
    """`F.layer_norm` or `F.rms_norm` with gradients of its own.

    On a CPU (torch 2.13) the gradient of `F.rms_norm` takes some ten passes over its input, and that of
    `F.layer_norm` in bfloat16 adds up the gradients of scale and shift in bfloat16: over 32,768 tokens
    whose gradients agree, nine tenths of the sum are lost. Here these sums are of float32. The gradient of
    x is that of torch's kernel for layer normalisation. An RMSNorm is one whose mean is zero; what the
    kernel takes away as the mean of the gradient is added again.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, scale: Tensor, shift: Tensor | None, epsilon: float, centred: bool
    ) -> Tensor:
        shape, exact = scale.shape, torch.promote_types(x.dtype, torch.float32)
        ctx.shift_type, ctx.centred = None if shift is None else shift.dtype, centred
        if centred:
            rounded = scale.to(x.dtype).to(exact)  # of this type the kernel gives its statistics
            added = None if shift is None else shift.to(x.dtype).to(exact)
            y, mean, r = torch.native_layer_norm(x, shape, rounded, added, epsilon)
        else:
            y = F.rms_norm(x, shape, scale.to(x.dtype), epsilon)
            norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=exact)
            r = (norm.square() / x.shape[-1] + epsilon).rsqrt().contiguous()  # as the kernel reads it
            mean = torch.zeros_like(r)
        ctx.save_for_backward(x, scale, mean, r)  # [..., D], [D], [..., 1], [..., 1]
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, scale, mean, r = ctx.saved_tensors
        width, exact = x.shape[-1], r.dtype
        dx, _, _ = torch.ops.aten.native_layer_norm_backward(
            dy.contiguous(), x, scale.shape, mean, r, scale.to(exact), None, [True, False, False]
        )
        rows = dy.to(exact).reshape(-1, width)
        products = x.reshape(-1, width) * rows  # in `exact`
        ds = products.T.mv(r.view(-1))
        if ctx.centred:
            ds -= rows.T.mv((r * mean).view(-1))
        else:
            dx += (rows.mv(scale.to(exact) / width).view(r.shape) * r).to(dy.dtype)
        shift = rows.sum(0).to(ctx.shift_type) if ctx.shift_type else None
        return dx, ds.to(scale.dtype), shift, None, None


def make_norm(config: TransformerConfig) -> nn.Module:
    """The kind of norm that a configuration asks for."""
    if config.norm == "layernorm":
        return LayerNorm(config.width, config.norm_epsilon, config.norm_bias)
    return RMSNorm(config.width, config.norm_epsilon, config.norm_plus_one)
