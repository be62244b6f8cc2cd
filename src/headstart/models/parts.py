"""The parts of a Transformer block, each a few lines, with shapes.

B batch, T time, D width, H query heads, K key-value heads, C head width, F feed-forward width.

Weights are kept in float32. Activations may be bfloat16: every part casts its weights to the
dtype of what comes in, so precision is decided once, where tokens are embedded.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from headstart.models.config import TransformerConfig

# Below this length two batched matrix products are faster on a CPU in bfloat16 than the fused kernel.
SHORT_ROW = 512


class Linear(nn.Linear):
    """A matrix product in the dtype of its input over weights kept in float32."""

    def __init__(self, inputs: int, outputs: int, bias: bool = False) -> None:
        super().__init__(inputs, outputs, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return F.linear(x, self.weight.to(x.dtype), bias)


class LayerNorm(nn.Module):
    """Zero mean, unit variance, a learned scale (Ba et al. 2016, without the shift)."""

    def __init__(self, width: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.weight.shape, self.weight.to(x.dtype), None, self.epsilon)


class RMSNorm(nn.Module):
    """Unit root mean square, a learned scale (Zhang & Sennrich 2019, eq. 4)."""

    def __init__(self, width: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.weight.shape, self.weight.to(x.dtype), self.epsilon)


def make_norm(config: TransformerConfig) -> nn.Module:
    kind = LayerNorm if config.norm == "layernorm" else RMSNorm
    return kind(config.width, config.norm_epsilon)


def rotary_table(
    positions: Tensor, head_width: int, base: float, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Cosine and sine of every position's angles (Su et al. 2021, section 3.2.2): two `[T, C]`.

    Pair i of a head turns by `position * base ** (-2 i / C)`; the pairs are (i, i + C/2).
    """
    frequencies = base ** (-torch.arange(0, head_width, 2, dtype=torch.float32) / head_width)
    angles = positions.float()[:, None] * frequencies  # [T, C/2]
    angles = torch.cat((angles, angles), dim=-1)  # [T, C]
    return angles.cos().to(dtype), angles.sin().to(dtype)


def rotate(x: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
    """Turn every pair of `x` `[B, H, T, C]` by its position's angle."""
    cosine, sine = rotary
    first, second = x.chunk(2, dim=-1)
    return x * cosine + torch.cat((-second, first), dim=-1) * sine


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """Scaled dot-product attention (Vaswani et al. 2017, eq. 1): `[B, H, T, C]`.

    Args:
        query: `[B, H, T, C]`; key, value: `[B, K, S, C]` with K dividing H.
        mask: boolean, true where a query may look, broadcastable to `[B, H, T, S]`; None: everywhere.
    """
    if query.device.type == "cpu" and query.dtype == torch.bfloat16 and key.shape[2] <= SHORT_ROW:
        group = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(group, 1), value.repeat_interleave(group, 1)
        scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)  # [B, H, T, S]
        if mask is not None:
            scores = scores.masked_fill(~mask, float("-inf"))
        return scores.softmax(-1) @ value
    return F.scaled_dot_product_attention(
        query, key, value, attn_mask=mask, enable_gqa=query.shape[1] != key.shape[1]
    )


class KeyValueCache:
    """Keys and values of the tokens already read, one pair of `[B, K, T, C]` tensors a layer."""

    def __init__(self) -> None:
        self.layers: list[tuple[Tensor, Tensor]] = []

    @property
    def length(self) -> int:
        return self.layers[0][0].shape[2] if self.layers else 0

    def extend(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Append new keys and values to a layer; returns all of that layer's."""
        if layer < len(self.layers):
            old_key, old_value = self.layers[layer]
            key, value = torch.cat((old_key, key), 2), torch.cat((old_value, value), 2)
            self.layers[layer] = (key, value)
        else:
            self.layers.append((key, value))
        return key, value


class Attention(nn.Module):
    """Multi-head attention with rotary positions; fewer key-value than query heads share them
    (grouped-query attention, Ainslie et al. 2023)."""

    def __init__(self, config: TransformerConfig, layer: int) -> None:
        super().__init__()
        self.layer, self.head_width = layer, config.head_width
        self.query = Linear(config.width, config.heads * config.head_width)
        self.key = Linear(config.width, config.kv_heads * config.head_width)
        self.value = Linear(config.width, config.kv_heads * config.head_width)
        self.out = Linear(config.width, config.width)

    def forward(
        self, x: Tensor, rotary: tuple[Tensor, Tensor], mask: Tensor | None, cache: KeyValueCache | None
    ) -> Tensor:
        query = rotate(self._split(self.query(x)), rotary)  # [B, H, T, C]
        key = rotate(self._split(self.key(x)), rotary)  # [B, K, T, C]
        value = self._split(self.value(x))
        if cache is not None:
            key, value = cache.extend(self.layer, key, value)
        mixed = attend(query, key, value, mask)  # [B, H, T, C]
        return self.out(mixed.transpose(1, 2).flatten(2))  # [B, T, D]

    def _split(self, x: Tensor) -> Tensor:
        """`[B, T, H*C]` to `[B, H, T, C]`."""
        return x.unflatten(-1, (-1, self.head_width)).transpose(1, 2)


class FeedForward(nn.Module):
    """A gated feed-forward layer (Shazeer 2020, section 2): SwiGLU gates with SiLU, GeGLU with GELU."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.gate = Linear(config.width, config.feedforward_width)
        self.up = Linear(config.width, config.feedforward_width)
        self.down = Linear(config.feedforward_width, config.width)
        self.activation = F.silu if config.feedforward == "swiglu" else F.gelu

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.activation(self.gate(x)) * self.up(x))  # [B, T, F] inside


class PredictionHead(nn.Module):
    """Dense layer, GELU and norm between the stack and its output (Devlin et al. 2018, masked LM head)."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.dense = Linear(config.width, config.width)
        self.norm = make_norm(config)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(F.gelu(self.dense(x)))
