"""T5: an encoder-decoder with relative positions, RMSNorm and no biases at all (Raffel et al. 2020).

Attention scores are not divided by the root of the head width; the initial queries are smaller instead.
Version 1.0 has ReLU and one matrix for embedding and output, before which the states are made smaller;
version 1.1 has a gated GELU (Shazeer 2020) and an output of its own.
"""

from collections.abc import Mapping
from typing import Any

from headstart.folder import JSONObject
from headstart.models.config import Sizes, TransformerConfig
from headstart.models.family import (
    Computed,
    Family,
    HeadShape,
    Key,
    Preset,
    linear,
    module,
)

_FIXED = {
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


_PRESETS = {
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

_HEADS = {
    "text-to-text": HeadShape("T5ForConditionalGeneration"),
    "features": HeadShape("T5Model"),
    "encoder-features": HeadShape("T5EncoderModel", encoder_alone=True),
    "classification": HeadShape(
        "T5ForSequenceClassification",
        "end",
        through="dense",
        weights=linear("classification_head.dense", "dense") | linear("classification_head.out_proj"),
        prefix="transformer.",
    ),
    "mean-classification": HeadShape(None, "mean", weights=linear("classifier"), encoder_alone=True),
    "tagging": HeadShape(
        "T5ForTokenClassification",
        weights=linear("classifier"),
        prefix="transformer.",
        encoder_alone=True,
    ),
    "spans": HeadShape("T5ForQuestionAnswering", weights=linear("qa_outputs")),
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


def _write_layers(config: TransformerConfig) -> JSONObject:
    return {
        "num_layers": config.encoder_layers or config.layers,
        "num_decoder_layers": config.layers,
        "is_encoder_decoder": config.architecture == "encoder-decoder",
    }


def _read_layers(fields: Mapping[str, Any]) -> Sizes:
    layers = fields.get("num_layers", 6)
    return {"layers": fields.get("num_decoder_layers") or layers, "encoder_layers": layers}


T5 = Family(
    name="t5",
    model_type="t5",
    objective="span-corruption",
    tokenizer="t5",
    fixed=_FIXED,
    rows=(
        Key("vocab_size", "vocab_size", 32_128),
        Key("width", "d_model", 512),
        Key("head_width", "d_kv", 64),
        Key("feedforward_width", "d_ff", 2048),
        Key("heads", "num_heads", 8),
        Computed(_write_layers, _read_layers),
        Key("context", "n_positions", 512),
        Key("relative_buckets", "relative_attention_num_buckets", 32),
        Key("relative_distance", "relative_attention_max_distance", 128),
        Key("feedforward", "feed_forward_proj", "relu", values=_FEEDFORWARD),
        Key("norm_epsilon", "layer_norm_epsilon", 1e-6),
        Key("dropout", "dropout_rate", 0.1),
        Key("tied", "tie_word_embeddings", True),
        # Older versions of transformers take `tie_word_embeddings` for the scaled states, too.
        Key("output_scale", "scale_decoder_outputs", lambda fields: fields.get("tie_word_embeddings", True)),
    ),
    modules={
        "shared": module("embedding"),
        "lm_head": module("output"),
        "encoder.block.{}.layer.0.layer_norm": module("encoder.blocks.{}.attention_norm"),
        "encoder.block.{}.layer.0.SelfAttention.q": module("encoder.blocks.{}.attention.query"),
        "encoder.block.{}.layer.0.SelfAttention.k": module("encoder.blocks.{}.attention.key"),
        "encoder.block.{}.layer.0.SelfAttention.v": module("encoder.blocks.{}.attention.value"),
        "encoder.block.{}.layer.0.SelfAttention.o": module("encoder.blocks.{}.attention.out"),
        "encoder.block.{}.layer.1.layer_norm": module("encoder.blocks.{}.feedforward_norm"),
        "encoder.block.{}.layer.1.DenseReluDense.wi": module("encoder.blocks.{}.feedforward.up", gated=False),
        "encoder.block.{}.layer.1.DenseReluDense.wi_0": module(
            "encoder.blocks.{}.feedforward.gate", gated=True
        ),
        "encoder.block.{}.layer.1.DenseReluDense.wi_1": module(
            "encoder.blocks.{}.feedforward.up", gated=True
        ),
        "encoder.block.{}.layer.1.DenseReluDense.wo": module("encoder.blocks.{}.feedforward.down"),
        "encoder.block.0.layer.0.SelfAttention.relative_attention_bias": module("encoder.relative_bias"),
        "encoder.final_layer_norm": module("encoder.final_norm"),
        "decoder.block.{}.layer.0.layer_norm": module("decoder.blocks.{}.attention_norm"),
        "decoder.block.{}.layer.0.SelfAttention.q": module("decoder.blocks.{}.attention.query"),
        "decoder.block.{}.layer.0.SelfAttention.k": module("decoder.blocks.{}.attention.key"),
        "decoder.block.{}.layer.0.SelfAttention.v": module("decoder.blocks.{}.attention.value"),
        "decoder.block.{}.layer.0.SelfAttention.o": module("decoder.blocks.{}.attention.out"),
        "decoder.block.{}.layer.1.layer_norm": module("decoder.blocks.{}.cross_norm"),
        "decoder.block.{}.layer.1.EncDecAttention.q": module("decoder.blocks.{}.cross_attention.query"),
        "decoder.block.{}.layer.1.EncDecAttention.k": module("decoder.blocks.{}.cross_attention.key"),
        "decoder.block.{}.layer.1.EncDecAttention.v": module("decoder.blocks.{}.cross_attention.value"),
        "decoder.block.{}.layer.1.EncDecAttention.o": module("decoder.blocks.{}.cross_attention.out"),
        "decoder.block.{}.layer.2.layer_norm": module("decoder.blocks.{}.feedforward_norm"),
        "decoder.block.{}.layer.2.DenseReluDense.wi": module("decoder.blocks.{}.feedforward.up", gated=False),
        "decoder.block.{}.layer.2.DenseReluDense.wi_0": module(
            "decoder.blocks.{}.feedforward.gate", gated=True
        ),
        "decoder.block.{}.layer.2.DenseReluDense.wi_1": module(
            "decoder.blocks.{}.feedforward.up", gated=True
        ),
        "decoder.block.{}.layer.2.DenseReluDense.wo": module("decoder.blocks.{}.feedforward.down"),
        "decoder.block.0.layer.0.SelfAttention.relative_attention_bias": module("decoder.relative_bias"),
        "decoder.final_layer_norm": module("decoder.final_norm"),
    },
    heads=_HEADS,
    presets=_PRESETS,
    repeats={
        "encoder.embed_tokens.weight": "embedding.weight",
        "decoder.embed_tokens.weight": "embedding.weight",
    },
    ignored=("EncDecAttention.relative_attention_bias.weight",),  # in the first published files, never read
    decoder_start="pad",
)
