"""Layer normalisation and its relatives."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from headstart.models.config import TransformerConfig


class LayerNorm(nn.Module):
    """Zero mean, unit variance, a learned scale and, where asked for, a shift (Ba et al. 2016)."""

    def __init__(self, width: int, epsilon: float, bias: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width)) if bias else None
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
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
        return F.rms_norm(x, scale.shape, scale.to(x.dtype), self.epsilon)


def make_norm(config: TransformerConfig) -> nn.Module:
    """The kind of norm that a configuration asks for."""
    if config.norm == "layernorm":
        return LayerNorm(config.width, config.norm_epsilon, config.norm_bias)
    return RMSNorm(config.width, config.norm_epsilon, config.norm_plus_one)
