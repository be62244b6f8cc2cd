"""Llama 1, 2, 3 and 3.1: a decoder with rotary positions, RMSNorm, SwiGLU and no biases.

Sources: Touvron et al. 2023a (Llama 1), 2023b (Llama 2: grouped-query attention in 70B), Dubey et al. 2024
(Llama 3: grouped-query attention everywhere, a rotary base of 500,000, 128K tokens of vocabulary).
"""

from typing import Any

from headstart.errors import HeadstartError
from headstart.models.config import RotaryScaling, TransformerConfig
from headstart.models.family import HeadShape, Preset, Stored

NAME = "llama"
MODEL_TYPE = "llama"
OBJECTIVE = "causal"
TOKENIZER = "llama3"
GROUPED_QUERY = True
PREFIX = "model."
FIXED = {
    "architecture": "decoder",
    "position": "rotary",
    "norm": "rmsnorm",
    "feedforward": "swiglu",
    "tied": False,
}

# Sizes: vocabulary, layers, width, heads, key-value heads, feed-forward width, context.
_LLAMA_3: dict[str, Any] = {"rotary_base": 500_000.0}
_LLAMA_31 = _LLAMA_3 | {"rotary_scaling": RotaryScaling()}
_LLAMA_32 = _LLAMA_3 | {"rotary_scaling": RotaryScaling(factor=32.0), "tied": True}
_DATA_1 = "Common Crawl, C4, GitHub, Wikipedia, books, arXiv, Stack Exchange"
_DATA_2 = "publicly available text, not listed"


def _preset(
    sizes: tuple[int, ...],
    parameters: int,
    published: str,
    tokens: float,
    year: int,
    data: str,
    source: str,
    **more: Any,
) -> Preset:
    names = ("vocab_size", "layers", "width", "heads", "kv_heads", "feedforward_width", "context")
    return Preset(
        dict(zip(names, sizes, strict=True)) | more,
        parameters,
        published,
        source,
        year,
        data,
        tokens,
        tokenizer="llama2" if sizes[0] == 32_000 else "",
    )


def _llama_1(
    layers: int, width: int, heads: int, inner: int, parameters: int, published: str, tokens: float,
    epsilon: float = 1e-6,
) -> Preset:  # fmt: skip
    return _preset(
        (32_000, layers, width, heads, heads, inner, 2048), parameters, published, tokens, 2023, _DATA_1,
        "Touvron et al. 2023a, table 2; norm's epsilon and feed-forward width as released",
        norm_epsilon=epsilon,
    )  # fmt: skip


def _llama_2(
    layers: int, width: int, heads: int, kv_heads: int, inner: int, parameters: int, published: str
) -> Preset:
    return _preset(
        (32_000, layers, width, heads, kv_heads, inner, 4096), parameters, published, 2e12, 2023, _DATA_2,
        "Touvron et al. 2023b, table 1; sizes as released",
    )  # fmt: skip


def _llama_3(
    layers: int, width: int, heads: int, inner: int, parameters: int, published: str, tokens: float = 15e12,
    source: str = "Dubey et al. 2024, table 3; tokens: model card", context: int = 131_072, **more: Any,
) -> Preset:  # fmt: skip
    return _preset(
        (128_256, layers, width, heads, 8, inner, context), parameters, published, tokens, 2024, _DATA_2,
        source, **more,
    )  # fmt: skip


PRESETS = {
    "llama-1-7b": _llama_1(32, 4096, 32, 11_008, 6_738_415_616, "6.7B", 1e12),
    "llama-1-13b": _llama_1(40, 5120, 40, 13_824, 13_015_864_320, "13.0B", 1e12),
    "llama-1-33b": _llama_1(60, 6656, 52, 17_920, 32_528_943_616, "32.5B", 1.4e12),
    "llama-1-65b": _llama_1(80, 8192, 64, 22_016, 65_285_660_672, "65.2B", 1.4e12, epsilon=1e-5),
    "llama-2-7b": _llama_2(32, 4096, 32, 32, 11_008, 6_738_415_616, "7B"),
    "llama-2-13b": _llama_2(40, 5120, 40, 40, 13_824, 13_015_864_320, "13B"),
    "llama-2-70b": _llama_2(80, 8192, 64, 8, 28_672, 68_976_648_192, "70B"),
    "llama-3-8b": _llama_3(32, 4096, 32, 14_336, 8_030_261_248, "8B", context=8192, **_LLAMA_3),
    "llama-3-70b": _llama_3(80, 8192, 64, 28_672, 70_553_706_496, "70B", context=8192, **_LLAMA_3),
    "llama-3.1-8b": _llama_3(32, 4096, 32, 14_336, 8_030_261_248, "8B", **_LLAMA_31),
    "llama-3.1-70b": _llama_3(80, 8192, 64, 28_672, 70_553_706_496, "70B", **_LLAMA_31),
    "llama-3.1-405b": _llama_3(
        126, 16_384, 128, 53_248, 405_853_388_800, "405B", 15.6e12,
        "Dubey et al. 2024, table 3; tokens: section 3.2", **_LLAMA_31,
    ),
    "llama-3.2-1b": _llama_3(
        16, 2048, 32, 8192, 1_235_814_400, "1.23B", 9e12, "model card of September 2024; sizes as released",
        **_LLAMA_32,
    ),
    "llama-3.2-3b": _llama_3(
        28, 3072, 24, 8192, 3_212_749_824, "3.21B", 9e12, "model card of September 2024; sizes as released",
        **_LLAMA_32,
    ),
}  # fmt: skip

