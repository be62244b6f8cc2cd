"""Floating-point operations of a Transformer, counted from its configuration."""

from headstart.models.config import TransformerConfig


def forward_flops(config: TransformerConfig, tokens: int, row: int, targets: int = 0) -> int:
    """Operations of one forward pass; a multiplication and an addition count as two.

    Matrix products alone, as is usual (Kaplan et al. 2020, table 1); attention over the whole row,
    as it is computed here, also where a mask hides half of it.

    Args:
        tokens: how many tokens are read.
        row: tokens in a row, which attention spans.
        targets: how many positions pass the output head over the vocabulary.
    """
    attention = config.width * config.head_width * 2 * (config.heads + config.kv_heads)
    feedforward = 3 * config.width * config.feedforward_width
    per_token = config.layers * (2 * (attention + feedforward) + 4 * row * config.width)
    head = config.width * config.vocab_size + (config.width**2 if config.prediction_head else 0)
    return tokens * per_token + targets * 2 * head


def training_flops(config: TransformerConfig, tokens: int, row: int, targets: int = 0) -> int:
    """A forward and a backward pass: the backward pass has two products for each of the forward's."""
    return 3 * forward_flops(config, tokens, row, targets)
