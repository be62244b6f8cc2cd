"""The feed-forward layer, and the dense layer before the output of a masked model."""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from headstart.models.config import TransformerConfig
from headstart.models.parts.linear import Linear
from headstart.models.parts.norms import make_norm


def _gelu_tanh(x: Tensor) -> Tensor:
    """GELU by its tanh approximation (Hendrycks & Gimpel 2016, section 2), as GPT-2 computes it."""
    return F.gelu(x, approximate="tanh")


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "gelu": F.gelu,
    "gelu_tanh": _gelu_tanh,
    "swiglu": F.silu,
    "geglu": F.gelu,
    "geglu_tanh": _gelu_tanh,
}


class FeedForward(nn.Module):
    """Two matrix products with an activation between them (Vaswani et al. 2017, section 3.3); or three,
    where a gate multiplies what goes through (Shazeer 2020, section 2)."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        width, inner, bias = config.width, config.feedforward_width, config.feedforward_bias
        self.gate = Linear(width, inner, bias) if config.gated else None
        self.up = Linear(width, inner, bias)
        self.down = Linear(inner, width, bias)
        self.activation = ACTIVATIONS[config.feedforward]

    def forward(self, x: Tensor) -> Tensor:
        if self.gate is None:
            inner = self.activation(self.up(x))  # [B, T, F]
        else:
            inner = self.activation(self.gate(x)) * self.up(x)
        made: Tensor = self.down(inner)
        return made


class PredictionHead(nn.Module):
    """Dense layer, activation and norm before the output of a masked model (Devlin et al. 2018)."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.dense = Linear(config.width, config.width, config.feedforward_bias)
        self.activation = ACTIVATIONS[config.feedforward]
        self.norm = make_norm(config)

    def forward(self, x: Tensor) -> Tensor:
        states: Tensor = self.norm(self.activation(self.dense(x)))
        return states
