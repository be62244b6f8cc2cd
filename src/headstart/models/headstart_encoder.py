"""headstart's own encoder: bidirectional, rotary positions, pre-norm, GeGLU, no biases.

The shape is ModernBERT's (Warner et al. 2024) with full attention in every layer, so its folders
load in transformers as `ModernBertFor...`.
"""

from typing import Any

from headstart.models.config import TransformerConfig

NAME = "headstart-encoder"
HF_MODEL_TYPE = "modernbert"
HF_CLASSES = {
    "masked": "ModernBertForMaskedLM",
    "classification": "ModernBertForSequenceClassification",
    "tagging": "ModernBertForTokenClassification",
}
OBJECTIVE = "masked"
GROUPED_QUERY = False
FIXED = {
    "attention": "bidirectional",
    "norm": "layernorm",
    "norm_epsilon": 1e-5,
    "feedforward": "geglu",
    "rotary_base": 10_000.0,
    "embedding_norm": True,
    "prediction_head": True,
    "output_bias": True,
}

# Hugging Face's name for a weight: ours, stacked along the output dimension where there are several.
WEIGHTS = {
    "model.embeddings.tok_embeddings.weight": ("embedding.weight",),
    "model.embeddings.norm.weight": ("embedding_norm.weight",),
    "model.layers.{layer}.attn_norm.weight": ("blocks.{layer}.attention_norm.weight",),
    "model.layers.{layer}.attn.Wqkv.weight": (
        "blocks.{layer}.attention.query.weight",
        "blocks.{layer}.attention.key.weight",
        "blocks.{layer}.attention.value.weight",
    ),
    "model.layers.{layer}.attn.Wo.weight": ("blocks.{layer}.attention.out.weight",),
    "model.layers.{layer}.mlp_norm.weight": ("blocks.{layer}.feedforward_norm.weight",),
    "model.layers.{layer}.mlp.Wi.weight": (
        "blocks.{layer}.feedforward.gate.weight",
        "blocks.{layer}.feedforward.up.weight",
    ),
    "model.layers.{layer}.mlp.Wo.weight": ("blocks.{layer}.feedforward.down.weight",),
    "model.final_norm.weight": ("final_norm.weight",),
    "head.dense.weight": ("prediction_head.dense.weight",),
    "head.norm.weight": ("prediction_head.norm.weight",),
    "decoder.bias": ("output_bias",),
}


def to_hf(config: TransformerConfig) -> dict[str, Any]:
    """`config.json` fields for transformers, old and new names of the rotary base included."""
    rotary = {"rope_type": "default", "rope_theta": config.rotary_base}
    return {
        "model_type": HF_MODEL_TYPE,
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
        "kv_heads": fields["num_attention_heads"],
        "feedforward_width": fields["intermediate_size"],
        "context": fields["max_position_embeddings"],
        "rotary_base": fields["global_rope_theta"],
    }
