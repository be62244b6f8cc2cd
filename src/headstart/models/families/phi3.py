"""Phi-3 and Phi-4: Llama's parts with joined matrices (Abdin et al. 2024a, 2024b).

Queries, keys and values lie in one matrix, gate and up in another. Phi-4-mini turns three quarters of each
head; its context, as that of the long versions of Phi-3, is reached by longrope (Ding et al. 2024).
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from headstart.folder import JSONObject
from headstart.models.config import LayerPlan, Sizes, TransformerConfig
from headstart.models.families.layers import Rope, one_window
from headstart.models.families.llama import LLAMA, MODULES, decoder_heads, decoder_rows
from headstart.models.family import Computed, Key, Preset, heads_fill_width, module


def _write_window(config: TransformerConfig) -> JSONObject:
    scaling = config.rotary_scaling
    original = config.context if scaling is None else scaling.original_context
    return {
        "sliding_window": one_window(config) or None,
        "original_max_position_embeddings": original,
    }


def _read_window(fields: Mapping[str, Any]) -> Sizes:
    return {"plan": (LayerPlan(window=fields.get("sliding_window") or 0),)}


def _preset(
    layers: int, width: int, heads: int, kv_heads: int, inner: int, parameters: int, published: str,
    tokens: float, source: str, **more: Any,
) -> Preset:  # fmt: skip
    sizes = {
        "vocab_size": 32_064,
        "layers": layers,
        "width": width,
        "heads": heads,
        "kv_heads": kv_heads,
        "feedforward_width": inner,
        "context": 4096,
    }
    return Preset(
        sizes | more,
        parameters=parameters,
        published=published,
        source=source,
        year=2024,
        data="filtered web pages and synthetic text, not listed",
        tokens=tokens,
        tokenizer="llama3" if "vocab_size" in more else "",
    )


_JOINED = {"q_proj", "k_proj", "v_proj", "gate_proj", "up_proj"}
_SHARED = {theirs: ours for theirs, ours in MODULES.items() if theirs.split(".")[-1] not in _JOINED}
_3 = "Abdin et al. 2024a, section 2; sizes as released"
_4 = "Abdin et al. 2024b, section 3; count: model card"
_WINDOW = {"plan": (LayerPlan(window=2047),)}

PHI3 = replace(
    LLAMA,
    name="phi3",
    model_type="phi3",
    tokenizer="llama2",
    rows=(
        *decoder_rows(
            vocab_size=32_064, width=3072, feedforward_width=8192, context=4096, norm_epsilon=1e-5
        ),
        Key("tied", "tie_word_embeddings", False),
        Rope(scalings=("longrope",), share_key="partial_rotary_factor", head_width=96, original=4096),
        Computed(_write_window, _read_window),
    ),
    modules={
        **_SHARED,
        "model.layers.{}.self_attn.qkv_proj": module(
            "decoder.blocks.{}.attention.query",
            "decoder.blocks.{}.attention.key",
            "decoder.blocks.{}.attention.value",
        ),
        "model.layers.{}.mlp.gate_up_proj": module(
            "decoder.blocks.{}.feedforward.gate", "decoder.blocks.{}.feedforward.up"
        ),
    },
    heads=decoder_heads("Phi3", spans=None),
    presets={
        "phi-3-mini": _preset(
            32, 3072, 32, 32, 8192, 3_821_079_552, "3.8B", 3.3e12, _3,
            **_WINDOW,
        ),
        "phi-3-medium": _preset(
            40, 5120, 40, 10, 17_920, 13_960_238_080, "14B", 4.8e12, _3,
            **_WINDOW,
        ),
        "phi-4": _preset(
            40, 5120, 40, 10, 17_920, 14_659_507_200, "14.7B", 9.8e12, _4,
            vocab_size=100_352, context=16_384, rotary_base=250_000.0,
        ),
    },
    check=heads_fill_width,
)  # fmt: skip
