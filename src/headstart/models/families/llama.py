"""Llama 1, 2, 3 and 3.1: a decoder with rotary positions, RMSNorm, SwiGLU and no biases.

Sources: Touvron et al. 2023a (Llama 1), 2023b (Llama 2: grouped-query attention in 70B), Dubey et al. 2024
(Llama 3: grouped-query attention everywhere, a rotary base of 500,000, 128K tokens of vocabulary).
"""

from collections.abc import Mapping
from typing import Any

from headstart.models.config import RotaryScaling, Sizes
from headstart.models.families.layers import Rope
from headstart.models.family import (
    Constant,
    Family,
    HeadShape,
    Key,
    Preset,
    Row,
    heads_divide_width,
    linear,
    module,
)

_FIXED = {
    "architecture": "decoder",
    "position": "rotary",
    "norm": "rmsnorm",
    "feedforward": "swiglu",
    "tied": False,
}

# Sizes: vocabulary, layers, width, heads, key-value heads, feed-forward width, context.
_LLAMA_3: Sizes = {"rotary_base": 500_000.0}
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


_PRESETS = {
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


def decoder_heads(
    name: str, tagging: bool = True, spans: str | None = "transformer.", text: str = ""
) -> dict[str, HeadShape]:
    """The heads of a decoder whose classes transformers calls `name`.

    Args:
        tagging: whether transformers has a class for it.
        spans: what stands before the names of weights in the class for spans; None: there is no such class.
        text: what the classes without an output are called, where `name` is a model of images and text.
    """
    return {
        "causal": HeadShape(f"{name}ForCausalLM"),
        "features": HeadShape(f"{text or name}Model"),
        "classification": HeadShape(
            f"{text or name}ForSequenceClassification",
            "last",
            bias=False,
            weights=linear("score", bias=False),
        ),
        "tagging": HeadShape(f"{name}ForTokenClassification" if tagging else None, weights=linear("score")),
        "spans": HeadShape(
            None if spans is None else f"{name}ForQuestionAnswering",
            weights=linear("qa_outputs"),
            prefix=spans,
        ),
    }


def decoder_rows(
    vocab_size: int = 32_000,
    width: int = 4096,
    feedforward_width: int = 11_008,
    layers: int = 32,
    heads: int = 32,
    kv_heads: int | None = None,
    context: int = 2048,
    norm_epsilon: float = 1e-6,
    activation: tuple[str, str] = ("hidden_act", "silu"),
) -> tuple[Row, ...]:
    """The keys that Llama's relatives share, with what transformers takes where a folder leaves them out.

    Args:
        kv_heads: None: as many as the folder's heads.
        activation: its key and the one value that the family computes.
    """

    def as_many(fields: Mapping[str, Any]) -> int:
        return int(fields.get("num_attention_heads", heads))

    return (
        Key("vocab_size", "vocab_size", vocab_size),
        Key("width", "hidden_size", width),
        Key("feedforward_width", "intermediate_size", feedforward_width),
        Key("layers", "num_hidden_layers", layers),
        Key("heads", "num_attention_heads", heads),
        Key("kv_heads", "num_key_value_heads", kv_heads or as_many, null=as_many),
        Key("context", "max_position_embeddings", context),
        Key("norm_epsilon", "rms_norm_eps", norm_epsilon),
        Constant(*activation),
    )


HEAD_WIDTH = Key("head_width", "head_dim", 0, null=0)
ATTENTION_BIAS = (Key("qkv_bias", "attention_bias", False), Key("out_bias", "attention_bias", False))

MODULES = {
    "model.embed_tokens": module("embedding"),
    "model.layers.{}.input_layernorm": module("decoder.blocks.{}.attention_norm"),
    "model.layers.{}.self_attn.q_proj": module("decoder.blocks.{}.attention.query"),
    "model.layers.{}.self_attn.k_proj": module("decoder.blocks.{}.attention.key"),
    "model.layers.{}.self_attn.v_proj": module("decoder.blocks.{}.attention.value"),
    "model.layers.{}.self_attn.o_proj": module("decoder.blocks.{}.attention.out"),
    "model.layers.{}.post_attention_layernorm": module("decoder.blocks.{}.feedforward_norm"),
    "model.layers.{}.mlp.gate_proj": module("decoder.blocks.{}.feedforward.gate"),
    "model.layers.{}.mlp.up_proj": module("decoder.blocks.{}.feedforward.up"),
    "model.layers.{}.mlp.down_proj": module("decoder.blocks.{}.feedforward.down"),
    "model.norm": module("decoder.final_norm"),
    "lm_head": module("output"),
}
"""The names of Llama's weights, which most later decoders share; biases are there in derivatives alone."""

LLAMA = Family(
    name="llama",
    model_type="llama",
    objective="causal",
    tokenizer="llama3",
    fixed=_FIXED,
    rows=(
        *decoder_rows(),
        HEAD_WIDTH,
        *ATTENTION_BIAS,
        Key("feedforward_bias", "mlp_bias", False),
        Key("tied", "tie_word_embeddings", False),
        Rope(),
    ),
    modules=MODULES,
    heads=decoder_heads("Llama"),
    presets=_PRESETS,
    prefix="model.",
    grouped_query=True,
    check=heads_divide_width,
)
