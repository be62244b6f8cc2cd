"""Scaled dot-product attention, over rows with masks and over documents laid end to end."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial, reduce
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from headstart.models.config import SHORT_ROW, TransformerConfig
from headstart.models.parts.cache import KeyValueCache
from headstart.models.parts.linear import Linear
from headstart.models.parts.norms import RMSNorm
from headstart.models.parts.positions import RelativeKeys, rotate
from headstart.models.parts.watch import Attended, Part, StackWatch

# Lists of where documents begin come in multiples of this length.
CU_SEQLENS_MULTIPLE = 256


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    bias: Tensor | None = None,
    causal: bool = False,
    scale: float | None = None,
    dropout: float = 0.0,
    cap: float = 0.0,
) -> Tensor:
    """Scaled dot-product attention (Vaswani et al. 2017, eq. 1): `[B, H, T, C]`.

    Args:
        query: `[B, H, T, C]`; key, value: `[B, K, S, C]` with K dividing H.
        mask: boolean, true where a query may look, broadcastable to `[B, H, T, S]`; None: everywhere.
        bias: added to the scores, broadcastable to `[B, H, T, S]`.
        causal: instead of mask and bias: query t looks at keys 0 to t.
        scale: of the scores; None: C^-0.5.
        dropout: share of the attention weights to drop.
        cap: scores s become cap * tanh(s / cap) (Gemma Team 2024, section 2); 0: they stay.
    """
    if bias is not None:
        if mask is not None:
            bias = bias.masked_fill(~mask, float("-inf"))
        mask = bias.to(query.dtype)
    short = query.device.type == "cpu" and query.dtype == torch.bfloat16 and key.shape[2] <= SHORT_ROW
    if short or cap:
        if causal:
            mask = query.new_ones(query.shape[2], key.shape[2], dtype=torch.bool).tril_()
        group = query.shape[1] // key.shape[1]
        if group > 1:
            key, value = key.repeat_interleave(group, 1), value.repeat_interleave(group, 1)
        scale = query.shape[-1] ** -0.5 if scale is None else scale
        scores = (query * scale) @ key.transpose(-1, -2)  # [B, H, T, S]
        if cap:
            scores = cap * torch.tanh(scores / cap)
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
        enable_gqa=bool(query.shape[1] != key.shape[1]),  # in ONNX export shapes are tensors
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
    query: Tensor,
    key: Tensor,
    value: Tensor,
    cu_seqlens: Tensor,
    window: tuple[int, int],
    scale: float | None,
) -> Tensor:
    """`attend` inside documents on a GPU, which spends nothing on what a mask would hide: `[B, H, T, C]`.

    FlashAttention over sequences of any length (Dao 2023).

    Args:
        query: `[B, H, T, C]`; key, value: `[B, K, T, C]`; in a 16-bit dtype.
        cu_seqlens: where documents begin in the rows laid end to end, and the end of all: `[N + 1]`, int32.
        window: how many keys to the left and to the right a query sees; -1: all.
    """
    rows, _, tokens, _ = query.shape
    flat = (x.transpose(1, 2).flatten(0, 1) for x in (query, key, value))  # [B*T, H, C]
    assert DOCUMENT_KERNEL is not None
    mixed: Tensor = DOCUMENT_KERNEL(
        *flat, cu_seqlens, cu_seqlens, tokens, tokens, scale=scale, window_size=window
    )
    by_head: Tensor = mixed.unflatten(0, (rows, tokens)).transpose(1, 2)
    return by_head


def cumulative_lengths(segments: Tensor) -> Tensor:
    """Where documents begin in rows `[B, T]` laid end to end, and the end of all: `[N + 1]`, int32.

    Documents of no tokens at the end make the length a multiple of `CU_SEQLENS_MULTIPLE`, for every other
    length would be compiled anew.
    """
    begins = torch.ones_like(segments, dtype=torch.bool)
    begins[:, 1:] = segments[:, 1:] != segments[:, :-1]
    at = begins.flatten().nonzero()[:, 0]
    return F.pad(at, (0, CU_SEQLENS_MULTIPLE - len(at) % CU_SEQLENS_MULTIPLE), value=segments.numel()).int()


def attention_mask(
    queries: Tensor,
    keys: Tensor,
    causal: bool = False,
    prefix: Tensor | None = None,
    documents: tuple[Tensor, Tensor] | None = None,
    window: int = 0,
) -> Tensor | None:
    """True where a query may look, `[T, S]` or `[B, 1, T, S]`; None: everywhere.

    All conditions hold at once.

    Args:
        queries: positions `[T]` in the row; keys: `[S]`.
        causal: a query sees no later key.
        prefix: keys that a causal query sees though they are later, `[B, S]`.
        documents: document numbers of queries `[B, T]` and keys `[B, S]`; a query sees its own document.
        window: a query sees keys nearer than this; 0: at any distance.
    """
    distance = queries[:, None] - keys  # [T, S]; positive: the key is to the left
    conditions = []
    if causal:
        earlier = distance >= 0
        conditions.append(earlier if prefix is None else prefix[:, None, None, :] | earlier)
    if documents is not None:
        asking, asked = documents
        conditions.append((asking[:, :, None] == asked[:, None, :])[:, None])
    if window:
        conditions.append(distance.abs() < window)
    return reduce(torch.logical_and, conditions) if conditions else None


@dataclass
class AttentionContext:
    """What the tokens of one forward pass attend to; worked out once for all blocks of a stack."""

    masks: dict[int, Tensor | None] = field(default_factory=dict)
    """By a layer's window (0: none): true where a query may look, broadcastable to `[B, H, T, S]`; None:
    everywhere."""
    causal: bool = False
    """Where there is no mask: each query sees the keys up to its own place."""
    cu_seqlens: Tensor | None = None
    """Instead of masks: where documents begin, `[N + 1]`, for the kernel that reads them end to end."""
    rotary: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    """Cosine and sine, two `[T, R]` or `[B, 1, T, R]`, of each of the configuration's `rotaries`."""
    bias: Tensor | None = None
    """T5's relative positions, `[1, H, T, S]`."""
    distances: Tensor | None = None
    """How far each key is to the left of each query, `[T, S]`, for Transformer-XL's positions."""
    watch: StackWatch | None = None
    """Keeps what is computed, for somebody who looks; None: nobody does."""
    places: tuple[Tensor, Tensor] | None = None
    """DeBERTa's vectors of relative positions, `[2 buckets, D]`, and which of them a pair has: `[B, H, T, S]`
    as a view of `[T, S]`, for a gather does not broadcast."""


