"""headstart's own decoder: causal, rotary positions, RMSNorm, SwiGLU, no biases, tied embeddings.

The shape is Llama's (Touvron et al. 2023), so its folders load in transformers as `LlamaForCausalLM`.
"""

from typing import Any

from headstart.models.config import TransformerConfig

NAME = "headstart-decoder"
HF_MODEL_TYPE = "llama"
HF_CLASSES = {"causal": "LlamaForCausalLM"}
OBJECTIVE = "causal"
GROUPED_QUERY = True
FIXED = {
    "attention": "causal",
    "norm": "rmsnorm",
    "norm_epsilon": 1e-5,
    "feedforward": "swiglu",
    "rotary_base": 10_000.0,
    "embedding_norm": False,
    "prediction_head": False,
    "output_bias": False,
}

WEIGHTS = {
    "model.embed_tokens.weight": ("embedding.weight",),
    "model.layers.{layer}.input_layernorm.weight": ("blocks.{layer}.attention_norm.weight",),
    "model.layers.{layer}.self_attn.q_proj.weight": ("blocks.{layer}.attention.query.weight",),
    "model.layers.{layer}.self_attn.k_proj.weight": ("blocks.{layer}.attention.key.weight",),
    "model.layers.{layer}.self_attn.v_proj.weight": ("blocks.{layer}.attention.value.weight",),
    "model.layers.{layer}.self_attn.o_proj.weight": ("blocks.{layer}.attention.out.weight",),
    "model.layers.{layer}.post_attention_layernorm.weight": ("blocks.{layer}.feedforward_norm.weight",),
    "model.layers.{layer}.mlp.gate_proj.weight": ("blocks.{layer}.feedforward.gate.weight",),
    "model.layers.{layer}.mlp.up_proj.weight": ("blocks.{layer}.feedforward.up.weight",),
    "model.layers.{layer}.mlp.down_proj.weight": ("blocks.{layer}.feedforward.down.weight",),
    "model.norm.weight": ("final_norm.weight",),
}


def to_hf(config: TransformerConfig) -> dict[str, Any]:
    """`config.json` fields for transformers, old and new names of the rotary base included."""
    return {
        "model_type": HF_MODEL_TYPE,
        "vocab_size": config.vocab_size,
        "hidden_size": config.width,
        "intermediate_size": config.feedforward_width,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.head_width,
        "hidden_act": "silu",
        "max_position_embeddings": config.context,
        "rms_norm_eps": config.norm_epsilon,
        "rope_theta": config.rotary_base,
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rotary_base},
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": True,
    }


def from_hf(fields: dict[str, Any]) -> dict[str, Any]:
    """The sizes in a `config.json` that `to_hf` wrote."""
    return {
        "vocab_size": fields["vocab_size"],
        "layers": fields["num_hidden_layers"],
        "width": fields["hidden_size"],
        "heads": fields["num_attention_heads"],
        "kv_heads": fields["num_key_value_heads"],
        "feedforward_width": fields["intermediate_size"],
        "context": fields["max_position_embeddings"],
        "norm_epsilon": fields["rms_norm_eps"],
        "rotary_base": fields["rope_parameters"]["rope_theta"],
    }
