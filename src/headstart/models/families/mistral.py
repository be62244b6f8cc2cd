"""Mistral: Llama with grouped queries and, at first, a window in every layer (Jiang et al. 2023)."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from headstart.folder import JSONObject
from headstart.models.config import LayerPlan, Sizes, TransformerConfig
from headstart.models.families.layers import Rope, one_window
from headstart.models.families.llama import (
    HEAD_WIDTH,
    LLAMA,
    decoder_heads,
    decoder_rows,
)
from headstart.models.family import Computed, Key, Preset


def _write_window(config: TransformerConfig) -> JSONObject:
    return {"sliding_window": one_window(config) or None}


def _read_window(fields: Mapping[str, Any]) -> Sizes:
    if fields.get("layer_types"):
        raise ValueError(f"layer_types {fields['layer_types']} (transformers' Mistral does not heed them)")
    return {"plan": (LayerPlan(window=fields.get("sliding_window", 4096) or 0),)}


_SHAPE = {"layers": 32, "width": 4096, "heads": 32, "kv_heads": 8, "feedforward_width": 14_336}
_DATA = "not disclosed"

MISTRAL = replace(
    LLAMA,
    name="mistral",
    model_type="mistral",
    tokenizer="llama2",
    rows=(
        *decoder_rows(feedforward_width=14_336, kv_heads=8, context=131_072),
        HEAD_WIDTH,
        Key("tied", "tie_word_embeddings", False),
        Rope(),
        Computed(_write_window, _read_window),
    ),
    heads=decoder_heads("Mistral", spans="model."),
    presets={
        "mistral-7b-v0.1": Preset(
            _SHAPE | {"vocab_size": 32_000, "context": 32_768, "plan": (LayerPlan(window=4096),)},
            parameters=7_241_732_096,
            published="7.24B",
            source="Jiang et al. 2023, table 1; count: model card",
            year=2023,
            data=_DATA,
        ),
        "mistral-7b-v0.3": Preset(
            _SHAPE | {"vocab_size": 32_768, "context": 32_768, "rotary_base": 1e6},
            parameters=7_248_023_552,
            published="7.25B",
            source="model card of May 2024; sizes as released",
            year=2024,
            data=_DATA,
        ),
        "mistral-nemo-12b": Preset(
            _SHAPE
            | {"vocab_size": 131_072, "layers": 40, "width": 5120, "head_width": 128}
            | {"context": 131_072, "rotary_base": 1e6},
            parameters=12_247_782_400,
            published="12.2B",
            source="model card of July 2024; sizes as released",
            year=2024,
            data=_DATA,
            tokenizer="llama3",
        ),
    },
    check=lambda config: None,
)
