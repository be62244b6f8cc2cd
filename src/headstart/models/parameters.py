"""How many parameters each part of a Transformer has, and how large its key-value cache is.

Counted from the configuration alone, so that a model of any size takes no time and no memory.
"""

from headstart.models.config import TransformerConfig

EMBEDDINGS = ("embedding", "positions", "output")
"""Parts whose size depends on the vocabulary or the context."""


def parameters_by_part(config: TransformerConfig) -> dict[str, int]:
    """Weights of every part, tied ones counted once; parts that a model lacks are left out."""
    D, V = config.width, config.vocab_size
    norm = D * (2 if config.norm == "layernorm" and config.norm_bias else 1)
    parts = dict.fromkeys(
        ("embedding", "positions", "attention", "cross-attention", "feed-forward", "norms", "output"), 0
    )
    parts["embedding"] = V * D
    for layers, cross in stacks(config):
        if config.position == "learned":
            parts["positions"] += (config.context + config.position_offset) * D
        if config.position == "relative":
            parts["positions"] += config.relative_buckets * config.heads
        if config.position == "disentangled":
            parts["positions"] += 2 * config.relative_buckets * D + norm
        parts["positions"] += config.token_types * D
        parts["attention"] += layers * _attention(config, cross=False)
        parts["cross-attention"] += layers * _attention(config, cross=True) * cross
        parts["feed-forward"] += layers * _feed_forward(config)
        each = (4 if config.norm_place == "sandwich" else 2) + cross
        norms = layers * each + config.embedding_norm + config.final_norm
        if config.norm_place == "pre":
            norms -= config.embedding_norm  # the first block then starts without one
        parts["norms"] += norms * norm + layers * (1 + cross) * _query_key_norms(config)
    if config.prediction_head:
        parts["output"] += D * D + D * config.feedforward_bias + norm
    parts["output"] += V * D * (not config.tied) + V * config.output_bias
    parts["output"] += (D * D + D) * config.pooler + (2 * D + 2) * config.next_sentence
    return {part: count for part, count in parts.items() if count}


def parameters(config: TransformerConfig) -> int:
    """All weights, tied ones counted once."""
    return sum(parameters_by_part(config).values())


def block_parameters(config: TransformerConfig) -> int:
    """Weights without embeddings, positions and output: the N of Kaplan et al. 2020."""
    return sum(count for part, count in parameters_by_part(config).items() if part not in EMBEDDINGS)


def cache_bytes(
    config: TransformerConfig, tokens: int, rows: int = 1, bytes_each: int = 2, source: int = 0
) -> int:
    """Bytes of the keys and values that generation keeps: 2 K C a token, row and layer.

    Args:
        tokens: read and written so far.
        rows: texts generated at once.
        bytes_each: of one number; 2 in bfloat16.
        source: tokens of the encoder's text, in an encoder-decoder.
    """
    if not config.generates:
        return 0
    return 2 * config.kv_heads * config.head_width * config.layers * (tokens + source) * rows * bytes_each


def stacks(config: TransformerConfig) -> list[tuple[int, bool]]:
    """Of each stack, how many layers it has and whether they look at an encoder."""
    if config.architecture == "encoder-decoder":
        return [(config.encoder_layers, False), (config.layers, True)]
    return [(config.layers, False)]


def _attention(config: TransformerConfig, cross: bool) -> int:
    D, all_heads = config.width, config.heads * config.head_width
    inputs = all_heads + 2 * config.kv_heads * config.head_width
    count = D * inputs + inputs * config.qkv_bias + all_heads * D + D * config.out_bias
    if config.position == "relative-xl" and not cross:
        count += D * all_heads + 2 * all_heads
    return count


def _query_key_norms(config: TransformerConfig) -> int:
    widths = {"none": 0, "head": 2, "width": config.heads + config.kv_heads}
    return widths[config.query_key_norm] * config.head_width


def _feed_forward(config: TransformerConfig) -> int:
    into = 2 if config.gated else 1
    D, F = config.width, config.feedforward_width
    return (into + 1) * D * F + (into * F + D) * config.feedforward_bias
