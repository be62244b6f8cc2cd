"""T5: an encoder-decoder with relative positions, RMSNorm and no biases at all (Raffel et al. 2020).

Attention scores are not divided by the root of the head width; the initial queries are smaller instead.
Version 1.0 has ReLU and one matrix for embedding and output, before which the states are made smaller;
version 1.1 has a gated GELU (Shazeer 2020) and an output of its own.
"""

from typing import Any

from headstart.models.config import TransformerConfig
from headstart.models.family import HeadShape, Preset, Stored

NAME = "t5"
MODEL_TYPE = "t5"
OBJECTIVE = "span-corruption"
TOKENIZER = "t5"
GROUPED_QUERY = False
DECODER_START = "pad"
PREFIX = ""
IGNORED = (
    "encoder.embed_tokens.weight",  # tied
    "decoder.embed_tokens.weight",
    "EncDecAttention.relative_attention_bias.weight",  # in the first published files, never read
)
FIXED = {
    "architecture": "encoder-decoder",
    "context": 512,
    "position": "relative",
    "norm": "rmsnorm",
    "norm_epsilon": 1e-6,
    "feedforward": "relu",
    "scaled_attention": False,
    "output_scale": True,
    "dropout": 0.1,
    "embedding_deviation": 1.0,
}

# 1,000,000 steps of 2^11 rows of 512 tokens (section 3.7).
_TOKENS = 1_000_000 * 2**11 * 512


def _first(
    layers: int, width: int, inner: int, heads: int, parameters: int, published: str, head_width: int = 64
) -> Preset:
    return Preset(
        {
            "vocab_size": 32_128,
            "layers": layers,
            "width": width,
            "heads": heads,
            "head_width": head_width,
            "feedforward_width": inner,
        },
        parameters=parameters,
        published=published,
        source="Raffel et al. 2020, section 3.7",
        year=2019,
        data="C4, 750 GB, mixed with supervised tasks",
        tokens=_TOKENS,
    )


def _second(layers: int, width: int, inner: int, heads: int, parameters: int, published: str) -> Preset:
    return Preset(
        {
            "vocab_size": 32_128,
            "layers": layers,
            "width": width,
            "heads": heads,
            "head_width": 64,
            "feedforward_width": inner,
            "feedforward": "geglu_tanh",
            "tied": False,
            "output_scale": False,
            "dropout": 0.0,
        },
        parameters=parameters,
        published=published,
        source="released_checkpoints.md of google-research/text-to-text-transfer-transformer",
        year=2020,
        data="C4, 750 GB",
    )


PRESETS = {
    "t5-small": _first(6, 512, 2048, 8, 60_506_624, "60M"),
    "t5-base": _first(12, 768, 3072, 12, 222_903_552, "220M"),
    "t5-large": _first(24, 1024, 4096, 16, 737_668_096, "770M"),
    "t5-3b": _first(24, 1024, 16_384, 32, 2_851_598_336, "2.8B", head_width=128),
    "t5-11b": _first(24, 1024, 65_536, 128, 11_307_321_344, "11B", head_width=128),
    "t5-v1.1-small": _second(8, 512, 1024, 6, 76_961_152, "77M"),
    "t5-v1.1-base": _second(12, 768, 2048, 12, 247_577_856, "250M"),
    "t5-v1.1-large": _second(24, 1024, 2816, 16, 783_150_080, "800M"),
    "t5-v1.1-xl": _second(24, 2048, 5120, 32, 2_849_757_184, "3B"),
    "t5-v1.1-xxl": _second(24, 4096, 10_240, 64, 11_135_332_352, "11B"),
}

HEADS = {
    "text-to-text": HeadShape("T5ForConditionalGeneration"),
    "features": HeadShape("T5Model"),
    "classification": HeadShape(
        "T5ForSequenceClassification",
        "end",
        through="dense",
        weights={
            "classification_head.dense.weight": "dense.weight",
            "classification_head.dense.bias": "dense.bias",
            "classification_head.out_proj.weight": "weight",
            "classification_head.out_proj.bias": "bias",
        },
        prefix="transformer.",
    ),
    "tagging": HeadShape(
        "T5ForTokenClassification",
        weights={"classifier.weight": "weight", "classifier.bias": "bias"},
        prefix="transformer.",
        encoder_alone=True,
    ),
    "spans": HeadShape(
        "T5ForQuestionAnswering", weights={"qa_outputs.weight": "weight", "qa_outputs.bias": "bias"}
    ),
}

