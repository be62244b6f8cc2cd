"""The parts of a Transformer block, each a few lines, with shapes.

B batch, T time (queries), S time (keys), D width, H query heads, K key-value heads, C head width,
F feed-forward width.

Weights are kept in float32. Activations may be bfloat16: every part casts its weights to the
dtype of what comes in, so precision is decided once, where tokens are embedded.
"""

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from headstart.models.config import SHORT_ROW, RotaryScaling, TransformerConfig

# Lists of where documents begin come in multiples of this length.
BORDERS = 256


class Linear(nn.Linear):
    """A matrix product in the dtype of its input over weights kept in float32."""

    def __init__(self, inputs: int, outputs: int, bias: bool = False) -> None:
        super().__init__(inputs, outputs, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return F.linear(x, self.weight.to(x.dtype), bias)


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
    """Unit root mean square, a learned scale (Zhang & Sennrich 2019, eq. 4)."""

    def __init__(self, width: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.weight.shape, self.weight.to(x.dtype), self.epsilon)


def make_norm(config: TransformerConfig) -> nn.Module:
    """The kind of norm that a configuration asks for."""
    if config.norm == "layernorm":
        return LayerNorm(config.width, config.norm_epsilon, config.norm_bias)
    return RMSNorm(config.width, config.norm_epsilon)


# --- Where a token stands -------------------------------------------------------------------------


def places(segments: Tensor) -> Tensor:
    """How far each token is into its document: `[B, T]` from document numbers `[B, T]`."""
    index = torch.arange(segments.shape[1], device=segments.device).expand_as(segments)
    begins = torch.ones_like(segments, dtype=torch.bool)
    begins[:, 1:] = segments[:, 1:] != segments[:, :-1]
    return index - torch.where(begins, index, 0).cummax(1).values


def sinusoids(positions: Tensor, width: int, dtype: torch.dtype) -> Tensor:
    """Sines, then cosines, of wavelengths from 2 pi to 20,000 pi (Vaswani et al. 2017, section 3.5).

    The paper writes sine and cosine in turns; its released code puts all sines first, as here.

    Args:
        positions: of any shape.

    Returns:
        `[..., width]`.
    """
    pairs = width // 2 + width % 2
    # In float32 the angle of position 1000 would be off by 1e-4.
    frequencies = 10_000.0 ** (-torch.arange(pairs, device=positions.device, dtype=torch.float64) * 2 / width)
    angles = positions.double()[..., None] * frequencies
    return torch.cat((angles.sin(), angles.cos()), -1)[..., :width].to(dtype)


def rotary_table(
    positions: Tensor, head_width: int, base: float, dtype: torch.dtype, scaling: RotaryScaling | None = None
) -> tuple[Tensor, Tensor]:
    """Cosine and sine of every position's angles (Su et al. 2021, section 3.2.2): two `[T, C]`.

    Pair i of a head turns by `position * base ** (-2 i / C)`; the pairs are (i, i + C/2).
    """
    frequencies = rotary_frequencies(head_width, base, scaling).to(positions.device)
    angles = positions.float()[:, None] * frequencies  # [T, C/2]
    angles = torch.cat((angles, angles), dim=-1)  # [T, C]
    return angles.cos().to(dtype), angles.sin().to(dtype)


def rotary_frequencies(head_width: int, base: float, scaling: RotaryScaling | None = None) -> Tensor:
    """By which angle each pair turns from one position to the next, in radians: `[C/2]`."""
    frequencies = 1.0 / base ** (torch.arange(0, head_width, 2, dtype=torch.float32) / head_width)
    return frequencies if scaling is None else stretch(frequencies, scaling)


def stretch(frequencies: Tensor, scaling: RotaryScaling) -> Tensor:
    """Llama 3.1's longer context: slow pairs turn `factor` times slower, fast ones as before.

    A pair is fast when it turns more than `high_frequency` times within the original context, slow
    when less than `low_frequency` times, and in between its speed is interpolated.
    """
    turns = scaling.original_context * frequencies / (2 * math.pi)
    share = (turns - scaling.low_frequency) / (scaling.high_frequency - scaling.low_frequency)
    share = share.clamp(0, 1)
    return frequencies * (share + (1 - share) / scaling.factor)


def rotate(x: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
    """Turn every pair of `x` `[B, H, T, C]` by its position's angle."""
    cosine, sine = rotary
    first, second = x.chunk(2, dim=-1)
    return x * cosine + torch.cat((-second, first), dim=-1) * sine


class RelativeBias(nn.Module):
    """A learned number per head for how far apart two tokens are (Raffel et al. 2020, section 2.1).

    Small distances have a bucket each; larger ones share buckets that widen logarithmically up to
    `relative_distance`. An encoder gives half of its buckets to each direction.
    """

    def __init__(self, config: TransformerConfig, causal: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(config.relative_buckets, config.heads))
        self.causal, self.most = causal, config.relative_distance

    def forward(self, queries: Tensor, keys: Tensor) -> Tensor:
        """The bias `[1, H, T, S]` between positions `[T]` and `[S]`."""
        distance = queries[:, None] - keys  # [T, S]; positive: the key is to the left
        buckets = len(self.weight)
        first = torch.zeros_like(distance)
        if not self.causal:
            buckets //= 2
            first = (distance < 0) * buckets
            distance = distance.abs()
        distance = distance.clamp(min=0)
        exact = buckets // 2
        far = (distance.float().clamp(min=1) / exact).log() / math.log(self.most / exact)
        far = (exact + (far * (buckets - exact)).long()).clamp(max=buckets - 1)
        bucket = first + torch.where(distance < exact, distance, far)
        return self.weight[bucket].permute(2, 0, 1)[None]


# --- Attention ------------------------------------------------------------------------------------


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    bias: Tensor | None = None,
    causal: bool = False,
    scale: float | None = None,
    dropout: float = 0.0,
) -> Tensor:
    """Scaled dot-product attention (Vaswani et al. 2017, eq. 1): `[B, H, T, C]`.

    Args:
        query: `[B, H, T, C]`; key, value: `[B, K, S, C]` with K dividing H.
        mask: boolean, true where a query may look, broadcastable to `[B, H, T, S]`; None: everywhere.
        bias: added to the scores, broadcastable to `[B, H, T, S]`.
        causal: instead of mask and bias: query t looks at keys 0 to t.
        scale: of the scores; None: C^-0.5.
        dropout: share of the attention weights to drop.
    """
    if bias is not None:
        if mask is not None:
            bias = bias.masked_fill(~mask, float("-inf"))
        mask = bias.to(query.dtype)
    if query.device.type == "cpu" and query.dtype == torch.bfloat16 and key.shape[2] <= SHORT_ROW:
        if causal:
            mask = torch.ones(query.shape[2], key.shape[2], dtype=torch.bool).tril_()
        group = query.shape[1] // key.shape[1]
        if group > 1:
            key, value = key.repeat_interleave(group, 1), value.repeat_interleave(group, 1)
        scale = query.shape[-1] ** -0.5 if scale is None else scale
        scores = (query * scale) @ key.transpose(-1, -2)  # [B, H, T, S]
        if mask is not None:
            scores = scores.masked_fill(~mask, float("-inf")) if bias is None else scores + mask
        return F.dropout(scores.softmax(-1), dropout) @ value
    return F.scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=mask,
        dropout_p=dropout,
        is_causal=causal,
        scale=scale,
        enable_gqa=query.shape[1] != key.shape[1],
    )


