"""headstart's own encoder: bidirectional, rotary positions, pre-norm, GeGLU, no biases.

The shape is ModernBERT's (Warner et al. 2024) with full attention in every layer, so its folders
load in transformers as `ModernBertFor...`.
"""

from typing import Any

from headstart.models.config import TransformerConfig
from headstart.models.family import HeadShape, Preset, Stored

NAME = "headstart-encoder"
MODEL_TYPE = "modernbert"
OBJECTIVE = "masked"
TOKENIZER = "headstart"
GROUPED_QUERY = False
PREFIX = "model."
PRESETS: dict[str, Preset] = {}
FIXED = {
    "architecture": "encoder",
    "position": "rotary",
    "norm": "layernorm",
    "feedforward": "geglu",
    "embedding_norm": True,
    "prediction_head": True,
    "output_bias": True,
}

_CLASSIFIER = {"classifier.weight": "weight", "classifier.bias": "bias"}
HEADS = {
    "masked": HeadShape("ModernBertForMaskedLM"),
    "features": HeadShape("ModernBertModel"),
    "classification": HeadShape(
        "ModernBertForSequenceClassification", "mean", "prediction head", weights=_CLASSIFIER
    ),
    "tagging": HeadShape("ModernBertForTokenClassification", "each", "prediction head", weights=_CLASSIFIER),
    "spans": HeadShape("ModernBertForQuestionAnswering", "each", "prediction head", weights=_CLASSIFIER),
}


def weights(config: TransformerConfig) -> dict[str, Stored]:
    """Hugging Face's name for a weight: ours, stacked along the outputs where there are several."""
    names = {
        "model.embeddings.tok_embeddings.weight": Stored("embedding.weight"),
        "model.embeddings.norm.weight": Stored("encoder.embedding_norm.weight"),
        "model.final_norm.weight": Stored("encoder.final_norm.weight"),
        "head.dense.weight": Stored("prediction_head.dense.weight"),
        "head.norm.weight": Stored("prediction_head.norm.weight"),
        "decoder.bias": Stored("output_bias"),
    }
    for layer in range(config.layers):
        theirs, ours = f"model.layers.{layer}", f"encoder.blocks.{layer}"
        if layer:
            names[f"{theirs}.attn_norm.weight"] = Stored(f"{ours}.attention_norm.weight")
        names |= {
            f"{theirs}.attn.Wqkv.weight": Stored(
                f"{ours}.attention.query.weight",
                f"{ours}.attention.key.weight",
                f"{ours}.attention.value.weight",
            ),
            f"{theirs}.attn.Wo.weight": Stored(f"{ours}.attention.out.weight"),
            f"{theirs}.mlp_norm.weight": Stored(f"{ours}.feedforward_norm.weight"),
            f"{theirs}.mlp.Wi.weight": Stored(
                f"{ours}.feedforward.gate.weight", f"{ours}.feedforward.up.weight"
            ),
            f"{theirs}.mlp.Wo.weight": Stored(f"{ours}.feedforward.down.weight"),
        }
    return names


def to_hf(config: TransformerConfig) -> dict[str, Any]:
    """`config.json` fields for transformers, old and new names of the rotary base included."""
    rotary = {"rope_type": "default", "rope_theta": config.rotary_base}
    return {
        "vocab_size": config.vocab_size,
        "hidden_size": config.width,
        "intermediate_size": config.feedforward_width,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "max_position_embeddings": config.context,
        "norm_eps": config.norm_epsilon,
        "hidden_activation": "gelu",
        "classifier_activation": "gelu",
        "classifier_pooling": "mean",
        "global_attn_every_n_layers": 1,
        "layer_types": ["full_attention"] * config.layers,
        "global_rope_theta": config.rotary_base,
        "local_rope_theta": config.rotary_base,
        "rope_parameters": {"full_attention": rotary, "sliding_attention": rotary},
        "tie_word_embeddings": True,
    }


def from_hf(fields: dict[str, Any]) -> dict[str, Any]:
    """The sizes in a `config.json` that `to_hf` wrote."""
    return {
        "vocab_size": fields["vocab_size"],
        "layers": fields["num_hidden_layers"],
        "width": fields["hidden_size"],
        "heads": fields["num_attention_heads"],
        "feedforward_width": fields["intermediate_size"],
        "context": fields["max_position_embeddings"],
        "norm_epsilon": fields["norm_eps"],
        "rotary_base": fields["global_rope_theta"],
    }