# What `feed_forward_proj` says; its gated-gelu has always been the tanh approximation.
_FEEDFORWARD = {
    "relu": "relu",
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gated-silu": "swiglu",
    "gated-gelu": "geglu_tanh",
    "gated-gelu_new": "geglu_tanh",
    "gated-gelu_python": "geglu",
}


def weights(config: TransformerConfig) -> dict[str, Stored]:
    """Hugging Face's name for a weight: ours."""
    names = {"shared.weight": Stored("embedding.weight"), "lm_head.weight": Stored("output.weight")}
    letters = {"q": "query", "k": "key", "v": "value", "o": "out"}
    # Their name, ours, and our norm before it, in the order in which they number a block's parts.
    attention = [
        ("SelfAttention", "attention", "attention_norm"),
        ("EncDecAttention", "cross_attention", "cross_norm"),
    ]
    feedforward = {"gate": "wi_0", "up": "wi_1", "down": "wo"} if config.gated else {"up": "wi", "down": "wo"}
    for stack, layers, parts in (
        ("encoder", config.encoder_layers or config.layers, attention[:1]),
        ("decoder", config.layers, attention),
    ):
        names[f"{stack}.final_layer_norm.weight"] = Stored(f"{stack}.final_norm.weight")
        names[f"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"] = Stored(
            f"{stack}.relative_bias.weight"
        )
        for layer in range(layers):
            theirs, ours = f"{stack}.block.{layer}.layer", f"{stack}.blocks.{layer}"
            for number, (part, own, norm) in enumerate(parts):
                names[f"{theirs}.{number}.layer_norm.weight"] = Stored(f"{ours}.{norm}.weight")
                for letter, full in letters.items():
                    names[f"{theirs}.{number}.{part}.{letter}.weight"] = Stored(f"{ours}.{own}.{full}.weight")
            last = f"{theirs}.{len(parts)}"
            names[f"{last}.layer_norm.weight"] = Stored(f"{ours}.feedforward_norm.weight")
            for own, part in feedforward.items():
                names[f"{last}.DenseReluDense.{part}.weight"] = Stored(f"{ours}.feedforward.{own}.weight")
    return names


def to_hf(config: TransformerConfig) -> dict[str, Any]:
    """`config.json` fields for transformers.

    Its older versions take `tie_word_embeddings` for both the tied output and the scaled states.
    """
    return {
        "vocab_size": config.vocab_size,
        "d_model": config.width,
        "d_kv": config.head_width,
        "d_ff": config.feedforward_width,
        "num_heads": config.heads,
        "num_layers": config.encoder_layers or config.layers,
        "num_decoder_layers": config.layers,
        "is_encoder_decoder": config.architecture == "encoder-decoder",
        "n_positions": config.context,
        "relative_attention_num_buckets": config.relative_buckets,
        "relative_attention_max_distance": config.relative_distance,
        "feed_forward_proj": next(name for name, own in _FEEDFORWARD.items() if own == config.feedforward),
        "layer_norm_epsilon": config.norm_epsilon,
        "dropout_rate": config.dropout,
        "tie_word_embeddings": config.tied,
        "scale_decoder_outputs": config.output_scale,
    }


def from_hf(fields: dict[str, Any]) -> dict[str, Any]:
    """The sizes in a `config.json`."""
    feedforward = fields.get("feed_forward_proj", "relu")
    if feedforward not in _FEEDFORWARD:
        raise ValueError(f"feed_forward_proj {feedforward!r} (known: {', '.join(_FEEDFORWARD)})")
    tied = fields.get("tie_word_embeddings", True)
    return {
        "vocab_size": fields["vocab_size"],
        "layers": fields.get("num_decoder_layers") or fields["num_layers"],
        "encoder_layers": fields["num_layers"],
        "width": fields["d_model"],
        "heads": fields["num_heads"],
        "head_width": fields["d_kv"],
        "feedforward_width": fields["d_ff"],
        "feedforward": _FEEDFORWARD[feedforward],
        "context": fields.get("n_positions", 512),
        "relative_buckets": fields.get("relative_attention_num_buckets", 32),
        "relative_distance": fields.get("relative_attention_max_distance", 128),
        "norm_epsilon": fields.get("layer_norm_epsilon", 1e-6),
        "dropout": fields.get("dropout_rate", 0.1),
        "tied": tied,
        "output_scale": fields.get("scale_decoder_outputs", tied),
    }
