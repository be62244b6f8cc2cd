"""SmolLM3: Llama whose every fourth layer has no rotary positions (Bakouch et al. 2025)."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from headstart.errors import HeadstartError
from headstart.folder import JSONObject
from headstart.models.config import LayerPlan, Sizes, TransformerConfig
from headstart.models.families.layers import FULL, SLIDING, Rope, layer_types, one_window, shortest
from headstart.models.families.llama import ATTENTION_BIAS, HEAD_WIDTH, LLAMA, decoder_heads, decoder_rows
from headstart.models.family import Computed, Key, Preset


def _write_layers(config: TransformerConfig) -> JSONObject:
    plans = [config.layer(number) for number in range(config.layers)]
    if any(plan.rotary_base for plan in plans):
        raise HeadstartError("the layers of a smollm3 model share one rotary base; leave that of layers out")
    window = one_window(config)
    return {
        "no_rope_layers": [int(plan.rotary_base is None) for plan in plans],
        "layer_types": layer_types(config),
        "use_sliding_window": window > 0,
        "sliding_window": window or None,
    }


def _read_layers(fields: Mapping[str, Any]) -> Sizes:
    layers, every = fields.get("num_hidden_layers", 36), fields.get("no_rope_layer_interval", 4)
    turned = fields.get("no_rope_layers") or [int((layer + 1) % every != 0) for layer in range(layers)]
    window = (fields.get("sliding_window") or 0) if fields.get("use_sliding_window") else 0
    kinds = fields.get("layer_types") or [FULL if rope or not window else SLIDING for rope in turned]
    if len(turned) != layers or len(kinds) != layers or set(kinds) - {FULL, SLIDING}:
        raise ValueError(f"no_rope_layers {turned} and layer_types {kinds} of {layers} layers")
    return {
        "plan": shortest(
            [
                LayerPlan(window if kind == SLIDING else 0, None if rope else 0)
                for kind, rope in zip(kinds, turned, strict=True)
            ]
        )
    }


SMOLLM3 = replace(
    LLAMA,
    name="smollm3",
    model_type="smollm3",
    fixed={
        **LLAMA.fixed,
        "tied": True,
        "rotary_base": 5_000_000.0,
        "norm_epsilon": 1e-6,
        "plan": (*[LayerPlan()] * 3, LayerPlan(rotary_base=0)),
    },
    rows=(
        *decoder_rows(128_256, 2048, 11_008, 36, 16, 4, 32_768),
        HEAD_WIDTH,
        *ATTENTION_BIAS,
        Key("feedforward_bias", "mlp_bias", False),
        Key("tied", "tie_word_embeddings", True),
        Rope(base=2_000_000.0),
        Computed(_write_layers, _read_layers),
    ),
    heads=decoder_heads("SmolLM3"),
    presets={
        "smollm3-3b": Preset(
            {
                "vocab_size": 128_256,
                "layers": 36,
                "width": 2048,
                "heads": 16,
                "kv_heads": 4,
                "feedforward_width": 11_008,
                "context": 65_536,
            },
            parameters=3_075_098_624,
            published="3.1B",
            source="Bakouch et al. 2025 (report of July 2025); sizes as released",
            year=2025,
            data="web pages, code and mathematics, listed in the report",
            tokens=11.2e12,
        ),
    },
    check=lambda config: None,
)