def _document_kernel() -> Callable[..., Any] | None:
    """The fused GPU kernel for documents laid end to end; None: this PyTorch has none (before 2.11)."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    known = inspect.signature(varlen_attn).parameters
    if "window_size" not in known:
        return None
    # Later versions want to be told that query heads share keys.
    return partial(varlen_attn, enable_gqa=True) if "enable_gqa" in known else varlen_attn


DOCUMENT_KERNEL = _document_kernel()


def attend_documents(
    query: Tensor, key: Tensor, value: Tensor, borders: Tensor, window: tuple[int, int], scale: float | None
) -> Tensor:
    """`attend` inside documents on a GPU, which spends nothing on what a mask would hide: `[B, H, T, C]`.

    FlashAttention over sequences of any length (Dao 2023).

    Args:
        query: `[B, H, T, C]`; key, value: `[B, K, T, C]`; in a 16-bit dtype.
        borders: where documents begin in the rows laid end to end, and the end of all: `[N + 1]`, int32.
        window: how many keys to the left and to the right a query sees; -1: all.
    """
    rows, _, tokens, _ = query.shape
    flat = (x.transpose(1, 2).flatten(0, 1) for x in (query, key, value))  # [B*T, H, C]
    assert DOCUMENT_KERNEL is not None
    mixed: Tensor = DOCUMENT_KERNEL(*flat, borders, borders, tokens, tokens, scale=scale, window_size=window)
    return mixed.unflatten(0, (rows, tokens)).transpose(1, 2)


def document_borders(segments: Tensor) -> Tensor:
    """Where documents begin in rows `[B, T]` laid end to end, and the end of all: `[N + 1]`, int32.

    Documents of no tokens at the end make the length a multiple of `BORDERS`, for every other length would
    be compiled anew.
    """
    begins = torch.ones_like(segments, dtype=torch.bool)
    begins[:, 1:] = segments[:, 1:] != segments[:, :-1]
    at = begins.flatten().nonzero()[:, 0]
    return F.pad(at, (0, BORDERS - len(at) % BORDERS), value=segments.numel()).int()


class Growing:
    """A tensor `[B, K, T, C]` that grows along T; its room doubles, so that tokens are rarely copied."""

    def __init__(self) -> None:
        self.room: Tensor | None = None
        self.length = 0

    def append(self, new: Tensor) -> Tensor:
        """Add `[B, K, t, C]`; returns everything so far."""
        end = self.length + new.shape[2]
        room = self._with_room(new, end)
        room[:, :, self.length : end] = new
        self.length = end
        return room[:, :, :end]

    def reserve(self) -> Tensor:
        """Count one token more, for the caller to write at place `length - 1`; returns all the room."""
        assert self.room is not None
        self.length += 1
        return self._with_room(self.room, self.length)

    def _with_room(self, like: Tensor, end: int) -> Tensor:
        if self.room is None or end > self.room.shape[2]:
            batch, heads, _, width = like.shape
            room = like.new_empty(batch, heads, max(64, end, 2 * self.length), width)
            if self.room is not None:
                room[:, :, : self.room.shape[2]] = self.room
            self.room = room
        return self.room

    def reorder(self, rows: Tensor) -> None:
        """Keep the given rows of the batch, in that order."""
        if self.room is not None:
            self.room = self.room[rows]


class KeyValueCache:
    """Keys and values of the tokens already read, so that each is computed once.

    For every layer a growing pair of `[B, K, T, C]`, and in an encoder-decoder a fixed pair
    `[B, K, S, C]` of the encoder's states for cross-attention.
    """

    def __init__(self) -> None:
        self.layers: list[tuple[Growing, Growing]] = []
        self.cross: dict[int, tuple[Tensor, Tensor]] = {}
        self.segments: Tensor | None = None
        """Document numbers of the tokens read, `[B, T]`, if any were given."""

    @property
    def length(self) -> int:
        return self.layers[0][0].length if self.layers else 0

    def extend(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Append new keys and values to a layer; returns all of that layer's."""
        if layer == len(self.layers):
            self.layers.append((Growing(), Growing()))
        keys, values = self.layers[layer]
        return keys.append(key), values.append(value)

    def extend_segments(self, segments: Tensor | None, tokens: int) -> Tensor | None:
        """Append document numbers; None goes on with each row's last document."""
        if segments is None and self.segments is not None:
            segments = self.segments[:, -1:].expand(-1, tokens)
        elif segments is not None and self.segments is None and self.length:
            self.segments = segments[:, :1].expand(-1, self.length)
        if segments is not None:
            self.segments = segments if self.segments is None else torch.cat((self.segments, segments), 1)
        return self.segments

    def reorder(self, rows: Tensor) -> None:
        """Keep the given rows of the batch, in that order; a row may be taken more than once."""
        for keys, values in self.layers:
            keys.reorder(rows)
            values.reorder(rows)
        self.cross = {layer: (key[rows], value[rows]) for layer, (key, value) in self.cross.items()}
        if self.segments is not None:
            self.segments = self.segments[rows]


