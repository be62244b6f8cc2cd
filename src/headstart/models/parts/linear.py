"""Matrix products."""

import torch.nn.functional as F
from torch import Tensor, nn


class Linear(nn.Linear):
    """A matrix product in the dtype of its input over weights kept in float32."""

    def __init__(self, inputs: int, outputs: int, bias: bool = False) -> None:
        super().__init__(inputs, outputs, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return F.linear(x, self.weight.to(x.dtype), bias)