class Attention(nn.Module):
    """Multi-head attention; fewer key-value than query heads share them (grouped-query attention,
    Ainslie et al. 2023). With encoder states it is cross-attention: keys and values come from there."""

    def __init__(self, config: TransformerConfig, layer: int, cross: bool = False) -> None:
        super().__init__()
        self.layer, self.cross, self.head_width = layer, cross, config.head_width
        self.kind: Part = "cross" if cross else "self"
        self.window = 0 if cross else config.layer(layer).window
        rotary = None if cross else config.rotary(layer)
        self.rotary = None if rotary is None else config.rotaries.index(rotary)
        reach = self.window - 1
        self.reach = (reach, 0 if config.architecture == "decoder" else reach)
        self.scale = attention_scale(config)
        self.cap = config.attention_cap
        self.dropout = config.dropout
        heads, kv_heads = config.heads * config.head_width, config.kv_heads * config.head_width
        self.query = Linear(config.width, heads, config.qkv_bias)
        self.key = Linear(config.width, kv_heads, config.qkv_bias)
        self.value = Linear(config.width, kv_heads, config.qkv_bias)
        self.out = Linear(heads, config.width, config.out_bias)
        self.norm_by_head = config.query_key_norm == "head"
        self.query_norm = self.key_norm = None
        if config.query_key_norm != "none":
            widths = (config.head_width,) * 2 if self.norm_by_head else (heads, kv_heads)
            self.query_norm, self.key_norm = (
                RMSNorm(width, config.norm_epsilon, config.norm_plus_one) for width in widths
            )
        self.relative = RelativeKeys(config) if config.position == "relative-xl" and not cross else None

    def forward(
        self,
        x: Tensor,
        context: AttentionContext,
        cache: KeyValueCache | None = None,
        encoder_states: Tensor | None = None,
    ) -> Tensor:
        query = self._heads(self.query(x), self.query_norm, context)  # [B, H, T, C]
        key, value = self._keys_and_values(x, context, cache, encoder_states)  # [B, K, S, C]
        bias = context.bias
        if self.relative is not None and context.distances is not None:
            query, bias = self.relative(query, context.distances)
        if context.places is not None:
            bias = self._disentangled(query, key, *context.places)
        if context.cu_seqlens is not None:
            mixed = attend_documents(query, key, value, context.cu_seqlens, self.reach, self.scale)
        else:
            mask = context.masks.get(self.window)
            causal = context.causal and mask is None
            if context.watch is not None:
                seen = Attended(query, key, value, mask, bias, causal, self.scale, self.cap)
                context.watch.attended[self.layer, self.kind] = seen
            mixed = attend(
                query,
                key,
                value,
                mask,
                bias,
                causal=causal,
                scale=self.scale,
                dropout=self.dropout if self.training else 0.0,
                cap=self.cap,
            )  # [B, H, T, C]
        given: Tensor = self.out(mixed.transpose(1, 2).flatten(2))  # [B, T, D]
        if context.watch is not None:
            context.watch.given[self.layer, self.kind] = given
        return given

    def _disentangled(self, query: Tensor, key: Tensor, vectors: Tensor, places: Tensor) -> Tensor:
        """What contents say to relative positions, added to the scores: `[B, H, T, S]` (He et al. 2021a,
        equation 4; keys and queries of positions come from the maps of contents).

        Args:
            query, key: `[B, H, T, C]`.
            vectors: of relative positions `[P, D]`; places: which of them each pair has, `[B, H, T, S]`.
        """
        own_keys, own_queries = (self._split(part(vectors[None])) for part in (self.key, self.query))
        asked = query @ own_keys.transpose(-1, -2)  # [B, H, T, P]
        asking = key @ own_queries.transpose(-1, -2)  # [B, H, S, P]
        to_place = asked.gather(-1, places)
        from_place = asking.gather(-1, places.transpose(-1, -2)).transpose(-1, -2)
        return (to_place + from_place) * self.scale

    def _keys_and_values(
        self,
        x: Tensor,
        context: AttentionContext,
        cache: KeyValueCache | None,
        encoder_states: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        if self.cross:
            if cache is not None and self.layer in cache.cross:
                return cache.cross[self.layer]
            assert encoder_states is not None
            x = encoder_states
        key = self._heads(self.key(x), self.key_norm, context)
        value = self._split(self.value(x))
        if self.cross and cache is not None:
            cache.cross[self.layer] = key, value
        return (key, value) if cache is None or self.cross else cache.extend(self.layer, key, value)

    def _heads(self, x: Tensor, norm: RMSNorm | None, context: AttentionContext) -> Tensor:
        """Queries or keys `[B, T, H*C]` by head `[B, H, T, C]`, normed and turned by their positions."""
        if norm is not None and not self.norm_by_head:
            x = norm(x)
        x = self._split(x)
        if norm is not None and self.norm_by_head:
            x = norm(x)
        return x if self.rotary is None else rotate(x, context.rotary[self.rotary])

    def _split(self, x: Tensor) -> Tensor:
        """`[B, T, H*C]` to `[B, H, T, C]`."""
        by_head: Tensor = x.unflatten(-1, (-1, self.head_width)).transpose(1, 2)
        return by_head


def attention_scale(config: TransformerConfig) -> float:
    """What attention scores are multiplied by; where they are sums of three products, each counts."""
    terms = 3 if config.position == "disentangled" else 1
    return ((config.query_scalar or config.head_width) * terms) ** -0.5 if config.scaled_attention else 1.0