@dataclass
class Sight:
    """What the tokens of one forward pass see of each other; the same for all blocks of a stack."""

    mask: Tensor | None = None
    """True where a query may look, broadcastable to `[B, H, T, S]`; None: everywhere."""
    banded: Tensor | None = None
    """The same for blocks with a window."""
    causal: bool = False
    """Without a mask: each query sees the keys up to its own place."""
    borders: Tensor | None = None
    """Instead of masks: where documents begin, `[N + 1]`, for the kernel that reads them end to end."""
    rotary: tuple[Tensor, Tensor] | None = None
    bias: Tensor | None = None
    """T5's relative positions, `[1, H, T, S]`."""
    distances: Tensor | None = None
    """How far each key is to the left of each query, `[T, S]`, for Transformer-XL's positions."""


class Attention(nn.Module):
    """Multi-head attention; fewer key-value than query heads share them (grouped-query attention,
    Ainslie et al. 2023). With a memory it is cross-attention: keys and values come from there."""

    def __init__(self, config: TransformerConfig, layer: int, cross: bool = False) -> None:
        super().__init__()
        self.layer, self.cross, self.head_width = layer, cross, config.head_width
        self.banded = bool(config.window) and layer % 2 == 1 and not cross
        reach = config.window - 1 if self.banded and config.window else -1
        self.reach = (reach, 0 if config.architecture == "decoder" else reach)
        self.scale = None if config.scaled_attention else 1.0
        self.dropout = config.dropout
        self.query = Linear(config.width, config.heads * config.head_width, config.qkv_bias)
        self.key = Linear(config.width, config.kv_heads * config.head_width, config.qkv_bias)
        self.value = Linear(config.width, config.kv_heads * config.head_width, config.qkv_bias)
        self.out = Linear(config.heads * config.head_width, config.width, config.out_bias)
        self.relative = RelativeKeys(config) if config.position == "relative-xl" and not cross else None

    def forward(
        self, x: Tensor, sight: Sight, cache: KeyValueCache | None = None, memory: Tensor | None = None
    ) -> Tensor:
        query = self._split(self.query(x))  # [B, H, T, C]
        key, value = self._keys_and_values(x, sight, cache, memory)  # [B, K, S, C]
        if sight.rotary is not None:
            query = rotate(query, sight.rotary)
        bias = sight.bias
        if self.relative is not None and sight.distances is not None:
            query, bias = self.relative(query, sight.distances)
        if sight.borders is not None:
            mixed = attend_documents(query, key, value, sight.borders, self.reach, self.scale)
        else:
            mask = sight.banded if self.banded else sight.mask
            mixed = attend(
                query,
                key,
                value,
                mask,
                bias,
                causal=sight.causal and mask is None,
                scale=self.scale,
                dropout=self.dropout if self.training else 0.0,
            )  # [B, H, T, C]
        return self.out(mixed.transpose(1, 2).flatten(2))  # [B, T, D]

    def _keys_and_values(
        self, x: Tensor, sight: Sight, cache: KeyValueCache | None, memory: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        if self.cross:
            if cache is not None and self.layer in cache.cross:
                return cache.cross[self.layer]
            assert memory is not None
            pair = self._split(self.key(memory)), self._split(self.value(memory))
            if cache is not None:
                cache.cross[self.layer] = pair
            return pair
        key, value = self._split(self.key(x)), self._split(self.value(x))
        if sight.rotary is not None:
            key = rotate(key, sight.rotary)
        return (key, value) if cache is None else cache.extend(self.layer, key, value)

    def _split(self, x: Tensor) -> Tensor:
        """`[B, T, H*C]` to `[B, H, T, C]`."""
        return x.unflatten(-1, (-1, self.head_width)).transpose(1, 2)


class RelativeKeys(nn.Module):
    """Relative positions of Transformer-XL (Dai et al. 2019, section 3.3), which Gopher and Chinchilla use.

    The score of query i and key j is (q_i + u) k_j + (q_i + v) r_{i-j}: r is a learned map of the
    sinusoids of the distance; u and v are learned, as if queries asked for content and for distance.
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.width, self.heads, self.head_width = config.width, config.heads, config.head_width
        self.scale = config.head_width**-0.5
        self.key = Linear(config.width, config.heads * config.head_width)
        self.content_bias = nn.Parameter(torch.zeros(config.heads * config.head_width))
        self.distance_bias = nn.Parameter(torch.zeros(config.heads * config.head_width))

    def forward(self, query: Tensor, distances: Tensor) -> tuple[Tensor, Tensor]:
        """The query to use for content `[B, H, T, C]`, and what distance adds to the scores `[B, H, T, S]`.

        Args:
            query: `[B, H, T, C]`.
            distances: `[T, S]`; those to the right are masked by the caller.
        """
        table = torch.arange(distances.shape[1], device=query.device)  # a key is at most S - 1 to the left
        keys = self.key(sinusoids(table, self.width, query.dtype))  # [S, H*C]
        keys = keys.unflatten(-1, (self.heads, self.head_width)).transpose(0, 1)  # [H, S, C]
        asking = query + self._by_head(self.distance_bias, query)
        scores = (asking @ keys.transpose(-1, -2)) * self.scale  # [B, H, T, S], by distance
        index = distances.clamp(min=0).expand(scores.shape)
        return query + self._by_head(self.content_bias, query), scores.gather(-1, index)

    def _by_head(self, bias: Tensor, query: Tensor) -> Tensor:
        return bias.to(query.dtype).view(self.heads, 1, self.head_width)


# --- Feed-forward layers --------------------------------------------------------------------------


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
        return self.down(inner)


class PredictionHead(nn.Module):
    """Dense layer, activation and norm before the output of a masked model (Devlin et al. 2018)."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.dense = Linear(config.width, config.width, config.feedforward_bias)
        self.activation = ACTIVATIONS[config.feedforward]
        self.norm = make_norm(config)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.activation(self.dense(x)))
