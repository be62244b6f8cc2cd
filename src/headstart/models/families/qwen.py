"""Qwen 2, 2.5 and 3: Llama with biases on queries, keys and values, or norms on queries and keys.

Sources: Yang et al. 2024a (Qwen 2), 2024b (Qwen 2.5: the same models, more text), 2025 (Qwen 3: RMSNorm on
the queries and keys of each head, no biases).
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from headstart.folder import JSONObject
from headstart.models.config import Sizes, TransformerConfig
from headstart.models.families.layers import FULL, SLIDING, Rope, Windows
from headstart.models.families.llama import (
    ATTENTION_BIAS,
    LLAMA,
    MODULES,
    decoder_heads,
    decoder_rows,
)
from headstart.models.family import Key, Preset, heads_fill_width, module


def _types(fields: Mapping[str, Any]) -> list[str]:
    full = fields.get("max_window_layers", 28) if fields.get("use_sliding_window") else 10**6
    layers = range(fields.get("num_hidden_layers", 32))
    return [SLIDING if layer >= full and fields.get("sliding_window", 4096) else FULL for layer in layers]


class _Windows(Windows):
    """The window counts where `use_sliding_window` says so."""

    def write(self, config: TransformerConfig) -> JSONObject:
        fields = super().write(config)
        kinds = fields["layer_types"]
        first = kinds.index(SLIDING) if SLIDING in kinds else len(kinds)
        return fields | {"use_sliding_window": SLIDING in kinds, "max_window_layers": first}

    def read(self, fields: Mapping[str, Any]) -> Sizes:
        if not fields.get("use_sliding_window"):
            fields = {**fields, "layer_types": [FULL] * fields.get("num_hidden_layers", 32)}
        return super().read(fields)


def _preset(
    layers: int, width: int, heads: int, kv_heads: int, inner: int, parameters: int, published: str,
    tokens: float, source: str, year: int, vocab_size: int = 151_936, context: int = 32_768, **more: Any,
) -> Preset:  # fmt: skip
    sizes = {
        "vocab_size": vocab_size,
        "layers": layers,
        "width": width,
        "heads": heads,
        "kv_heads": kv_heads,
        "feedforward_width": inner,
        "context": context,
    }
    return Preset(
        sizes | more,
        parameters=parameters,
        published=published,
        source=source,
        year=year,
        data="web text, code and synthetic text in many languages, not listed",
        tokens=tokens,
    )


_2: Sizes = {"source": "Yang et al. 2024a, table 1; sizes as released", "year": 2024}
_25: Sizes = {
    "source": "Yang et al. 2024b, table 1 and section 3.1; sizes as released",
    "year": 2024,
}
_3: Sizes = {"source": "Yang et al. 2025, table 1 and section 3.1; sizes as released", "year": 2025}
_LARGE: Sizes = {"vocab_size": 152_064, "norm_epsilon": 1e-5, "context": 131_072}
_LARGE_7 = _LARGE | {"norm_epsilon": 1e-6}
_SMALL: Sizes = {"tied": True}
_WIDE: Sizes = {"head_width": 128, "context": 40_960}

QWEN2 = replace(
    LLAMA,
    name="qwen2",
    model_type="qwen2",
    fixed={**LLAMA.fixed, "qkv_bias": True, "rotary_base": 1e6, "norm_epsilon": 1e-6},
    rows=(
        *decoder_rows(
            vocab_size=151_936, feedforward_width=22_016, kv_heads=32, context=32_768, norm_epsilon=1e-6
        ),
        Key("tied", "tie_word_embeddings", False),
        Rope(),
        _Windows(_types),
    ),
    heads=decoder_heads("Qwen2"),
    presets={
        "qwen2-0.5b": _preset(24, 896, 14, 2, 4864, 494_032_768, "0.49B", 12e12, **_2, **_SMALL),
        "qwen2-1.5b": _preset(28, 1536, 12, 2, 8960, 1_543_714_304, "1.54B", 7e12, **_2, **_SMALL),
        "qwen2-7b": _preset(28, 3584, 28, 4, 18_944, 7_615_616_512, "7.62B", 7e12, **_2, **_LARGE_7),
        "qwen2-72b": _preset(80, 8192, 64, 8, 29_568, 72_706_203_648, "72.7B", 7e12, **_2, **_LARGE),
        "qwen2.5-0.5b": _preset(24, 896, 14, 2, 4864, 494_032_768, "0.49B", 18e12, **_25, **_SMALL),
        "qwen2.5-1.5b": _preset(28, 1536, 12, 2, 8960, 1_543_714_304, "1.54B", 18e12, **_25, **_SMALL),
        "qwen2.5-3b": _preset(36, 2048, 16, 2, 11_008, 3_085_938_688, "3.09B", 18e12, **_25, **_SMALL),
        "qwen2.5-7b": _preset(28, 3584, 28, 4, 18_944, 7_615_616_512, "7.61B", 18e12, **_25, **_LARGE_7),
        "qwen2.5-14b": _preset(48, 5120, 40, 8, 13_824, 14_770_033_664, "14.7B", 18e12, **_25, **_LARGE),
        "qwen2.5-32b": _preset(64, 5120, 40, 8, 27_648, 32_763_876_352, "32.5B", 18e12, **_25, **_LARGE),
        "qwen2.5-72b": _preset(80, 8192, 64, 8, 29_568, 72_706_203_648, "72.7B", 18e12, **_25, **_LARGE),
    },
    check=heads_fill_width,
)

QWEN3 = replace(
    LLAMA,
    name="qwen3",
    model_type="qwen3",
    fixed={**LLAMA.fixed, "query_key_norm": "head", "rotary_base": 1e6, "norm_epsilon": 1e-6},
    rows=(
        *decoder_rows(
            vocab_size=151_936, feedforward_width=22_016, kv_heads=32, context=32_768, norm_epsilon=1e-6
        ),
        Key("head_width", "head_dim", 128),
        *ATTENTION_BIAS,
        Key("tied", "tie_word_embeddings", False),
        Rope(),
        _Windows(_types),
    ),
    modules={
        **MODULES,
        "model.layers.{}.self_attn.q_norm": module("decoder.blocks.{}.attention.query_norm"),
        "model.layers.{}.self_attn.k_norm": module("decoder.blocks.{}.attention.key_norm"),
    },
    heads=decoder_heads("Qwen3"),
    presets={
        "qwen3-0.6b": _preset(28, 1024, 16, 8, 3072, 596_049_920, "0.6B", 36e12, **_3, **_WIDE, **_SMALL),
        "qwen3-1.7b": _preset(28, 2048, 16, 8, 6144, 1_720_574_976, "1.7B", 36e12, **_3, **_WIDE, **_SMALL),
        "qwen3-4b": _preset(36, 2560, 32, 8, 9728, 4_022_468_096, "4.0B", 36e12, **_3, **_WIDE, **_SMALL),
        "qwen3-8b": _preset(36, 4096, 32, 8, 12_288, 8_190_735_360, "8.2B", 36e12, **_3, **_WIDE),
        "qwen3-14b": _preset(40, 5120, 40, 8, 17_408, 14_768_307_200, "14.8B", 36e12, **_3, **_WIDE),
        "qwen3-32b": _preset(64, 5120, 64, 8, 25_600, 32_762_123_264, "32.8B", 36e12, **_3, **_WIDE),
    },
    check=lambda config: None,
)