HEADS = {
    "causal": HeadShape("LlamaForCausalLM"),
    "features": HeadShape("LlamaModel"),
    "classification": HeadShape(
        "LlamaForSequenceClassification", "last", bias=False, weights={"score.weight": "weight"}
    ),
    "tagging": HeadShape(
        "LlamaForTokenClassification", weights={"score.weight": "weight", "score.bias": "bias"}
    ),
    "spans": HeadShape(
        "LlamaForQuestionAnswering",
        weights={"qa_outputs.weight": "weight", "qa_outputs.bias": "bias"},
        prefix="transformer.",
    ),
}


def weights(config: TransformerConfig) -> dict[str, Stored]:
    """Hugging Face's name for a weight: ours."""
    names = {
        "model.embed_tokens.weight": Stored("embedding.weight"),
        "model.norm.weight": Stored("decoder.final_norm.weight"),
        "lm_head.weight": Stored("output.weight"),
    }
    for layer in range(config.layers):
        theirs, ours = f"model.layers.{layer}", f"decoder.blocks.{layer}"
        pairs = {
            "self_attn.q_proj": "attention.query",
            "self_attn.k_proj": "attention.key",
            "self_attn.v_proj": "attention.value",
            "self_attn.o_proj": "attention.out",
            "mlp.gate_proj": "feedforward.gate",
            "mlp.up_proj": "feedforward.up",
            "mlp.down_proj": "feedforward.down",
        }
        names[f"{theirs}.input_layernorm.weight"] = Stored(f"{ours}.attention_norm.weight")
        names[f"{theirs}.post_attention_layernorm.weight"] = Stored(f"{ours}.feedforward_norm.weight")
        for kind in ("weight", "bias"):  # biases are there in derivatives of Llama alone
            names |= {
                f"{theirs}.{part}.{kind}": Stored(f"{ours}.{own}.{kind}") for part, own in pairs.items()
            }
    return names


def to_hf(config: TransformerConfig) -> dict[str, Any]:
    """`config.json` fields for transformers, old and new names of the rotary base included.

    Raises:
        HeadstartError: sizes that transformers' class of this family cannot have.
    """
    if config.width % config.heads:
        raise HeadstartError(
            f"model width {config.width} is not a multiple of its {config.heads} heads, which transformers "
            f"asks of a {config.family} model even where head_width is given; change width or heads"
        )
    rotary: dict[str, Any] = {"rope_type": "default", "rope_theta": config.rotary_base}
    scaling = config.rotary_scaling
    if scaling is not None:
        rotary |= {
            "rope_type": "llama3",
            "factor": scaling.factor,
            "low_freq_factor": scaling.low_frequency,
            "high_freq_factor": scaling.high_frequency,
            "original_max_position_embeddings": scaling.original_context,
        }
    return {
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
        "rope_scaling": None if scaling is None else rotary,
        "rope_parameters": rotary,
        "attention_bias": config.qkv_bias,
        "mlp_bias": config.feedforward_bias,
        "attention_dropout": 0.0,
        "tie_word_embeddings": config.tied,
    }


def from_hf(fields: dict[str, Any]) -> dict[str, Any]:
    """The sizes in a `config.json`, of this or an older transformers."""
    rotary = fields.get("rope_parameters") or fields.get("rope_scaling") or {}
    kind = rotary.get("rope_type", rotary.get("type", "default"))
    if kind not in ("default", "llama3"):
        raise ValueError(f"rope_type {kind!r} (known: default, llama3)")
    if fields.get("hidden_act", "silu") != "silu":
        raise ValueError(f"hidden_act {fields['hidden_act']!r} (known: silu)")
    scaling = None
    if kind == "llama3":
        scaling = RotaryScaling(
            rotary["factor"],
            rotary["low_freq_factor"],
            rotary["high_freq_factor"],
            rotary["original_max_position_embeddings"],
        )
    biased = fields.get("attention_bias", False)
    return {
        "vocab_size": fields["vocab_size"],
        "layers": fields["num_hidden_layers"],
        "width": fields["hidden_size"],
        "heads": fields["num_attention_heads"],
        "kv_heads": fields.get("num_key_value_heads") or fields["num_attention_heads"],
        "head_width": fields.get("head_dim") or 0,
        "feedforward_width": fields["intermediate_size"],
        "context": fields["max_position_embeddings"],
        "norm_epsilon": fields["rms_norm_eps"],
        "rotary_base": rotary.get("rope_theta") or fields.get("rope_theta", 10_000.0),
        "rotary_scaling": scaling,
        "qkv_bias": biased,
        "out_bias": biased,
        "feedforward_bias": fields.get("mlp_bias", False),
        "tied": fields.get("tie_word_embeddings", False),
    }
