"""Floating-point operations of a Transformer, counted from its configuration.

A multiplication and an addition count as two. Matrix products alone, as is usual (Kaplan et al. 2020,
table 1): norms, activations and softmax are some thousandths. Attention is counted over the whole row,
as it is computed here, also where a mask hides half of it.
"""

from dataclasses import dataclass
from typing import Literal

from headstart.models.config import TransformerConfig
from headstart.models.parameters import parameters, stacks

Checkpointing = Literal["none", "selective", "full"]


@dataclass(frozen=True)
class Flops:
    """Of one part, for one batch."""

    forward: int
    backward: int
    """Two products for each of the forward pass: the gradients of both factors."""
    recomputed: int = 0
    """Forward work done again in the backward pass, to save memory."""

    @property
    def total(self) -> int:
        return self.forward + self.backward + self.recomputed


def flops_by_part(
    config: TransformerConfig,
    rows: int,
    row: int,
    targets: int | None = None,
    source: int = 0,
    checkpointing: Checkpointing = "none",
    fused: bool = False,
) -> dict[str, Flops]:
    """The operations of one forward and backward pass over a batch, by part.

    Args:
        rows: rows in the batch, B.
        row: tokens in a row, T; in an encoder-decoder those of the decoder.
        targets: positions of the batch that pass the output over the vocabulary (a masked objective
            scores its masked tokens alone); None: all.
        source: tokens in a row of the encoder, S, in an encoder-decoder.
        checkpointing: what the backward pass computes again: nothing, the attention's scores
            (Korthikanti et al. 2022, section 5), or whole blocks.
        fused: whether attention's kernel computes its scores again, as FlashAttention does.
    """
    D, C, H, K = config.width, config.head_width, config.heads, config.kv_heads
    tokens = rows * row
    targets = tokens if targets is None else targets
    parts = dict.fromkeys(
        ("attention projections", "attention scores", "cross-attention", "positions", "feed-forward"), 0
    )
    encoder_decoder = config.architecture == "encoder-decoder"
    for layers, cross in stacks(config):
        length = source if encoder_decoder and not cross else row
        here = rows * length
        parts["attention projections"] += layers * 2 * here * D * C * (2 * H + 2 * K)
        parts["attention scores"] += layers * 4 * here * length * H * C
        parts["feed-forward"] += layers * 2 * here * D * config.feedforward_width * (2 + config.gated)
        if cross:
            queries, memory = 2 * here * D * C * 2 * H, 2 * rows * source * D * C * 2 * K
            parts["cross-attention"] += layers * (queries + memory + 4 * here * source * H * C)
        if config.position == "relative-xl":
            parts["positions"] += layers * 2 * here * length * H * C
        if config.position == "disentangled":  # the places' own keys and queries; against all of them
            places = 2 * config.relative_buckets
            parts["positions"] += layers * 2 * 2 * places * (D + here) * H * C
    done = {
        part: Flops(forward, 2 * forward, _recomputed(part, forward, checkpointing, fused))
        for part, forward in parts.items()
        if forward
    }
    if config.position == "relative-xl":  # distances are read once a batch, and need no gradient
        keys = config.layers * 2 * row * D * H * C
        again = keys if checkpointing == "full" else 0
        before = done["positions"]
        done["positions"] = Flops(before.forward + keys, before.backward + keys, before.recomputed + again)
    output = targets * _output(config)
    done["output"] = Flops(output, 2 * output)
    return done


def _recomputed(part: str, forward: int, checkpointing: Checkpointing, fused: bool) -> int:
    scores = part == "attention scores"
    again = forward if checkpointing == "full" or (checkpointing == "selective" and scores) else 0
    # A fused kernel's backward pass forms the scores once more: one of the forward's two products.
    return again + (forward // 2 if fused and scores else 0)


def forward_flops(config: TransformerConfig, tokens: int, row: int, targets: int = 0, source: int = 0) -> int:
    """Operations of one forward pass.

    Args:
        tokens: how many tokens are read.
        row: tokens in a row, which attention spans.
        targets: how many positions pass the output head over the vocabulary.
        source: tokens in a row of the encoder, in an encoder-decoder; `tokens` are the decoder's.
    """
    # Everything but the output is proportional to rows, and `tokens` need be no multiple of `row`.
    parts = flops_by_part(config, row, row, 0, source)
    return round(sum(part.forward for part in parts.values()) * tokens / row**2) + targets * _output(config)


def training_flops(
    config: TransformerConfig, tokens: int, row: int, targets: int = 0, source: int = 0
) -> int:
    """A forward and a backward pass: the backward pass has two products for each of the forward's."""
    return 3 * forward_flops(config, tokens, row, targets, source)


def _output(config: TransformerConfig) -> int:
    D = config.width
    return 2 * D * config.vocab_size + (2 * D * D if config.prediction_head else 0)


def six_n_d(config: TransformerConfig, tokens: int) -> int:
    """6 N D with all parameters: the rule of thumb for training."""
    return 6 * parameters(config) * tokens
