"""Gemma 2 and 3: decoders with norms around every part, and layers of two kinds (Gemma Team 2024, 2025).

Norms multiply by one plus their weight; embeddings are multiplied by the root of the width. In Gemma 2 every
second layer sees a window, and scores of attention and output are capped. In Gemma 3 five of six layers have
a window and a rotary base of their own, and queries and keys are normed instead of capped.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from headstart.folder import JSONObject
from headstart.models.config import LayerPlan, Sizes, TransformerConfig
from headstart.models.families.layers import FULL, SLIDING, LocalRope, Rope, Windows
from headstart.models.families.llama import (
    ATTENTION_BIAS,
    LLAMA,
    MODULES,
    decoder_heads,
    decoder_rows,
)
from headstart.models.family import Computed, Constant, Key, Preset, heads_divide_width, module

_SHAPE: Sizes = {
    "architecture": "decoder",
    "position": "rotary",
    "norm": "rmsnorm",
    "norm_place": "sandwich",
    "norm_plus_one": True,
    "norm_epsilon": 1e-6,
    "feedforward": "geglu_tanh",
    "embedding_scale": True,
    "tied": True,
    "initial_deviation": 0.02,
}
_ACTIVATION = ("hidden_activation", "gelu_pytorch_tanh")
_SHARED = {theirs: ours for theirs, ours in MODULES.items() if "post_attention" not in theirs} | {
    "model.layers.{}.post_attention_layernorm": module("decoder.blocks.{}.attention_out_norm"),
    "model.layers.{}.pre_feedforward_layernorm": module("decoder.blocks.{}.feedforward_norm"),
    "model.layers.{}.post_feedforward_layernorm": module("decoder.blocks.{}.feedforward_out_norm"),
}


def _every_second(fields: Mapping[str, Any]) -> list[str]:
    return [FULL if layer % 2 else SLIDING for layer in range(fields.get("num_hidden_layers", 26))]


def _most(fields: Mapping[str, Any]) -> list[str]:
    every = fields.get("sliding_window_pattern", 6)
    layers = range(fields.get("num_hidden_layers", 26))
    return [SLIDING if (layer + 1) % every else FULL for layer in layers]


def _write_scalar(config: TransformerConfig) -> JSONObject:
    return {"query_pre_attn_scalar": config.query_scalar or config.head_width}


def _read_scalar(fields: Mapping[str, Any]) -> Sizes:
    scalar = fields.get("query_pre_attn_scalar", 256)
    return {"query_scalar": 0 if scalar == fields.get("head_dim", 256) else scalar}


def _gemma_2(
    layers: int, width: int, heads: int, kv_heads: int, inner: int, parameters: int, published: str,
    tokens: float, head_width: int = 256, query_scalar: int = 0,
) -> Preset:  # fmt: skip
    return Preset(
        {
            "vocab_size": 256_000,
            "layers": layers,
            "width": width,
            "heads": heads,
            "kv_heads": kv_heads,
            "head_width": head_width,
            "query_scalar": query_scalar,
            "feedforward_width": inner,
            "context": 8192,
        },
        parameters=parameters,
        published=published,
        source="Gemma Team 2024, tables 1 and 2 and section 3.1",
        year=2024,
        data="web text, code and science, mostly English, not listed",
        tokens=tokens,
    )


def _gemma_3(
    layers: int, width: int, heads: int, kv_heads: int, inner: int, parameters: int, published: str,
    tokens: float, window: int, source: str = "Gemma Team 2025, tables 1 and 2; the text model alone",
    **more: Any,
) -> Preset:  # fmt: skip
    local = LayerPlan(window=window, rotary_base=10_000.0)
    sizes = {
        "vocab_size": 262_144,
        "layers": layers,
        "width": width,
        "heads": heads,
        "kv_heads": kv_heads,
        "head_width": 256,
        "feedforward_width": inner,
        "context": 32_768,
        "plan": (*[local] * 5, LayerPlan()),
    }
    return Preset(
        sizes | more,
        parameters=parameters,
        published=published,
        source=source,
        year=2025,
        data="web text, code and images, many languages, not listed",
        tokens=tokens,
    )


GEMMA2 = replace(
    LLAMA,
    name="gemma2",
    model_type="gemma2",
    tokenizer="llama2",
    fixed=_SHAPE | {"plan": (LayerPlan(window=4096), LayerPlan()), "attention_cap": 50.0, "output_cap": 30.0},
    rows=(
        *decoder_rows(256_000, 2304, 9216, 26, 8, 4, 8192, activation=_ACTIVATION),
        Key("head_width", "head_dim", 256),
        *ATTENTION_BIAS,
        Computed(_write_scalar, _read_scalar),
        Key("attention_cap", "attn_logit_softcapping", 50.0, null=0.0),
        Key("output_cap", "final_logit_softcapping", 30.0, null=0.0),
        Key("tied", "tie_word_embeddings", True),
        Constant("use_bidirectional_attention", False),
        Rope(),
        Windows(_every_second),
    ),
    modules=_SHARED,
    heads=decoder_heads("Gemma2", spans=None),
    presets={
        "gemma-2-2b": _gemma_2(26, 2304, 8, 4, 9216, 2_614_341_888, "2.6B", 2e12),
        "gemma-2-9b": _gemma_2(42, 3584, 16, 8, 14_336, 9_241_705_984, "9.24B", 8e12),
        "gemma-2-27b": _gemma_2(
            46, 4608, 32, 16, 36_864, 27_227_128_320, "27.2B", 13e12, head_width=128, query_scalar=144
        ),
    },
    check=heads_divide_width,
)

_LONG: Sizes = {"vocab_size": 262_208, "context": 131_072}
_LONG_27B = _LONG | {"head_width": 128, "query_scalar": 168}

GEMMA3 = replace(
    LLAMA,
    name="gemma3",
    model_type="gemma3_text",
    tokenizer="llama2",
    fixed=_SHAPE
    | {
        "query_key_norm": "head",
        "rotary_base": 1_000_000.0,
        "plan": (*[LayerPlan(window=512, rotary_base=10_000.0)] * 5, LayerPlan()),
    },
    rows=(
        *decoder_rows(262_208, 2304, 9216, 26, 8, 4, 131_072, activation=_ACTIVATION),
        Key("head_width", "head_dim", 256),
        *ATTENTION_BIAS,
        Computed(_write_scalar, _read_scalar),
        Constant("attn_logit_softcapping", None),  # transformers' class does not heed it
        Key("output_cap", "final_logit_softcapping", 0.0, null=0.0),
        Key("tied", "tie_word_embeddings", True),
        Constant("use_bidirectional_attention", False),
        LocalRope(
            _most,
            key="sliding_window",
            default=4096,
            base=1_000_000.0,
            base_key="rope_theta",
            local_base=10_000.0,
            local_base_key="rope_local_base_freq",
            scalings=("linear", "llama3", "dynamic", "yarn"),
        ),
    ),
    modules={
        **_SHARED,
        "model.layers.{}.self_attn.q_norm": module("decoder.blocks.{}.attention.query_norm"),
        "model.layers.{}.self_attn.k_norm": module("decoder.blocks.{}.attention.key_norm"),
    },
    heads=decoder_heads("Gemma3", tagging=False, spans=None, text="Gemma3Text"),
    presets={
        "gemma-3-270m": _gemma_3(
            18,
            640,
            4,
            1,
            2048,
            268_098_176,
            "270M",
            6e12,
            512,
            source="model card of August 2025; sizes as released",
        ),
        "gemma-3-1b": _gemma_3(26, 1152, 4, 1, 6912, 999_885_952, "1.0B", 2e12, 512),
        "gemma-3-4b": _gemma_3(34, 2560, 8, 4, 10_240, 3_880_263_168, "3.88B", 4e12, 1024, **_LONG),
        "gemma-3-12b": _gemma_3(48, 3840, 16, 8, 15_360, 11_766_034_176, "11.8B", 12e12, 1024, **_LONG),
        "gemma-3-27b": _gemma_3(
            62,
            5376,
            32,
            16,
            21_504,
            27_009_346_304,
            "27.0B",
            14e12,
            1024,
            **_LONG,
            head_width=128,
            query_scalar=168,
        ),
    },
    check=heads_divide_width,
)
