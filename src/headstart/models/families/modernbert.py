"""ModernBERT: a bidirectional encoder with rotary positions, pre-norm and GeGLU (Warner et al. 2024).

Two of three layers see 64 tokens to both sides and have a rotary base of their own. There are no
biases but the output's.
"""

from collections.abc import Mapping
from typing import Any, Literal

from headstart.models.config import LayerPlan
from headstart.models.families.layers import FULL, SLIDING, LocalRope
from headstart.models.family import (
    Constant,
    Copy,
    Family,
    HeadShape,
    Key,
    Preset,
    heads_fill_width,
    linear,
    module,
)

SHAPE = {
    "architecture": "encoder",
    "position": "rotary",
    "norm": "layernorm",
    "feedforward": "geglu",
    "embedding_norm": True,
    "prediction_head": True,
    "output_bias": True,
}
"""What headstart's own encoder has, too."""
_SIZES = {"vocab_size": 50_368, "context": 8192}
_DATA = "web pages, code and papers, mostly English"
_SOURCE = "Warner et al. 2024, table 4 and section 3"
_CLASSIFIER = linear("classifier")


def _types(fields: Mapping[str, Any]) -> list[str]:
    every = fields.get("global_attn_every_n_layers", 3)
    return [SLIDING if layer % every else FULL for layer in range(fields.get("num_hidden_layers", 22))]


def _classification(reads: Literal["first", "mean"], says: str) -> HeadShape:
    return HeadShape(
        "ModernBertForSequenceClassification",
        reads,
        "prediction head",
        weights=_CLASSIFIER,
        says={"classifier_pooling": says},
    )


MEAN = _classification("mean", "mean")
HEADS = {
    "masked": HeadShape("ModernBertForMaskedLM"),
    "features": HeadShape("ModernBertModel"),
    "classification": _classification("first", "cls"),
    "mean-classification": MEAN,
    "tagging": HeadShape("ModernBertForTokenClassification", "each", "prediction head", weights=_CLASSIFIER),
    "spans": HeadShape("ModernBertForQuestionAnswering", "each", "prediction head", weights=_CLASSIFIER),
}

MODERNBERT = Family(
    name="modernbert",
    model_type="modernbert",
    objective="masked",
    tokenizer="roberta",
    fixed=SHAPE
    | {
        "rotary_base": 160_000.0,
        "plan": (LayerPlan(), *[LayerPlan(window=65, rotary_base=10_000.0)] * 2),
        "initial_deviation": 0.02,
    },
    rows=(
        Key("vocab_size", "vocab_size", 50_368),
        Key("width", "hidden_size", 768),
        Key("feedforward_width", "intermediate_size", 1152),
        Key("layers", "num_hidden_layers", 22),
        Key("heads", "num_attention_heads", 12),
        Key("context", "max_position_embeddings", 8192),
        Key("norm_epsilon", "norm_eps", 1e-5),
        Key("norm_bias", "norm_bias", False),
        Key("qkv_bias", "attention_bias", False),
        Key("out_bias", "attention_bias", False),
        Key("dropout", "mlp_dropout", 0.0),
        Copy("dropout", "embedding_dropout"),
        Copy("dropout", "attention_dropout"),
        Key("tied", "tie_word_embeddings", True),
        Constant("hidden_activation", "gelu"),
        Constant("classifier_activation", "gelu"),
        Constant("mlp_bias", False),
        Constant("classifier_bias", False),
        Constant("decoder_bias", True),
        LocalRope(
            _types,
            key="local_attention",
            default=128,
            both_sides=True,
            base=160_000.0,
            base_key="global_rope_theta",
            local_base=10_000.0,
            local_base_key="local_rope_theta",
        ),
    ),
    modules={
        "model.embeddings.tok_embeddings": module("embedding"),
        "model.embeddings.norm": module("encoder.embedding_norm"),
        "model.layers.{}.attn_norm": module("encoder.blocks.{}.attention_norm"),
        "model.layers.{}.attn.Wqkv": module(
            "encoder.blocks.{}.attention.query",
            "encoder.blocks.{}.attention.key",
            "encoder.blocks.{}.attention.value",
        ),
        "model.layers.{}.attn.Wo": module("encoder.blocks.{}.attention.out"),
        "model.layers.{}.mlp_norm": module("encoder.blocks.{}.feedforward_norm"),
        "model.layers.{}.mlp.Wi": module(
            "encoder.blocks.{}.feedforward.gate", "encoder.blocks.{}.feedforward.up"
        ),
        "model.layers.{}.mlp.Wo": module("encoder.blocks.{}.feedforward.down"),
        "model.final_norm": module("encoder.final_norm"),
        "head.dense": module("prediction_head.dense"),
        "head.norm": module("prediction_head.norm"),
    },
    tensors={"decoder.weight": "output.weight", "decoder.bias": "output_bias"},
    heads=HEADS,
    presets={
        "modernbert-base": Preset(
            _SIZES | {"layers": 22, "width": 768, "heads": 12, "feedforward_width": 1152},
            parameters=149_655_232,
            published="149M",
            source=_SOURCE,
            year=2024,
            data=_DATA,
            tokens=2e12,
        ),
        "modernbert-large": Preset(
            _SIZES | {"layers": 28, "width": 1024, "heads": 16, "feedforward_width": 2624},
            parameters=395_881_664,
            published="395M",
            source=_SOURCE,
            year=2024,
            data=_DATA,
            tokens=2e12,
        ),
    },
    prefix="model.",
    check=heads_fill_width,
)
